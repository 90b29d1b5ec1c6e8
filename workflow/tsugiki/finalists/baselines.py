"""The recipes that the result is compared with: parents, base, merges and stacks without a search."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tsugiki.config.baselines import AnyBaseline, Baseline, FrankenmergeBaseline
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.contracts.layout import BASELINES
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import (
    SHARED,
    AnyRecipe,
    DataflowRecipe,
    Hop,
    Parameter,
    ParentRef,
    Recipe,
    with_names,
)
from tsugiki.errors import ConfigError
from tsugiki.finalists.choose import undrawn
from tsugiki.keyed import generator

Slice = tuple[str, int, int]
"""Parent, first layer, and the one after the last."""
GridValue = tuple[str, str, float | bool | str]
"""A parameter or option, the parents whose it is (none for an option), and its value."""
ATTEMPTS = 1000
"""For each stack that is wanted, before fewer are taken."""


def frankenmerge_recipes(
    baseline: FrankenmergeBaseline,
    stage: Stage,
    *,
    digests: Mapping[str, str],
    layers: Mapping[str, int],
    seed: int,
) -> list[DataflowRecipe]:
    """The recipe of a written stack, or those of distinct random ones.

    Small models may have fewer random stacks than are wanted. `digests` and numbers of `layers` are of
    every parent, by name.

    Raises:
        ConfigError: a slice names layers that do not exist.
    """
    if baseline.slices:
        for name, first, end in baseline.slices:
            if end > layers[name]:
                raise ConfigError(
                    "a stack names layers that do not exist",
                    where=f"baseline {baseline.name}",
                    expected=f"at most [{name}, 0, {layers[name]}]",
                    got=f"[{name}, {first}, {end}]",
                )
        stacks: Sequence[Sequence[Slice]] = [baseline.slices]
    else:
        key = (seed, "stacks", baseline.name)
        stacks = list(_random_frankenmerges(baseline, stage, layers, generator(*key)))
    return [_frankenmerge_recipe(stack, stage, digests) for stack in stacks]


def _random_frankenmerges(
    baseline: FrankenmergeBaseline,
    stage: Stage,
    layers: Mapping[str, int],
    random: np.random.Generator,
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


def _frankenmerge_recipe(
    stack: Sequence[Slice], stage: Stage, digests: Mapping[str, str]
) -> DataflowRecipe:
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


def baseline_population(
    config: RunConfig,
    digests: Mapping[str, str],
    per_parent: Mapping[str, Mapping[str, bool]],
    layers: Mapping[str, int] | None = None,
) -> tuple[Population, list[AnyRecipe]]:
    """All baselines of a run as one population, scored on the search items.

    The first stage's parents are merged; those of later stages are scored by themselves too. `per_parent`
    says of every method and parameter whether each parent has its own value; `layers` of every parent are
    needed by stacks only.

    Raises:
        ConfigError: a stack names layers that do not exist.
    """
    stage = config.stages[0]
    bases = {one.base for one in config.stages}
    names = config.tensor_names
    rows: list[tuple[str, str, AnyRecipe]] = [
        *(
            (
                name,
                "base" if name in bases else "parent",
                with_names(parent_recipe(stage, name, digests), names),
            )
            for name in _models(config)
        ),
        *(
            (baseline.name, "baseline", recipe)
            for baseline in config.baselines
            for recipe in _recipes(config, baseline, digests, per_parent, layers or {})
        ),
    ]
    named = ((one.digest, {"name": name, "kind": kind}) for name, kind, one in rows)
    population = undrawn(config.name, BASELINES, "search", named)
    return population, [recipe for _, _, recipe in rows]


def compared_models(config: RunConfig) -> tuple[int, int]:
    """How many parents and baselines the final table has, and how many models are scored to find them.

    No model is read for it: every parameter counts as one that each parent has a value of, which leaves the number
    of points as it is, and small models may have fewer random stacks than are wanted.
    """
    stacks = [one for one in config.baselines if isinstance(one, FrankenmergeBaseline)]
    merges = [one for one in config.baselines if not isinstance(one, FrankenmergeBaseline)]
    population, _ = baseline_population(
        config.model_copy(update={"baselines": merges}),
        dict.fromkeys(config.parents, "0" * 64),
        defaultdict(lambda: defaultdict(lambda: True)),
    )
    rows = {one.origin["name"] for one in population.candidates}
    models = {one.recipe for one in population.candidates}
    return len(rows) + len(stacks), len(models) + sum(one.random or 1 for one in stacks)


def _recipes(
    config: RunConfig,
    baseline: AnyBaseline,
    digests: Mapping[str, str],
    per_parent: Mapping[str, Mapping[str, bool]],
    layers: Mapping[str, int],
) -> Iterable[AnyRecipe]:
    stage = config.stages[0]
    if isinstance(baseline, FrankenmergeBaseline):
        return frankenmerge_recipes(
            baseline, stage, digests=digests, layers=layers, seed=config.seed
        )
    seed = stage.space.mask_seed if isinstance(stage.space, ParameterSpace) else None
    recipes = grid(
        baseline,
        stage,
        digests=digests,
        per_parent=per_parent[baseline.method],
        mask_seed=config.seed if seed is None else seed,
        key=(config.seed, "grid", baseline.name),
    )
    return (with_names(recipe, config.tensor_names) for recipe in recipes)


def parent_recipe(stage: Stage, name: str, digests: Mapping[str, str]) -> Recipe:
    """A parent by itself, as a recipe: its weights, in the stage's number format."""
    return Recipe(
        method="linear",
        parents=(ParentRef(name=name, digest=digests[name]),),
        parameters={"weight": Parameter(values={name: {"model": 1.0}})},
        dtype=stage.space.dtype,
        owner=name,
    )


def grid(
    baseline: Baseline,
    stage: Stage,
    *,
    digests: Mapping[str, str],
    per_parent: Mapping[str, bool],
    mask_seed: int,
    key: Sequence[str | int] = (),
) -> Iterator[Recipe]:
    """Every point of a baseline's grid, or distinct ones drawn from it; one recipe if it has none.

    `per_parent` says of every parameter of the method whether each parent has its own value; `key` is that
    of the draw.
    """
    axes: list[list[GridValue]] = []
    for name, value in sorted(baseline.parameters.items()):
        owners = sorted(stage.parents) if per_parent[name] else [SHARED]
        values = value if isinstance(value, list) else [value]
        if name in baseline.per_parent:
            axes.extend([[(name, owner, number) for number in values] for owner in owners])
        else:
            axes.append([(name, ",".join(owners), number) for number in values])
    for name, option in sorted(baseline.options.items()):
        choices = option if isinstance(option, list) else [option]
        axes.append([(name, "", choice) for choice in choices])
    for point in _points(axes, baseline.sample, key):
        yield _recipe(baseline, stage, point, digests=digests, mask_seed=mask_seed)


def _points(
    axes: Sequence[Sequence[GridValue]], count: int | None, key: Sequence[str | int]
) -> Iterator[Sequence[GridValue]]:
    """All points of a grid in order, or so many of them in the order in which they were drawn."""
    if count is None or count >= math.prod(map(len, axes)):
        yield from itertools.product(*axes)
        return
    random, seen = generator(*key), set[tuple[int, ...]]()
    while len(seen) < count:
        place = tuple(int(random.integers(len(axis))) for axis in axes)
        if place not in seen:
            seen.add(place)
            yield [axis[index] for axis, index in zip(axes, place, strict=True)]


def tuned(
    population: Population, fitness: Mapping[str, float | None]
) -> dict[str, tuple[str, str]]:
    """The best point of each baseline's grid on the search items.

    `population` is what `baseline_population` made; `fitness` is by recipe digest, None for a failure.

    Returns:
        Kind and recipe digest by row name; a grid whose every point failed keeps its first.
    """
    best: dict[str, tuple[str, str]] = {}
    for candidate in population.candidates:
        name, kind = str(candidate.origin["name"]), str(candidate.origin["kind"])
        if name not in best or _better(fitness[candidate.recipe], fitness[best[name][1]]):
            best[name] = (kind, candidate.recipe)
    return best


def _better(first: float | None, second: float | None) -> bool:
    return first is not None and (second is None or first > second)


def _recipe(
    baseline: Baseline,
    stage: Stage,
    point: Sequence[GridValue],
    *,
    digests: Mapping[str, str],
    mask_seed: int,
) -> Recipe:
    values: dict[str, dict[str, dict[str, float]]] = {}
    options: dict[str, bool | float | str] = {}
    for name, owners, value in point:
        if not owners:
            options[name] = value
            continue
        for owner in owners.split(","):
            values.setdefault(name, {})[owner] = {"model": float(value)}
    return Recipe(
        method=baseline.method,
        base=ParentRef(name=stage.base, digest=digests[stage.base]) if stage.base else None,
        parents=tuple(ParentRef(name=name, digest=digests[name]) for name in stage.parents),
        parameters={name: Parameter(values=of_name) for name, of_name in values.items()},
        options=options,
        mask_seed=mask_seed,
        dtype=stage.space.dtype,
        owner=stage.owner,
    )


def _models(config: RunConfig) -> list[str]:
    """Parents of all stages in their order, each stage's base after its parents."""
    named = (
        name for stage in config.stages for name in (*stage.parents, stage.base) if name is not None
    )
    return [name for name in dict.fromkeys(named) if name in config.parents]
