"""From a mergekit configuration to a recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

from tsugiki.config.load import nearest
from tsugiki.contracts.recipe import SHARED, Grouping, Parameter, ParentRef, Recipe
from tsugiki.errors import RecipeError
from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.registry import get_method
from tsugiki.merge.settings import Settings
from tsugiki.mergekit import methods
from tsugiki.mergekit.document import MergekitDocument
from tsugiki.mergekit.filters import TensorPlace, Value, resolve
from tsugiki.models.grouping import group_of
from tsugiki.models.kinds.text import BLOCK, TEXT, block_of, is_encoder

Option = bool | float | str
Named = Literal["model", "block", "block_part"] | dict[str, str]
"""A grouping that puts each tensor into one group."""
Row = tuple[float, ...]
"""Values of one tensor, in order of the owners."""


def import_mergekit(
    document: MergekitDocument,
    models: Mapping[str, ParentRef],
    tensors: Sequence[str],
    *,
    dtype: str,
) -> Recipe:
    """The recipe that a mergekit configuration describes.

    Each parameter gets the coarsest grouping that fits its values. A parameter that is given for no
    model in particular belongs to all (`*`), and is left out where it has its default everywhere.

    Args:
        document: The configuration.
        models: Name and digest of every model, by how the configuration calls it.
        tensors: Names of all tensors that are merged.
        dtype: Number format where the configuration names none.

    Raises:
        ConfigError: the method does not exist.
        RecipeError: a recipe cannot express the configuration, or describes no valid merge.
    """
    method, there = get_method(document.method), methods.counterpart(document.method)
    base = document.base if method.base != "unused" else None
    _check_names(document, there)
    reading = _Reading(document, _parents(document, base), _places(document, tensors))
    for name, only in there.fixed.items():
        if (value := reading.option(name)) not in (None, only):
            raise RecipeError(
                f"`{name}: {_text(value)}` cannot be expressed for method `{method.name}`",
                where=document.where,
                expected=_text(only),
                fix="see docs/mergekit.md",
            )
    recipe = Recipe(
        method=method.name,
        base=models[base] if base else None,
        parents=tuple(models[parent] for parent in reading.parents),
        parameters=_parameters(method, there, reading, models),
        options=_options(there, reading),
        dtype=cast("Any", document.dtype or dtype),
        owner=models[_tokenizer(document)].name,
    )
    Settings(recipe, tensors, TEXT)
    return recipe


def _places(document: MergekitDocument, tensors: Sequence[str]) -> list[TensorPlace]:
    """Where each tensor stands: its slice, and how far through the slice's layers.

    What comes before the layers belongs to the first slice, what comes after them to the last.
    """
    blocks = {tensor: block_of(tensor) for tensor in tensors}
    numbers = {block for block in blocks.values() if block is not None}
    starts = _starts(document, 1 + max(numbers, default=-1))
    found = []
    for tensor, block in blocks.items():
        if block is None:
            after = len(starts) > 2 and _follows_layers(tensor, document)
            t = None if is_encoder(tensor) else 0.0
            found.append(TensorPlace(tensor, len(starts) - 2 if after else 0, t))
            continue
        piece = next(index for index, end in enumerate(starts[1:]) if block < end)
        first, last = starts[piece], starts[piece + 1] - 1
        found.append(
            TensorPlace(tensor, piece, (block - first) / (last - first) if last > first else 1)
        )
    return found


def _follows_layers(tensor: str, document: MergekitDocument) -> bool:
    group = group_of(tensor, "block", TEXT)
    if group not in ("embeddings", "head"):
        raise RecipeError(
            "slices cannot be merged in a model that has more than one stack of layers",
            where=f"{document.where}, tensor {tensor}",
            fix="list the models as `models`",
        )
    return group == "head"


def _starts(document: MergekitDocument, layers: int) -> list[int]:
    """First layer of each slice, and the number of layers."""
    starts = [0]
    for piece in document.slices:
        ranges = {source.layers or (0, layers) for source in piece.sources}
        if len(ranges) > 1 or min(ranges)[0] != starts[-1]:
            raise _stacked(document, layers, ", ".join(f"{list(pair)}" for pair in sorted(ranges)))
        starts.append(min(ranges)[1])
    if starts[-1] != layers:
        raise _stacked(document, layers, f"{starts[-1]} layers")
    return starts


def _stacked(document: MergekitDocument, layers: int, got: str) -> RecipeError:
    return RecipeError(
        "a recipe cannot stack, repeat or leave out layers",
        where=f"{document.where}, slices",
        expected=f"slices that together are the layers 0 to {layers}, each the same layers of all "
        "models",
        got=got,
        fix="only `passthrough` stacks layers, of one model in each slice",
    )


def _parents(document: MergekitDocument, base: str | None) -> list[str]:
    listed = [[model for model in piece.models if model != base] for piece in document.slices]
    for models in listed[1:]:
        if set(models) != set(listed[0]):
            raise RecipeError(
                "the slices merge different models",
                where=f"{document.where}, slices",
                expected=", ".join(listed[0]),
                got=", ".join(models),
            )
    return listed[0]


def _tokenizer(document: MergekitDocument) -> str:
    if document.tokenizer not in (None, "base"):
        return document.tokenizer
    if document.base is not None:
        return document.base
    if document.tokenizer == "base":
        raise RecipeError("the tokenizer is to be the base's, but there is no base_model")
    return document.slices[0].models[0]


def _check_names(document: MergekitDocument, there: methods.Counterpart) -> None:
    scopes = [("parameters", document.parameters, False)]
    for piece in document.slices:
        scopes.append(("parameters of a slice", piece.parameters, False))
        scopes += [(f"parameters of {s.model}", s.parameters, True) for s in piece.sources]
    for where, settings, of_model in scopes:
        for name in settings:
            if name not in there.names:
                raise RecipeError(
                    f"method `{document.method}` has no parameter `{name}` in mergekit",
                    where=f"{document.where}, {where}",
                    fix=nearest(name, there.names) if there.names else "leave it out",
                )
            if of_model and name not in methods.PER_INPUT:
                raise RecipeError(
                    f"mergekit ignores `{name}` where it stands",
                    where=f"{document.where}, {where}",
                    fix="give it under the file's own `parameters`, or those of a slice",
                )


@dataclass(frozen=True)
class _Reading:
    """A document's parameters, as mergekit looks them up."""

    document: MergekitDocument
    parents: list[str]
    places: list[TensorPlace]

    def values(self, name: str, model: str | None) -> dict[str, Value | None]:
        """A value for each tensor; None where mergekit's default counts."""
        return {
            place.tensor: resolve(self._scopes(place.piece, model), name, place)
            for place in self.places
        }

    def is_given(self, name: str) -> bool:
        """Whether the parameter is mentioned for any parent, or for all."""
        shared = (self.document.parameters, *(piece.parameters for piece in self.document.slices))
        return self.is_given_by_parents(name) or any(name in scope for scope in shared)

    def is_given_by_parents(self, name: str) -> bool:
        """Whether the parameter is mentioned for any parent in particular."""
        return any(
            name in source.parameters
            for piece in self.document.slices
            for source in piece.sources
            if source.model in self.parents
        )

    def option(self, name: str) -> Value | None:
        """The parameter's one value.

        Raises:
            RecipeError: it differs between tensors or models.
        """
        models = self.parents if name in methods.PER_INPUT else [None]
        found = {value for model in models for value in self.values(name, model).values()}
        if len(found) > 1:
            raise RecipeError(
                f"`{name}` differs between tensors or models, which a recipe cannot express",
                where=self.document.where,
                expected="one value for the whole merge",
                got=", ".join(sorted(map(str, found))),
            )
        return found.pop()

    def _scopes(self, piece: int, model: str | None) -> Iterator[Mapping[str, Any]]:
        for source in self.document.slices[piece].sources:
            if source.model == model:
                yield source.parameters
        yield self.document.slices[piece].parameters
        yield self.document.parameters


def _parameters(
    method: Method, there: methods.Counterpart, reading: _Reading, models: Mapping[str, ParentRef]
) -> dict[str, Parameter]:
    found = {}
    for spec in method.parameters:
        name = there.parameters.get(spec.name)
        if name is None or not (reading.is_given(name) or name in methods.REQUIRED):
            continue
        owners: dict[str, str | None] = {SHARED: None}
        if reading.is_given_by_parents(name):
            owners = {models[parent].name: parent for parent in reading.parents}
        elif spec.per_parent and name not in methods.PER_INPUT:
            # One value in mergekit, for a method that has only one parent here.
            owners = {models[parent].name: None for parent in reading.parents}
        values = {
            owner: {
                tensor: _number(spec, value, tensor)
                for tensor, value in reading.values(name, model).items()
            }
            for owner, model in owners.items()
        }
        parameter = _as_parameter(values)
        if parameter != Parameter(values={SHARED: {"model": spec.default}}):
            found[spec.name] = parameter
    return found


def _number(spec: ParameterSpec, value: Value | None, tensor: str) -> float:
    if value is None and spec.name in methods.REQUIRED:
        raise RecipeError(
            f"parameter `{spec.name}` has no value for a tensor",
            where=f"tensor {tensor}",
            expected="a value, as mergekit has no default for it",
            fix="give it to every model, or a last value without `filter`",
        )
    if isinstance(value, bool):
        raise RecipeError(f"parameter `{spec.name}` is a number", got=_text(value))
    return spec.default if value is None else value


def _options(there: methods.Counterpart, reading: _Reading) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for ours, name in there.options.items():
        if ours == methods.VECTORS:
            flags = {flag: reading.option(flag) for flag in sorted(methods.NUSLERP)}
            if any(value is not None for value in flags.values()):
                found[ours] = methods.from_nuslerp(
                    flatten=flags["nuslerp_flatten"] in (None, True),
                    row_wise=flags["nuslerp_row_wise"] is True,
                )
        elif (value := reading.option(name)) is not None:
            found[ours] = value
    return found


def _text(value: Value | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_parameter(values: Mapping[str, Mapping[str, float]]) -> Parameter:
    """The parameter with the coarsest grouping that fits `values[owner][tensor]`."""
    owners = sorted(values)
    tensors = sorted(values[owners[0]])
    rows = {tensor: tuple(values[owner][tensor] for owner in owners) for tensor in tensors}
    named: tuple[Named, ...] = ("model", "block", "block_part")
    for grouping in named:
        with suppress(RecipeError):  # a tensor that this grouping has no group for
            if (groups := _grouped(rows, grouping)) is not None:
                return _parameter(owners, grouping, groups)
    mapping = _explicit(rows)
    groups = _grouped(rows, mapping)
    assert groups is not None, "tensors of an explicit group share their values"
    return _parameter(owners, mapping, groups)


def _parameter(owners: list[str], grouping: Grouping, groups: Mapping[str, Row]) -> Parameter:
    return Parameter(
        grouping=grouping,
        values={
            owner: {group: row[index] for group, row in groups.items()}
            for index, owner in enumerate(owners)
        },
    )


def _grouped(rows: Mapping[str, Row], grouping: Named) -> dict[str, Row] | None:
    """Values of each group; None where tensors of a group differ."""
    groups: dict[str, Row] = {}
    for tensor, row in rows.items():
        if groups.setdefault(group_of(tensor, grouping, TEXT), row) != row:
            return None
    return groups


def _explicit(rows: Mapping[str, Row]) -> dict[str, str]:
    """Named expressions, of which each tensor matches exactly one: one for all that share their values.

    If tensors with the same place in their blocks have the same values in all blocks, they are
    named for all blocks at once; otherwise each is named by itself.
    """
    patterns = {tensor: _any_block(tensor) for tensor in rows}
    if len({(patterns[tensor], row) for tensor, row in rows.items()}) > len(set(patterns.values())):
        patterns = {tensor: re.escape(tensor) for tensor in rows}
    classes: dict[Row, list[str]] = {}
    for pattern, row in sorted({(patterns[tensor], row) for tensor, row in rows.items()}):
        classes.setdefault(row, []).append(pattern)
    return {
        f"tensors.{number}": f"^(?:{'|'.join(alike)})$"
        for number, alike in enumerate(classes.values(), 1)
    }


def _any_block(tensor: str) -> str:
    """An expression for the tensor's counterparts in all blocks."""
    block = BLOCK.search(tensor)
    if block is None:
        return re.escape(tensor)
    return re.escape(tensor[: block.start(1)]) + r"\d+" + re.escape(tensor[block.end(1) :])
