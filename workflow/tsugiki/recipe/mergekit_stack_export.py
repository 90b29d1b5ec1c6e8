"""A path as a mergekit configuration: `passthrough` of slices, the folding as scales of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tsugiki.errors import RecipeError
from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.merge.plan import EMBEDDINGS
from tsugiki.recipe.dataflow import DataflowRecipe, Hop
from tsugiki.recipe.mergekit_filters import Written, as_filters
from tsugiki.recipe.mergekit_paths import path_of

Yaml = dict[str, Any]
Factors = dict[str, float]
"""By name of a tensor."""


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
    before, hops, after = _factors(merge)
    slices = []
    for start, end in _pieces(recipe.path, hops):
        values = dict(before) if start == 0 else {}
        for hop, factors in zip(recipe.path[start:end], hops[start:end], strict=True):
            # mergekit's filters see the tensor's name in the model that it comes from.
            prefix = f"{merge.architecture.layers}.{hop.layer}."
            values |= {prefix + name: factor for name, factor in factors.items()}
        values |= after if end == len(hops) else {}
        slices.append(_slice(paths, recipe.path[start:end], as_filters(values)))
    document: Yaml = {
        "merge_method": "passthrough",
        "base_model": paths[recipe.owner],
        "slices": slices,
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


def _factors(merge: DataflowMerge) -> tuple[Factors, list[Factors], Factors]:
    """What tensors are multiplied by: embeddings, those of each hop, final norm and head."""
    numbered = re.compile(rf"^{re.escape(merge.architecture.layers)}\.(\d+)\.(.+)$")
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
        elif EMBEDDINGS.search(name):
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
