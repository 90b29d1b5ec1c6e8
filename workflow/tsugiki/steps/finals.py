"""Finalists, and what is scored on the held-out documents: recipes first, the population last."""

from __future__ import annotations

import numpy as np

from tsugiki.config.rivals import ROWS
from tsugiki.config.run import Flatness, RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import (
    BASELINES,
    FINALISTS,
    FLATNESS,
    REPEAT,
    TEST,
    PhaseFiles,
    RunFiles,
)
from tsugiki.contracts.ledger import entries, read_generation, read_population, scored_generations
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.finalists.baselines import tuned
from tsugiki.finalists.choose import (
    best_distinct,
    finalist_population,
    held_out_population,
)
from tsugiki.finalists.files import read_winner, winning_recipe
from tsugiki.finalists.flatness import neighbour_population, neighbours
from tsugiki.finalists.repeat import repeat_population
from tsugiki.space.read import read_genome
from tsugiki.steps.evolution import write_population
from tsugiki.strategies.state import State, read_state
from tsugiki.strategies.strategy import clip


def write_finalists(files: RunFiles, config: RunConfig, stage: Stage | None = None) -> None:
    """Write the population of finalists of a stage, the last one if none is named."""
    stage = stage or config.stages[-1]
    name = config.finalists_of(stage.name)
    searched, phase = files.phase(stage.name), files.phase(name)
    objectives = decided_evaluation(config, files.items).objectives
    history = scored_generations(searched)
    chosen = best_distinct(history, config.finalists.top, stage, objectives)
    recipes = _recipes(searched, [entry.recipe for entry in chosen])
    mean = _final_mean(searched, stage) if config.finalists.mean else None
    population = finalist_population(
        config.name,
        chosen,
        mean.digest if mean else None,
        objectives,
        phase=name,
        preference=config.preference_of(stage),
    )
    write_population(phase, population, [*recipes, *([mean] if mean else [])])


def write_test(files: RunFiles, config: RunConfig) -> None:
    """Write the population that is scored on the held-out documents, once."""
    finalists, baselines = files.phase(FINALISTS), files.phase(BASELINES)
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
    rivals = {
        ROWS[rival]: winning_recipe(files, config.finalists_of(stage.name))
        for rival, stage in config.rival_stages.items()
    }
    population = held_out_population(
        config.name,
        final_population,
        finals,
        rows,
        {name: recipe.digest for name, recipe in before.items()},
        {name: recipe.digest for name, recipe in rivals.items()},
    )
    write_population(
        files.phase(TEST),
        population,
        [
            *_recipes(finalists, [candidate.recipe for candidate in final_population.candidates]),
            *before.values(),
            *rivals.values(),
            *_recipes(baselines, [recipe for _, recipe in rows.values()]),
        ],
    )


def flatness_population(files: RunFiles, config: RunConfig) -> tuple[Population, list[AnyRecipe]]:
    """Neighbours of the winner, to be scored on the validation items, and their recipes."""
    flatness, stage = config.finalists.flatness or Flatness(), config.stages[-1]
    phase = files.phase(stage.name)
    won, space = read_winner(files.phase(FINALISTS)).recipe, read_genome(phase.space)
    drawn = (one for entry in entries(phase) for one in entry.population.candidates)
    genome = next((np.array(one.genome) for one in drawn if one.recipe == won), None)
    if genome is None:
        genome = stage.strategy.mean(_last_state(phase, stage))
    assert genome is not None  # a winner is a candidate, or the final mean
    key = (config.seed, FLATNESS, won)
    found = neighbours(clip(genome), space.kinds, flatness.candidates, flatness.step, key)
    recipes = [space.decode(one.tolist()) for one in found]
    return neighbour_population(config.name, found, [one.digest for one in recipes]), recipes


def write_flatness(files: RunFiles, config: RunConfig) -> None:
    """Write the population of the winner's neighbours."""
    population, recipes = flatness_population(files, config)
    write_population(files.phase(FLATNESS), population, recipes)


def again_population(files: RunFiles, config: RunConfig) -> Population:
    """Models of the final table, to be scored on the test items again."""
    test = files.phase(TEST).generation(0)
    count = config.evaluation.repeat_check or 0
    return repeat_population(
        read_population(test.population), read_generation(test.outcomes), count
    )


def write_repeat(files: RunFiles, config: RunConfig) -> None:
    """Write the population of models that are scored again."""
    population = again_population(files, config)
    recipes = _recipes(files.phase(TEST), [one.recipe for one in population.candidates])
    write_population(files.phase(REPEAT), population, recipes)


def stage_recipes(files: RunFiles, config: RunConfig, recipe: AnyRecipe) -> dict[str, AnyRecipe]:
    """Recipe of each stage's best model that a recipe is made from, the earliest stage first.

    Raises:
        EvaluationError, LineageError: a stage has no winner.
    """
    names = {recipe.owner, *(ref.name for ref in recipe.models)}
    found: dict[str, AnyRecipe] = {}
    for stage in reversed(config.stages):
        if stage.name in names:
            before = winning_recipe(files, config.finalists_of(stage.name))
            found[stage.name] = before
            names |= {before.owner, *(ref.name for ref in before.models)}
    return dict(reversed(found.items()))


def _final_mean(phase: PhaseFiles, stage: Stage) -> AnyRecipe | None:
    mean = stage.strategy.mean(_last_state(phase, stage))
    if mean is None:
        return None
    return read_genome(phase.space).decode(clip(np.asarray(mean)).tolist())


def _last_state(phase: PhaseFiles, stage: Stage) -> State:
    return read_state(phase.generation(stage.budget.generations).state)


def _recipes(phase: PhaseFiles, digests: list[str]) -> list[AnyRecipe]:
    return [read_recipe(phase.candidate(digest).recipe) for digest in digests]
