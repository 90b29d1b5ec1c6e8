"""A path as a mergekit configuration: `passthrough` of slices, the folding as scales of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tsugiki.errors import RecipeError
from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.merge.plan import EMBEDDINGS
from tsugiki.recipe.dataflow import DataflowRecipe, Hop
from tsugiki.recipe.mergekit_filters import as_filters
from tsugiki.recipe.mergekit_paths import path_of

Yaml = dict[str, Any]


def export_stack(merge: DataflowMerge, sources: Mapping[str, str]) -> str:
    """A mergekit configuration (YAML) that makes the same model.

    Input scales stand in it as they are folded into the weights, since mergekit has none.

    Args:
        merge: The recipe, checked against the headers of its parents.
        sources: Path or Hub repository of each model, by name.

    Raises:
        RecipeError: mergekit cannot express the recipe.
    """
    recipe = merge.recipe
    _check_ends(recipe)
    paths = {ref.name: path_of(ref.name, sources) for ref in recipe.parents}
    factors = _factors(merge)
    document: Yaml = {
        "merge_method": "passthrough",
        "base_model": paths[recipe.owner],
        "slices": [
            _written(piece, paths, factors, merge.architecture.layers)
            for piece in _pieces(recipe.path, factors, merge.architecture.layers)
        ],
        "dtype": "float32",
    }
    if recipe.dtype != "float32":
        document["out_dtype"] = recipe.dtype
    notes = [
        f"Written by tsugiki from recipe {recipe.digest}.",
        *(f"{ref.name}: files with digest {ref.digest}" for ref in recipe.parents),
    ]
    if any(hop.scale != 1.0 for hop in recipe.path):
        notes.append("The scales are the recipe's input scales, folded (see docs/dataflow.md).")
    body = yaml.safe_dump(
        document, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )
    return "".join(f"# {line}\n" for line in notes) + body


@dataclass(frozen=True)
class _Piece:
    """Hops through consecutive layers of one parent whose tensors have the same factors."""

    start: int
    """Number of its first hop."""
    hops: tuple[Hop, ...]
    outside: tuple[str, ...]
    """Tensors before the first layer, or after the last one, that mergekit looks up here."""


def _factors(merge: DataflowMerge) -> dict[str, float]:
    """What each tensor of the model is multiplied by."""
    found = {}
    for name, origin in merge.origins.items():
        change = origin.change
        if change.offset and change.scale != 1.0:
            raise RecipeError(
                "mergekit cannot fold an input scale into a norm that multiplies by 1 + w",
                where=f"tensor {name}",
                expected="a product of a number and the stored weight",
                got=f"(1 + w) * {change.scale:g} - 1",
            )
        found[name] = change.factor * change.scale
    return found


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


def _pieces(path: Sequence[Hop], factors: Mapping[str, float], layers: str) -> Iterator[_Piece]:
    def of_hop(number: int) -> dict[str, float]:
        prefix = f"{layers}.{number}."
        return {
            name.removeprefix(prefix): value
            for name, value in factors.items()
            if name.startswith(prefix)
        }

    outside = {
        at: tuple(
            name
            for name in factors
            if not name.startswith(f"{layers}.")
            and (EMBEDDINGS.search(name) is not None) is at_start
        )
        for at, at_start in ((0, True), (len(path), False))
    }
    start = 0
    for end in range(1, len(path) + 1):
        if end < len(path):
            before, after = path[end - 1], path[end]
            follows = (before.parent, before.layer + 1) == (after.parent, after.layer)
            ends = outside[len(path)] if end == len(path) - 1 else ()
            plain = all(factors[name] == 1.0 for name in ends)
            if follows and of_hop(end - 1) == of_hop(end) and plain:
                continue
        around = (outside[0] if start == 0 else ()) + (outside[end] if end == len(path) else ())
        yield _Piece(start, tuple(path[start:end]), around)
        start = end


def _written(
    piece: _Piece, paths: Mapping[str, str], factors: Mapping[str, float], layers: str
) -> Yaml:
    first, last = piece.hops[0], piece.hops[-1]
    source: Yaml = {
        "model": paths[first.parent],
        "layer_range": [first.layer, last.layer + 1],
    }
    end = piece.start + len(piece.hops)
    inside = [f"{layers}.{number}." for number in range(piece.start, end)]
    values = {
        name: value
        for name, value in factors.items()
        if name in piece.outside or name.startswith(tuple(inside))
    }
    scale = as_filters(values)
    return {"sources": [source | ({} if scale == 1.0 else {"parameters": {"scale": scale}})]}
