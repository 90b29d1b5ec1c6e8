"""From one generation to the next: a pure function of what the files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.genome import GeneKinds, Genome
from tsugiki.contracts.population import INJECTED, Candidate, Generation, Population
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.contracts.scores import further_first, scores_of
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evolve.stop import Past, stop_reason
from tsugiki.evolve.subsets import improves, leaders
from tsugiki.evolve.surrogate import GaussianProcess, model_of, screen
from tsugiki.strategies.state import State
from tsugiki.strategies.strategy import Asked, Strategy, clip

NOTHING = Past()
IDS = "ids"
"""Scalar of a state: ids of those who live in it, in its order. States of earlier versions have none, and neither have
those that begin with one of them."""


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


def first(
    config: RunConfig,
    stage: Stage,
    space: Genome,
    *,
    population: int | None = None,
    recorded: bytes | None = None,
) -> Next:
    """The first generation of a stage, with the candidates that its space has from elsewhere.

    `population` is the size of the generations of a strategy that keeps it in its state; what its setting
    says, or its default, if absent. `recorded` is the state that it was drawn from, if it is drawn again.

    Raises:
        ConfigError: those from elsewhere are more than the generation has room for.
    """
    scalars: dict[str, Any] = {"best": None, "best_generation": 0}
    if population is not None:
        scalars["population"] = population
    if stage.strategy.keeps and (recorded is None or IDS in State.from_bytes(recorded).scalars):
        scalars[IDS] = []

    def begun(kinds: GeneKinds) -> State:
        return stage.strategy.initial(np.array(space.start), kinds).with_scalars(**scalars)

    state = begun(space.kinds)
    if recorded is not None and state.to_bytes() != recorded:
        # earlier versions of some strategies took indicators for numbers
        earlier = begun(replace(space.kinds, binary=np.zeros(len(space.start), dtype=np.bool_)))
        state = earlier if earlier.to_bytes() == recorded else state
    return _ask(config, stage, space, state)


def select(
    config: RunConfig,
    stage: Stage,
    space: Genome,
    *,
    population_bytes: bytes,
    state_bytes: bytes,
    outcomes_bytes: bytes,
    objectives: Sequence[Objective],
    past: Past = NOTHING,
) -> Next:
    """Draw the generation that follows a ranked one.

    The bytes are those of population.json, state.npz and outcomes.json; `past` is what is recorded of the
    stage up to this generation, as far as its budget and strategy ask.

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
            left_out=population.left_out,
        )
        return Next(following.to_json(), state_bytes, ())
    asked = [candidate for candidate in population.candidates if not candidate.leads]
    genomes = np.array([candidate.genome for candidate in asked])
    foreign = np.array([INJECTED in candidate.origin for candidate in asked])
    if foreign.any():
        genomes[foreign] = stage.strategy.injected(state, genomes[foreign])
    outcomes = [ranked.told for ranked in entry.ranked[: len(asked)]]
    scores = further_first(scores_of(outcomes, objectives), [one.rung for one in outcomes])
    left = scores.left if past.tells_left else None
    scores = replace(scores, by_document=past.by_document, left=left)
    told = stage.strategy.tell(state, genomes, scores)
    if IDS in state.scalars:
        ids = _ids(stage.strategy, state, told, [candidate.id for candidate in asked])
        told = told.with_scalars(**{IDS: ids})
    model = None
    if stage.surrogate is not None:
        model = model_of([*past.history, (population, entry)], objectives, space.kinds)
    before = (population, previous)
    if (subsets := config.subsets_of(stage.name)) is None:
        told = told.with_scalars(**stage.strategy.progress(state, scores, entry.generation))
        return _ask(config, stage, space, told, before=before, past=past, model=model)
    last = state.scalars["best_generation"]
    if improves(entry.ranked, stage.strategy, objectives):
        last = entry.generation
    told = told.with_scalars(best=None, best_generation=last)
    chosen = leaders(entry.ranked, subsets.leaders, stage.strategy, objectives)
    return _ask(
        config,
        stage,
        space,
        told,
        before=before,
        past=past,
        model=model,
        again=[population.candidates[index] for index in chosen],
    )


def _ask(
    config: RunConfig,
    stage: Stage,
    space: Genome,
    state: State,
    *,
    before: tuple[Population, str] | None = None,
    past: Past = NOTHING,
    model: GaussianProcess | None = None,
    again: Sequence[Candidate] = (),
) -> Next:
    generation, previous, stopped, left_out = 0, None, None, None
    ids: tuple[str, ...] = ()
    if before is not None:
        last, previous = before
        generation, ids = last.generation + 1, tuple(one.id for one in last.candidates)
        stopped = stop_reason(stage.budget, state, generation, past)
        left_out = last.left_out if past.left_out is None else past.left_out
    state_bytes = state.to_bytes()
    key = (config.seed, stage.name, "ask", generation)
    asked = [] if stopped else stage.strategy.ask(state, key)
    if asked and model is not None and stage.surrogate is not None:
        more = range(1, stage.surrogate.oversample)
        draws = [asked, *(stage.strategy.ask(state, (*key, "again", one)) for one in more)]
        asked = screen(draws, model, space.kinds)
    injected = space.injected if generation == 0 else ()
    if len(injected) >= len(asked) > 0:
        raise ConfigError(
            "more candidates are injected than the first generation has room for",
            where=f"stage {stage.name}",
            expected=f"{len(asked) - 1} at most, so that one is drawn",
            got=f"{len(injected)}",
            fix="inject fewer, or give the strategy a larger `population`",
        )
    names = [None] * (len(asked) - len(injected)) + [one.name for one in injected]
    asked[len(asked) - len(injected) :] = [Asked(np.array(one.point)) for one in injected]
    recipes = [space.decode(clip(one.genome).tolist()) for one in asked]
    drawn = {recipe.digest for recipe in recipes}
    come = [] if stopped else [one for one in again if one.recipe not in drawn]
    source = digest_bytes(state_bytes)
    population = Population(
        run=config.name,
        phase=stage.name,
        generation=generation,
        split="search",
        previous=previous,
        state=source,
        stopped=stopped,
        left_out=left_out,
        candidates=(
            *(
                Candidate(
                    id=f"{generation:03d}-{index:02d}",
                    recipe=recipe.digest,
                    genome=tuple(float(value) for value in one.genome),
                    origin={INJECTED: name}
                    if name
                    else _origin(_parents(stage.strategy, state, one, ids), source),
                )
                for index, (one, recipe, name) in enumerate(zip(asked, recipes, names, strict=True))
            ),
            *(
                one.model_copy(
                    update={"id": f"{generation:03d}-{index:02d}", "origin": {"leader": one.id}}
                )
                for index, one in enumerate(come, start=len(asked))
            ),
        ),
    )
    return Next(population.to_json(), state_bytes, tuple(recipes))


def _ids(strategy: Strategy, before: State, after: State, new: Sequence[str]) -> list[str]:
    """Ids of those who live after a generation.

    `before` is the state that the generation was drawn from, with the ids of those who lived; `new` are
    those of the generation.
    """
    older: dict[bytes, str] = {}
    for genome, name in zip(strategy.living(before).genomes, before.scalars[IDS], strict=True):
        older.setdefault(genome.tobytes(), name)
    living = strategy.living(after)
    return [
        new[int(index)] if index >= 0 else older[genome.tobytes()]
        for genome, index in zip(living.genomes, living.told, strict=True)
    ]


def _parents(strategy: Strategy, state: State, one: Asked, last: Sequence[str]) -> list[str]:
    """Ids of a candidate's parents; where the state has none, of those in the `last` generation."""
    if IDS in state.scalars:
        return [state.scalars[IDS][index] for index in one.parents]
    told = strategy.living(state).told
    return [last[int(told[index])] for index in one.parents if told[index] >= 0]


def _origin(parents: list[str], source: str) -> dict[str, str | list[str]]:
    return {"parents": parents} if parents else {"distribution": source}


def _require_digest(name: str, content: bytes, expected: str | None, of: Population) -> None:
    if digest_bytes(content) != expected:
        raise LineageError(
            f"the {name} does not belong to the generation",
            where=f"{of.phase}, generation {of.generation}",
            expected=str(expected),
            got=digest_bytes(content),
            fix="remove the stage's gen-* folders and run again; scores are kept",
        )
