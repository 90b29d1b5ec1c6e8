"""A path through layers -> the point of a data-flow space that stands for it: the inverse of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, Hop
from tsugiki.space.dataflow_space import DECIMALS, DataflowGenome, Step
from tsugiki.space.from_recipe import Encoded, misfit_of, names_by_files


def encode_path(space: DataflowGenome, recipe: AnyRecipe) -> Encoded:
    """The point of the space that decodes to a path.

    Each layer of the path takes the first place that is free for it. Numbers that no layer uses stay where
    the search starts, at scales of 1.

    Raises:
        ConfigError: no point of the space is the path.
    """
    if not isinstance(recipe, DataflowRecipe):
        raise misfit_of("it is a merge in parameter space", "a path through layers", recipe.method)
    steps = _steps(space, recipe)
    point = np.zeros(len(space.places))
    point[[place for _, place in steps if place is not None and place < len(point)]] = 1.0
    scales, notes = _numbers(space, steps, [hop.scale for hop in recipe.path])
    return Encoded((*point.tolist(), *scales.tolist()), notes)


def _parents(space: DataflowGenome, recipe: DataflowRecipe) -> dict[str, str]:
    """What the recipe's parents are called in the space, which has all that they give."""
    models = [model.parent for model in space.models]
    owner, names = models[0].name, names_by_files(models, recipe.parents)
    if unknown := [name for name, ours in names.items() if not ours]:
        known = ", ".join(ref.name for ref in models)
        raise misfit_of("it takes part of another model", known, ", ".join(unknown))
    if names[recipe.owner] != owner:
        raise misfit_of("another model gives embeddings and head", owner, recipe.owner)
    if recipe.head is not None:
        raise misfit_of("its head is of another model than its embeddings", owner, recipe.head)
    if any(hop.factors for hop in recipe.path):
        raise misfit_of("it has factors of single tensors", "scales of whole layers", "factors")
    return names


def _steps(space: DataflowGenome, recipe: DataflowRecipe) -> list[Step]:
    """The layer in the row and the place of each hop (see `Step`)."""
    ours, owner = _parents(space, recipe), space.models[0].parent.name
    path, steps = list(recipe.path), list[Step]()
    if space.settings.fixed_ends:
        last = space.models[0].layers - 1
        ends = [(ours[hop.parent], hop.layer) for hop in (path[0], path[-1])]
        if len(path) < 2 or ends != [(owner, 0), (owner, last)]:
            raise misfit_of(
                "the space has fixed ends",
                f"{owner}.0 … {owner}.{last}",
                f"{_name(path[0])} … {_name(path[-1])}",
            )
        steps, path = [(0, None)], path[1:-1]
    free = 0
    for hop in path:
        wanted = (ours[hop.parent], hop.layer)
        for place in range(free, len(space.places)):
            if space.row[space.places[place]] == wanted:
                steps.append((space.places[place], place))
                free = place + 1
                break
        else:
            raise misfit_of(
                "it takes its layers in an order that the repeated row does not have",
                f"the layers of {', '.join(model.parent.name for model in space.models)}, "
                f"{space.settings.repeats} times",
                f"{_name(hop)} after {len(steps)} layers",
            )
    if space.settings.fixed_ends:
        steps.append((space.models[0].layers - 1, len(space.places)))
    return steps


def _numbers(
    space: DataflowGenome, steps: Sequence[Step], scales: Sequence[float]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The numbers that give the scales, and what they do not say."""
    low, high = space.settings.scale_range
    numbers = np.array(space.scales.start, dtype=np.float64)
    outside, averaged = 0, False
    for index, values in _scales_by_number(space, steps, scales).items():
        inside = [min(max(value, low), high) for value in values]
        outside += inside != values
        averaged |= len(set(values)) > 1
        numbers[index] = (sum(inside) / len(inside) - low) / (high - low)
    notes = {
        f"{outside} scales beyond `scale_range` moved to its end": outside,
        "several scales between the same two layers became their mean": averaged,
    }
    return numbers, tuple(note for note, found in notes.items() if found)


def _scales_by_number(
    space: DataflowGenome, steps: Sequence[Step], scales: Sequence[float]
) -> dict[int, list[float]]:
    """The scales that each number gives: of a place, or of all hops between two layers."""
    found: dict[int, list[float]] = {}
    fixed = list(scales)
    if space.settings.scales == "per_hop":
        fixed = []
        for (_, place), scale in zip(steps, scales, strict=True):
            if place is None:
                fixed.append(scale)
            else:
                found[place] = [scale]
    elif space.settings.scales == "matrix":
        fixed = list(scales[:1])
        for ((i, _), (j, _)), scale in zip(pairwise(steps), scales[1:], strict=True):
            found.setdefault(i * len(space.row) + j, []).append(scale)
    if any(round(scale - 1, DECIMALS) for scale in fixed):
        raise misfit_of(
            f"it has scales that `scales: {space.settings.scales}` cannot be given", "1", str(fixed)
        )
    return found


def _name(hop: Hop) -> str:
    return f"{hop.parent}.{hop.layer}"
