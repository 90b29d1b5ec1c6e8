"""Stacks of layers, mergekit's `passthrough` with `slices`: read as a path in data-flow space, and written.

Factors of the tensors, a path's folded input scales among them, are mergekit's `scale` by filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.errors import RecipeError
from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.mergekit.document import MergekitDocument, Slice, Source
from tsugiki.mergekit.exporting import Yaml, as_text, path_of
from tsugiki.mergekit.filters import TensorPlace, Written, as_filters, resolve
from tsugiki.models.grouping import group_of
from tsugiki.models.kinds.text import BLOCK, TEXT, block_of

SCALE = "scale"
"""The one parameter of mergekit's `passthrough`."""


def is_frankenmerge(document: MergekitDocument, tensors: Mapping[str, Sequence[str]]) -> bool:
    """Whether a configuration stacks layers, so that it is a path and not a merge of whole models."""
    if document.method != "passthrough":
        return False
    sources = [_source(document, piece) for piece in document.slices]
    ranges = [source.layers for source in sources]
    if len({source.model for source in sources}) > 1:
        return True
    if None in ranges:
        return len(ranges) > 1
    taken = [layer for first, end in filter(None, ranges) for layer in range(first, end)]
    return taken != list(range(len(_by_layer(tensors[sources[0].model]))))


def import_frankenmerge(
    document: MergekitDocument,
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


def _source(document: MergekitDocument, piece: Slice) -> Source:
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
    document: MergekitDocument,
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
    if unknown := [name for scope in scopes for name in scope if name != SCALE]:
        raise RecipeError(
            f"method `passthrough` has no parameter `{unknown[0]}` in mergekit",
            where=document.where,
            expected=f"`{SCALE}`",
        )
    for offset, layer in enumerate(range(first, end)):
        t = offset / (end - first - 1) if end - first > 1 else 1.0
        factors: dict[str, float] = {}
        for tensor in layers[layer]:
            # mergekit's filters see the tensor's name in the model that it comes from.
            value = resolve(scopes, SCALE, TensorPlace(tensor, 0, t))
            if value is not None and float(value) != 1.0:
                block = BLOCK.search(tensor)
                assert block is not None, "tensors of layers have a number"
                factors[tensor[block.end(1) + 1 :]] = float(value)
        yield Hop(parent=models[source.model].name, layer=layer, factors=factors)


def _by_layer(tensors: Sequence[str]) -> dict[int, list[str]]:
    layers: dict[int, list[str]] = {}
    for tensor in tensors:
        if (number := block_of(tensor)) is not None:
            layers.setdefault(number, []).append(tensor)
    return layers


def _check_outside(document: MergekitDocument, first: Sequence[str], last: Sequence[str]) -> None:
    """Tensors outside the layers keep their values."""
    for tensors, piece, group in (
        (first, document.slices[0], "embeddings"),
        (last, document.slices[-1], "head"),
    ):
        source = _source(document, piece)
        scopes = (source.parameters, piece.parameters, document.parameters)
        for tensor in tensors:
            if group_of(tensor, "block", TEXT) != group:
                continue
            values = {resolve(scopes, SCALE, TensorPlace(tensor, 0, t)) for t in (0.0, 1.0)}
            if values - {None, 1.0}:
                raise RecipeError(
                    "a recipe cannot scale tensors outside the layers of a stack",
                    where=f"{document.where}, tensor {tensor}",
                    expected="1",
                    got=", ".join(map(str, values)),
                    fix="give the layers' tensors their scale by filters",
                )


Factors = dict[str, float]
"""By name of a tensor."""


def export_frankenmerge(merge: DataflowMerge, sources: Mapping[str, str]) -> str:
    """A mergekit configuration (YAML) that makes the same model.

    Input scales stand in it as they are folded into the weights, since mergekit has none.

    Raises:
        RecipeError: mergekit cannot express the recipe.
    """
    recipe = merge.recipe
    _check_ends(recipe)
    paths = {ref.name: path_of(ref.name, sources) for ref in recipe.parents}
    before, hops, after = _factors(merge)
    slices = []
    for start, end in _pieces(recipe.path, hops):
        values = dict(before) if start == 0 else {}
        for hop, factors in zip(recipe.path[start:end], hops[start:end], strict=True):
            # mergekit's filters see the tensor's name in the model that it comes from.
            prefix = f"{merge.layers.prefix}.{hop.layer}."
            values |= {prefix + name: factor for name, factor in factors.items()}
        values |= after if end == len(hops) else {}
        slices.append(_slice(paths, recipe.path[start:end], as_filters(values)))
    document: Yaml = {
        "merge_method": "passthrough",
        "base_model": paths[recipe.owner],
        "slices": slices,
    }
    note = "The scales are the recipe's input scales, folded (see docs/dataflow.md)."
    return as_text(document, recipe, [note] * any(hop.scale != 1.0 for hop in recipe.path))


def _factors(merge: DataflowMerge) -> tuple[Factors, list[Factors], Factors]:
    """What tensors are multiplied by: embeddings, those of each hop, final norm and head."""
    numbered = re.compile(rf"^{re.escape(merge.layers.prefix)}\.(\d+)\.(.+)$")
    before: Factors = {}
    hops: list[Factors] = [{} for _ in merge.recipe.path]
    after: Factors = {}
    for name, origin in merge.origins.items():
        change = origin.change
        if change.offset and change.scale != 1.0:
            raise RecipeError(
                "mergekit cannot fold an input scale into a norm that multiplies by 1 + w",
                where=f"tensor {name}",
                expected="a product of a number and the stored weight",
                got=f"(1 + w) * {change.scale:g} - 1",
            )
        factor = change.factor * change.scale
        if match := numbered.match(name):
            hops[int(match[1])][match[2]] = factor
        elif TEXT.use(name) == "embeddings":
            before[name] = factor
        else:
            after[name] = factor
    return before, hops, after


def _check_ends(recipe: DataflowRecipe) -> None:
    head = recipe.head or recipe.owner
    for what, wanted, hop in (
        ("embeddings", recipe.owner, recipe.path[0]),
        ("final norm and head", head, recipe.path[-1]),
    ):
        if hop.parent != wanted:
            raise RecipeError(
                f"mergekit takes {what} from the same model as the layer beside them",
                expected=f"a path that {'starts' if what == 'embeddings' else 'ends'} with a layer "
                f"of `{wanted}`",
                got=f"layer {hop.layer} of `{hop.parent}`",
            )


def _pieces(path: Sequence[Hop], factors: Sequence[Factors]) -> Iterator[tuple[int, int]]:
    """Runs of hops through consecutive layers of one parent whose factors are the same."""
    start = 0
    for end in range(1, len(path) + 1):
        if end < len(path):
            last, hop = path[end - 1], path[end]
            follows = (last.parent, last.layer + 1) == (hop.parent, hop.layer)
            if follows and factors[end - 1] == factors[end]:
                continue
        yield start, end
        start = end


def _slice(paths: Mapping[str, str], hops: Sequence[Hop], scale: Written) -> Yaml:
    source: Yaml = {
        "model": paths[hops[0].parent],
        "layer_range": [hops[0].layer, hops[-1].layer + 1],
    }
    return {"sources": [source | ({} if scale == 1.0 else {"parameters": {"scale": scale}})]}
