"""Stacks of layer ranges: mergekit's `passthrough` with `slices`, read as a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from tsugiki.errors import RecipeError
from tsugiki.recipe.dataflow import DataflowRecipe, Hop
from tsugiki.recipe.grouping import BLOCK, group_of
from tsugiki.recipe.mergekit_document import Document, Slice, Source
from tsugiki.recipe.mergekit_settings import Place, resolve
from tsugiki.recipe.recipe import ParentRef

SCALE = "scale"
"""The one parameter of mergekit's `passthrough`."""


def is_stack(document: Document, tensors: Mapping[str, Sequence[str]]) -> bool:
    """Whether a configuration stacks layers, so that it is a path and not a merge of whole models.

    Args:
        document: The configuration.
        tensors: Names of each model's tensors, by how the configuration calls it.
    """
    if document.method != "passthrough":
        return False
    sources = [_source(document, piece) for piece in document.slices]
    ranges = [source.layers for source in sources]
    if len({source.model for source in sources}) > 1:
        return True
    if None in ranges:
        return len(ranges) > 1
    taken = [layer for first, end in filter(None, ranges) for layer in range(first, end)]
    return taken != list(range(_count(tensors[sources[0].model])))


def import_stack(
    document: Document,
    models: Mapping[str, ParentRef],
    tensors: Mapping[str, Sequence[str]],
    *,
    dtype: str,
) -> DataflowRecipe:
    """The recipe that a stack describes.

    As in mergekit, embeddings come from the first slice's model, final norm and head from the last
    one's. A `scale` of a layer's tensor becomes a factor of the hop.

    Args:
        document: The configuration.
        models: Name and digest of every model, by how the configuration calls it.
        tensors: Names of each model's tensors, likewise.
        dtype: Number format where the configuration names none.

    Raises:
        RecipeError: a recipe cannot express the configuration.
    """
    sources = [_source(document, piece) for piece in document.slices]
    owner, last = sources[0].model, sources[-1].model
    for key, model in (("base_model", document.base), ("tokenizer_source", document.tokenizer)):
        if model not in (None, "base", owner):
            raise RecipeError(
                "a stack gets tokenizer and configuration from the model of its first slice",
                where=f"{document.where}, {key}",
                expected=owner,
                got=model,
            )
    hops: list[Hop] = []
    for piece, source in zip(document.slices, sources, strict=True):
        hops += _hops(document, piece, source, models, tensors[source.model])
    _check_outside(document, tensors[owner], tensors[last])
    return DataflowRecipe(
        parents=tuple(
            {models[source.model].name: models[source.model] for source in sources}.values()
        ),
        owner=models[owner].name,
        head=models[last].name,
        path=tuple(hops),
        dtype=cast("Any", document.dtype or dtype),
    )


def _source(document: Document, piece: Slice) -> Source:
    sources = [source for source in piece.sources if source.model != document.base] or [
        *piece.sources
    ]
    if len(sources) != 1:
        raise RecipeError(
            "`passthrough` takes each layer from one model",
            where=f"{document.where}, slices",
            expected="one source in each slice",
            got=", ".join(piece.models),
        )
    return sources[0]


def _hops(
    document: Document,
    piece: Slice,
    source: Source,
    models: Mapping[str, ParentRef],
    tensors: Sequence[str],
) -> Iterator[Hop]:
    layers = _by_layer(tensors)
    first, end = source.layers or (0, len(layers))
    if end > len(layers):
        raise RecipeError(
            "a slice names layers that do not exist",
            where=f"{document.where}, layer_range of {source.model}",
            expected=f"at most [0, {len(layers)}]",
            got=f"[{first}, {end}]",
        )
    scopes = (source.parameters, piece.parameters, document.parameters)
    _check_names(document, scopes)
    for offset, layer in enumerate(range(first, end)):
        t = offset / (end - first - 1) if end - first > 1 else 1.0
        factors: dict[str, float] = {}
        for tensor in layers[layer]:
            # mergekit's filters see the tensor's name in the model that it comes from.
            value = resolve(scopes, SCALE, Place(tensor, 0, t))
            if value is not None and float(value) != 1.0:
                factors[within_block(tensor)] = float(value)
        yield Hop(parent=models[source.model].name, layer=layer, factors=factors)


def within_block(tensor: str) -> str:
    """A tensor's name within its layer."""
    block = BLOCK.search(tensor)
    assert block is not None, "tensors of layers have a number"
    return tensor[block.end(1) + 1 :]


def _by_layer(tensors: Sequence[str]) -> dict[int, list[str]]:
    layers: dict[int, list[str]] = {}
    for tensor in tensors:
        if group_of(tensor, "block").startswith("block."):
            number = int(group_of(tensor, "block").removeprefix("block."))
            layers.setdefault(number, []).append(tensor)
    return layers


def _count(tensors: Sequence[str]) -> int:
    return len(_by_layer(tensors))


def _check_names(document: Document, scopes: Sequence[Mapping[str, Any]]) -> None:
    for scope in scopes:
        for name in scope:
            if name != SCALE:
                raise RecipeError(
                    f"method `passthrough` has no parameter `{name}` in mergekit",
                    where=document.where,
                    expected=f"`{SCALE}`",
                )


def _check_outside(document: Document, first: Sequence[str], last: Sequence[str]) -> None:
    """Tensors outside the layers keep their values."""
    for tensors, piece, group in (
        (first, document.slices[0], "embeddings"),
        (last, document.slices[-1], "head"),
    ):
        source = _source(document, piece)
        scopes = (source.parameters, piece.parameters, document.parameters)
        for tensor in tensors:
            if group_of(tensor, "block") != group:
                continue
            values = {resolve(scopes, SCALE, Place(tensor, 0, t)) for t in (0.0, 1.0)}
            if values - {None, 1.0}:
                raise RecipeError(
                    "a recipe cannot scale tensors outside the layers of a stack",
                    where=f"{document.where}, tensor {tensor}",
                    expected="1",
                    got=", ".join(map(str, values)),
                    fix="give the layers' tensors their scale by filters",
                )
