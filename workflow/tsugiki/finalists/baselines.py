"""The recipes that the result is compared with: parents, base, and merges without evolution."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from tsugiki.config.baselines import Baseline
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.evolve.population import Candidate, Population
from tsugiki.recipe.recipe import SHARED, Parameter, ParentRef, Recipe, with_names


def baseline_population(
    config: RunConfig, digests: Mapping[str, str], per_parent: Mapping[str, Mapping[str, bool]]
) -> tuple[Population, list[Recipe]]:
    """All baselines of a run as one population, scored on the search items.

    Args:
        config: The run's configuration; the first stage's parents are merged.
        digests: Digest of every parent, by name.
        per_parent: For every method and parameter, whether each parent has its own value.
    """
    stage = config.stages[0]
    found = [
        *(
            (name, "base" if name == stage.base else "parent", parent_recipe(stage, name, digests))
            for name in [*stage.parents, *([stage.base] if stage.base else [])]
        ),
        *(
            (baseline.name, "baseline", recipe)
            for baseline in config.baselines
            for recipe in grid(
                baseline,
                stage,
                digests=digests,
                per_parent=per_parent[baseline.method],
                mask_seed=_mask_seed(config, stage),
            )
        ),
    ]
    rows = [(name, kind, with_names(recipe, config.tensor_names)) for name, kind, recipe in found]
    population = Population(
        run=config.name,
        series="baselines",
        generation=0,
        split="search",
        previous=None,
        state=None,
        candidates=tuple(
            Candidate(
                id=f"000-{index:02d}",
                recipe=recipe.digest,
                genome=(),
                origin={"name": name, "kind": kind},
            )
            for index, (name, kind, recipe) in enumerate(rows)
        ),
    )
    return population, [recipe for _, _, recipe in rows]


def parent_recipe(stage: Stage, name: str, digests: Mapping[str, str]) -> Recipe:
    """A parent by itself, as a recipe: its weights, in the stage's number format."""
    return Recipe(
        method="linear",
        parents=(ParentRef(name=name, digest=digests[name]),),
        parameters={"weight": Parameter(values={name: {"model": 1.0}})},
        dtype=stage.space.dtype,
        tokenizer=name,
    )


def grid(
    baseline: Baseline,
    stage: Stage,
    *,
    digests: Mapping[str, str],
    per_parent: Mapping[str, bool],
    mask_seed: int,
) -> Iterator[Recipe]:
    """Every point of a baseline's grid; one recipe if it has none."""
    axes: list[list[tuple[str, str, float | bool | str]]] = []
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
    for point in itertools.product(*axes):
        yield _recipe(baseline, stage, point, digests=digests, mask_seed=mask_seed)


def tuned(
    population: Population, fitness: Mapping[str, float | None]
) -> dict[str, tuple[str, str]]:
    """The best point of each baseline's grid on the search items.

    Args:
        population: What `baseline_population` made.
        fitness: By recipe digest; None for a failure.

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
    point: Sequence[tuple[str, str, float | bool | str]],
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
        tokenizer=stage.space.tokenizer or stage.base or stage.parents[0],
    )


def _mask_seed(config: RunConfig, stage: Stage) -> int:
    return stage.space.mask_seed if stage.space.mask_seed is not None else config.seed
