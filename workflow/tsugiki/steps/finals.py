"""The populations that no search draws: baselines, finalists, and what is scored on held-out documents.

Recipes are written first, the population that names them last.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.baselines import StackBaseline
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import BASELINES, FINALISTS, TEST, RunFiles, SeriesFiles
from tsugiki.contracts.ledger import read_generation, read_population, scored_generations
from tsugiki.contracts.locks import ParentsLock, read_lock
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.evaluate.items import decided_evaluation
from tsugiki.finalists.baselines import baseline_population, tuned
from tsugiki.finalists.choose import (
    best_distinct,
    finalist_population,
    held_out_population,
    winner,
)
from tsugiki.merge.registry import METHODS
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.parents.locate import locate
from tsugiki.space.read import read_genome
from tsugiki.strategies.state import read_state
from tsugiki.strategies.strategy import clip


def write_recipes(series: SeriesFiles, recipes: Iterable[AnyRecipe]) -> None:
    """Write recipe.json of each candidate, where it is not there yet."""
    files = {series.candidate(recipe.digest).recipe: recipe.to_json() for recipe in recipes}
    atomic.write_all(
        {
            path: content
            for path, content in files.items()
            if not (path.is_file() and path.read_bytes() == content)
        }
    )


def write_population(path: Path, population: Population) -> None:
    """Write population.json."""
    atomic.write_bytes(path, pretty_json(population.model_dump(mode="json")))


def write_finalists(files: RunFiles, config: RunConfig, stage: Stage | None = None) -> None:
    """Write the population of finalists of a stage, the last one if none is named."""
    stage = stage or config.stages[-1]
    name = config.finalists_of(stage.name)
    searched, series = files.series(stage.name), files.series(name)
    objectives = decided_evaluation(config, files.items).objectives
    history = scored_generations(searched)
    chosen = best_distinct(history, config.finalists.top, stage, objectives)
    recipes = _recipes(searched, [entry.recipe for entry in chosen])
    mean = _final_mean(searched, stage) if config.finalists.mean else None
    write_recipes(series, [*recipes, *([mean] if mean else [])])
    population = finalist_population(
        config.name, chosen, mean.digest if mean else None, series=name
    )
    write_population(series.generation(0).population, population)


def write_test(files: RunFiles, config: RunConfig) -> None:
    """Write the population that is scored on the held-out documents, once."""
    finalists, baselines = files.series(FINALISTS), files.series(BASELINES)
    final_population = read_population(finalists.generation(0).population)
    finals = read_generation(finalists.generation(0).outcomes)
    fitness = {
        entry.recipe: entry.fitness
        for entry in read_generation(baselines.generation(0).outcomes).ranked
    }
    rows = tuned(read_population(baselines.generation(0).population), fitness)
    before = {
        stage.name: winning_recipe(files, config.finalists_of(stage.name))
        for stage in config.stages[:-1]
    }
    population = held_out_population(
        config.name,
        final_population,
        finals,
        rows,
        {name: recipe.digest for name, recipe in before.items()},
    )
    series = files.series(TEST)
    write_recipes(
        series,
        [
            *_recipes(finalists, [candidate.recipe for candidate in final_population.candidates]),
            *before.values(),
            *_recipes(baselines, [recipe for _, recipe in rows.values()]),
        ],
    )
    write_population(series.generation(0).population, population)


def winning_recipe(files: RunFiles, finalists: str = FINALISTS) -> AnyRecipe:
    """The recipe of the best finalist in a series of finalists; those of the last stage if absent."""
    series = files.series(finalists)
    won = winner(read_generation(series.generation(0).outcomes))
    return read_recipe(series.candidate(won.recipe).recipe)


def _final_mean(series: SeriesFiles, stage: Stage) -> AnyRecipe | None:
    last = series.generation(stage.budget.generations)
    state = read_state(last.state)
    mean = stage.strategy.mean(state)
    if mean is None:
        return None
    return read_genome(series.space).decode([float(value) for value in clip(np.asarray(mean))])


def _recipes(series: SeriesFiles, digests: list[str]) -> list[AnyRecipe]:
    return [read_recipe(series.candidate(digest).recipe) for digest in digests]


def write_baselines(files: RunFiles, config: RunConfig) -> None:
    """Write the population of baselines."""
    per_parent = {
        name: {parameter.name: parameter.per_parent for parameter in method.parameters}
        for name, method in METHODS.items()
    }
    lock = read_lock(files.parents)
    layers = layers_of_parents(config, lock) if _stacks(config) else {}
    population, recipes = baseline_population(config, lock.digests, per_parent, layers)
    series = files.series(BASELINES)
    write_recipes(series, recipes)
    write_population(series.generation(0).population, population)


def layers_of_parents(config: RunConfig, lock: ParentsLock) -> dict[str, int]:
    """Number of layers of every parent, by name."""
    return {
        name: int(Checkpoint(name, folder).config["num_hidden_layers"])
        for name, folder in locate(config, lock).items()
    }


def _stacks(config: RunConfig) -> bool:
    return any(isinstance(baseline, StackBaseline) for baseline in config.baselines)
