"""Stacks of layers without a search: those of the configuration, and random ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tsugiki.config.stack_baseline import StackBaseline
from tsugiki.config.stage import Stage
from tsugiki.errors import ConfigError
from tsugiki.keyed import generator
from tsugiki.recipe.dataflow import DataflowRecipe, Hop
from tsugiki.recipe.recipe import ParentRef

Slice = tuple[str, int, int]
"""Parent, first layer, and the one after the last."""
ATTEMPTS = 1000
"""For each stack that is wanted, before fewer are taken."""


def stack_recipes(
    baseline: StackBaseline,
    stage: Stage,
    *,
    digests: Mapping[str, str],
    layers: Mapping[str, int],
    seed: int,
) -> list[DataflowRecipe]:
    """The recipe of a written stack, or those of distinct random ones.

    Small models may have fewer random stacks than are wanted.

    Args:
        baseline: Which stacks.
        stage: The stage whose parents are stacked.
        digests: Digest of every parent, by name.
        layers: Number of layers of every parent, by name.
        seed: Of the run.

    Raises:
        ConfigError: a slice names layers that do not exist.
    """
    if baseline.slices:
        _check(baseline, layers)
        stacks: Sequence[Sequence[Slice]] = [baseline.slices]
    else:
        key = (seed, "stacks", baseline.name)
        stacks = list(_random_stacks(baseline, stage, layers, generator(*key)))
    return [_recipe(stack, stage, digests) for stack in stacks]


def _random_stacks(
    baseline: StackBaseline, stage: Stage, layers: Mapping[str, int], random: np.random.Generator
) -> Iterator[list[Slice]]:
    wanted = baseline.random or 0
    depth = layers[stage.parents[0]]
    seen: set[tuple[tuple[str, int], ...]] = set()
    for _ in range(wanted * ATTEMPTS):
        if len(seen) == wanted:
            return
        stack = _draw(baseline.pieces, stage.parents, layers, random)
        path = tuple((name, layer) for name, first, end in stack for layer in range(first, end))
        if depth <= len(path) <= baseline.longest * depth and path not in seen:
            seen.add(path)
            yield stack


def _draw(
    pieces: int, parents: Sequence[str], layers: Mapping[str, int], random: np.random.Generator
) -> list[Slice]:
    owner = parents[0]
    stack: list[Slice] = [(owner, 0, int(random.integers(1, layers[owner] + 1)))]
    for _ in range(pieces - 2):
        name = parents[int(random.integers(len(parents)))]
        first, end = sorted(random.choice(layers[name] + 1, size=2, replace=False).tolist())
        stack.append((name, first, end))
    return [*stack, (owner, int(random.integers(layers[owner])), layers[owner])]


def _recipe(stack: Sequence[Slice], stage: Stage, digests: Mapping[str, str]) -> DataflowRecipe:
    names = dict.fromkeys(name for name, _, _ in stack)
    return DataflowRecipe(
        parents=tuple(ParentRef(name=name, digest=digests[name]) for name in names),
        owner=stack[0][0],
        head=stack[-1][0],
        path=tuple(
            Hop(parent=name, layer=layer)
            for name, first, end in stack
            for layer in range(first, end)
        ),
        dtype=stage.space.dtype,
    )


def _check(baseline: StackBaseline, layers: Mapping[str, int]) -> None:
    for name, first, end in baseline.slices:
        if end > layers[name]:
            raise ConfigError(
                "a stack names layers that do not exist",
                where=f"baseline {baseline.name}",
                expected=f"at most [{name}, 0, {layers[name]}]",
                got=f"[{name}, {first}, {end}]",
            )
