"""From one generation to the next: a pure function of what the files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsugiki.canonical import digest_bytes, pretty_json
from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.genome import Genome
from tsugiki.contracts.population import Candidate, Generation, Population
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.contracts.scores import further_first, scores_of
from tsugiki.errors import LineageError
from tsugiki.evolve.leaders import improves, leaders
from tsugiki.strategies.state import State
from tsugiki.strategies.strategy import Asked, clip


@dataclass(frozen=True)
class Next:
    """A new generation.

    Attributes:
        population: Content of population.json.
        state: Content of state.npz.
        recipes: The population's recipes.
    """

    population: bytes
    state: bytes
    recipes: tuple[AnyRecipe, ...]


def first(config: RunConfig, stage: Stage, space: Genome) -> Next:
    """The first generation of a stage."""
    state = stage.strategy.initial(np.array(space.start), space.kinds).with_scalars(
        best=None, best_generation=0
    )
    return _ask(config, stage, space, state, generation=0, previous=None, ids=())


def select(
    config: RunConfig,
    stage: Stage,
    space: Genome,
    *,
    population_bytes: bytes,
    state_bytes: bytes,
    outcomes_bytes: bytes,
    objectives: Sequence[Objective],
) -> Next:
    """Draw the generation that follows a ranked one.

    Args:
        config: The run's configuration.
        stage: The stage.
        space: What its genomes mean.
        population_bytes: population.json of the generation.
        state_bytes: state.npz that it was drawn from.
        outcomes_bytes: outcomes.json of the generation.
        objectives: What candidates are scored by, with their goals.

    Raises:
        LineageError: the files do not belong together.
    """
    population = Population.model_validate_json(population_bytes)
    entry = Generation.model_validate_json(outcomes_bytes)
    _require_digest("state", state_bytes, population.state, population)
    _require_digest("population", population_bytes, entry.population, population)
    state = State.from_bytes(state_bytes)
    generation = population.generation + 1
    previous = digest_bytes(outcomes_bytes)
    if population.stopped is not None:
        following = Population(
            run=config.name,
            phase=stage.name,
            generation=generation,
            split="search",
            previous=previous,
            state=population.state,
            stopped=population.stopped,
            candidates=(),
        )
        return Next(_json(following), state_bytes, ())
    asked = [candidate for candidate in population.candidates if not candidate.leads]
    genomes = np.array([candidate.genome for candidate in asked])
    outcomes = [ranked.outcome for ranked in entry.ranked[: len(asked)]]
    scores = further_first(scores_of(outcomes, objectives), [one.rung for one in outcomes])
    told = stage.strategy.tell(state, genomes, scores)
    ids = tuple(candidate.id for candidate in population.candidates)
    if (subsets := config.evaluation.subsets) is None:
        told = told.with_scalars(**stage.strategy.progress(state, scores, entry.generation))
        return _ask(config, stage, space, told, generation=generation, previous=previous, ids=ids)
    last = state.scalars["best_generation"]
    if improves(entry.ranked, stage.strategy, objectives):
        last = entry.generation
    chosen = leaders(entry.ranked, subsets.leaders, stage.strategy, objectives)
    return _ask(
        config,
        stage,
        space,
        told.with_scalars(best=None, best_generation=last),
        generation=generation,
        previous=previous,
        ids=ids,
        again=[population.candidates[index] for index in chosen],
    )


def _ask(
    config: RunConfig,
    stage: Stage,
    space: Genome,
    state: State,
    *,
    generation: int,
    previous: str | None,
    ids: tuple[str, ...],
    again: Sequence[Candidate] = (),
) -> Next:
    state_bytes = state.to_bytes()
    stopped = stop_reason(stage, state, generation)
    asked = (
        [] if stopped else stage.strategy.ask(state, (config.seed, stage.name, "ask", generation))
    )
    recipes = [space.decode([float(value) for value in clip(one.genome)]) for one in asked]
    known = {recipe.digest for recipe in recipes}
    come = [] if stopped else [one for one in again if one.recipe not in known]
    source = digest_bytes(state_bytes)
    population = Population(
        run=config.name,
        phase=stage.name,
        generation=generation,
        split="search",
        previous=previous,
        state=source,
        stopped=stopped,
        candidates=(
            *(
                Candidate(
                    id=f"{generation:03d}-{index:02d}",
                    recipe=recipe.digest,
                    genome=tuple(float(value) for value in one.genome),
                    origin=_origin(one, source, ids),
                )
                for index, (one, recipe) in enumerate(zip(asked, recipes, strict=True))
            ),
            *(
                one.model_copy(
                    update={"id": f"{generation:03d}-{index:02d}", "origin": {"leader": one.id}}
                )
                for index, one in enumerate(come, start=len(asked))
            ),
        ),
    )
    return Next(_json(population), state_bytes, tuple(recipes))


def _origin(one: Asked, source: str, ids: tuple[str, ...]) -> dict[str, str | list[str]]:
    if one.parents:
        return {"parents": [ids[index] for index in one.parents]}
    return {"distribution": source}


def _require_digest(name: str, content: bytes, expected: str | None, of: Population) -> None:
    if digest_bytes(content) != expected:
        raise LineageError(
            f"the {name} does not belong to the generation",
            where=f"{of.phase}, generation {of.generation}",
            expected=str(expected),
            got=digest_bytes(content),
            fix="remove the stage's gen-* folders and run again; scores are kept",
        )


def _json(population: Population) -> bytes:
    return pretty_json(population.model_dump(mode="json"))


def stop_reason(stage: Stage, state: State, generation: int) -> str | None:
    """Why the stage ends before `generation`, or None.

    The number of generations itself is the workflow's: it plans so many and no more.
    """
    patience = stage.budget.stagnation
    if patience is not None:
        idle = generation - 1 - int(state.scalars["best_generation"])
        if idle >= patience:
            return f"no better candidate in {idle} generations"
    return None
