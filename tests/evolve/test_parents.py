"""Parents of any generation are named, by strategies in whose state candidates live on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evolve.test_select import ZERO, follow, space_of, start
from tests.runs_for_tests import raw_config
from tsugiki.canonical import pretty_json
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Candidate, Population
from tsugiki.evolve.rank import rank
from tsugiki.evolve.select import IDS, Next, first
from tsugiki.space.dataflow_space import build_dataflow_genome
from tsugiki.strategies.state import State

KEEPING = ["bit_cma", "cycle_qd", "de", "mo_cma_es", "natural_niches", "nsga2", "nsga3"]
GENERATIONS = 6


def configured(kind: str) -> RunConfig:
    """Two objectives."""
    raw: dict[str, Any] = raw_config(Path("models"), Path("tasks"), Path("results"))
    first_one = raw["evaluation"]["objectives"][0]
    raw["evaluation"]["objectives"] = [first_one, {**first_one, "name": "other"}]
    raw["stages"][0]["strategy"] = {"kind": kind, "population": 8}
    raw["stages"][0]["budget"] = {"generations": GENERATIONS}
    return parse_config(raw, where="test")


def score(config: RunConfig, drawn: Next) -> bytes:
    """Objectives that do not agree; the last candidate of each generation fails."""
    population = Population.model_validate_json(drawn.population)
    outcomes: dict[str, Scored | Failed] = {}
    for recipe in drawn.recipes:
        values = np.array(
            [one for of in recipe.parameters["weight"].values.values() for one in of.values()]
        )
        measured = {
            one.name: Measured(value=1.0 - float(np.mean((values - best) ** 2)), items=8)
            for one, best in zip(config.evaluation.objectives, (0.3, 0.9), strict=True)
        }
        outcomes[recipe.digest] = Scored(
            recipe=recipe.digest, evaluation=ZERO, measured=measured, rates={}, weights=ZERO,
            records=ZERO,
        )  # fmt: skip
    last = drawn.recipes[-1].digest
    outcomes[last] = Failed(recipe=last, evaluation=ZERO, kind="model", reason="NaN")
    entry = rank(population, drawn.population, outcomes, config.evaluation.objectives)
    return pretty_json(entry.model_dump(mode="json"))


def searched(config: RunConfig, drawn: Next) -> list[Next]:
    """Generation after generation."""
    found = [drawn]
    while len(found) < GENERATIONS:
        found.append(follow(config, found[-1], score(config, found[-1])))
    return found


def candidates_of(found: list[Next]) -> list[tuple[Candidate, ...]]:
    """Of each generation."""
    return [Population.model_validate_json(one.population).candidates for one in found]


@pytest.mark.parametrize("kind", KEEPING)
def test_parents_are_named_however_old_they_are(kind: str) -> None:
    """Each child's are those that the strategy drew it from, known by their genomes."""
    config = configured(kind)
    strategy = config.stages[0].strategy
    found = searched(config, start(config))
    generations = candidates_of(found)
    genomes = {one.id: one.genome for of in generations for one in of}
    ages = set()
    for number, (drawn, of) in enumerate(zip(found, generations, strict=True)):
        state = State.from_bytes(drawn.state)
        living = strategy.living(state).genomes
        asked = strategy.ask(state, (config.seed, config.stages[0].name, "ask", number))
        for one, child in zip(asked, of, strict=True):
            named = child.origin.get("parents", [])
            assert [genomes[name] for name in named] == [tuple(living[at]) for at in one.parents]
            ages |= {number - int(name[:3]) for name in named}
    assert {1, 2} < ages


@pytest.mark.parametrize("kind", KEEPING)
def test_a_search_that_began_with_an_earlier_version_goes_on_as_it_did(kind: str) -> None:
    """Its states hold no ids; it draws the same candidates, and names parents of the last generation alone."""
    config = configured(kind)
    new = start(config)
    state = State.from_bytes(new.state)
    scalars = {name: one for name, one in state.scalars.items() if name != IDS}
    before = State(state.kind, state.arrays, scalars).to_bytes()
    old = first(config, config.stages[0], space_of(config), recorded=before)
    assert old.state == before
    pairs = zip(searched(config, old), searched(config, new), strict=True)
    for number, (one, other) in enumerate(pairs):
        assert IDS not in State.from_bytes(one.state).scalars
        assert one.recipes == other.recipes
        for mine, named in zip(*candidates_of([one, other]), strict=True):
            last = [name for name in named.origin.get("parents", []) if int(name[:3]) == number - 1]
            assert mine.origin.get("parents", []) == last


@pytest.mark.parametrize("kind", ["cycle_qd", "natural_niches"])
def test_a_search_that_took_indicators_for_numbers_is_drawn_again_as_it_was(kind: str) -> None:
    """Earlier versions began so; the audit draws it from the state that is recorded."""
    raw = configured(kind).model_dump(mode="json")
    raw["stages"][0]["space"] = {"kind": "dataflow", "repeats": 1, "scales": "none"}
    config = RunConfig.model_validate(raw)
    (stage,) = config.stages
    digests, layers = dict.fromkeys(stage.parents, ZERO), dict.fromkeys(stage.parents, 3)
    space = build_dataflow_genome(stage, digests=digests, layers=layers)
    start, now = np.array(space.start), first(config, stage, space).state
    earlier = stage.strategy.initial(
        start, replace(space.kinds, binary=np.zeros(len(start), dtype=np.bool_))
    ).with_scalars(best=None, best_generation=0, **{IDS: []})
    assert now != earlier.to_bytes()
    assert first(config, stage, space, recorded=earlier.to_bytes()).state == earlier.to_bytes()
    assert first(config, stage, space, recorded=now).state == now
