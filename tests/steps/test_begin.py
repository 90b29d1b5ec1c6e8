"""Searches that begin with recipes from elsewhere: baselines, earlier stages, other runs, files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs_for_tests import TinyRun, raw_config, start_run
from tsugiki import atomic
from tsugiki.audit.audit import audit
from tsugiki.canonical import pretty_json
from tsugiki.config.load import parse_config
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.recipe import AnyRecipe, Recipe, read_recipe
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evolve.rank import rank
from tsugiki.space.parameter_space import ParameterGenome
from tsugiki.space.read import read_genome
from tsugiki.steps.audit import reselect
from tsugiki.steps.begin import check_origins
from tsugiki.steps.changes import announce_changes
from tsugiki.steps.evolution import write_next
from tsugiki.steps.finals import write_finalists
from tsugiki.steps.plan import Plan
from tsugiki.steps.start import write_baselines, write_first
from tsugiki.strategies.state import read_state

ZERO = "0" * 64
TUNED = {
    "name": "arithmetic-tuned",
    "method": "task_arithmetic",
    "parameters": {"weight": [0.3, 0.6, 0.9]},
    "per_parent": ["weight"],
}
TIES = {"name": "ties", "method": "ties", "parameters": {"weight": 0.4, "density": 0.5}}


def stage(name: str, grouping: str, **keys: Any) -> dict[str, Any]:
    """Task arithmetic with weights that are grouped so."""
    genes = {"weight": {"range": [0.0, 1.5], "grouping": grouping}}
    return {
        "name": name,
        "parents": ["a", "b"],
        "base": "base",
        "space": {"method": "task_arithmetic", "dtype": "float32", "genes": genes},
        "strategy": {"kind": "cma_es", "population": 5},
        "budget": {"generations": 1},
        **keys,
    }


@pytest.fixture
def begun(tiny_models: Path, tiny_tasks: Path, tmp_path: Path) -> Callable[..., TinyRun]:
    """A run of such stages, up to its first generation."""

    def make(*stages: dict[str, Any], **sections: Any) -> TinyRun:
        sections = {"baselines": [TUNED, TIES], "finalists": {"top": 2, "mean": False}, **sections}
        return start_run(
            raw_config(tiny_models, tiny_tasks, tmp_path, stages=list(stages), **sections)
        )

    return make


def weights(recipe: AnyRecipe) -> list[float]:
    """All of them, parent by parent."""
    values = recipe.parameters["weight"].values if isinstance(recipe, Recipe) else {"": {"": 0.0}}
    return [value for of in values.values() for value in of.values()]


def score(run: TinyRun, phase: str, *, best: tuple[float, ...]) -> None:
    """Rank a phase's first generation: the nearer its weights are to `best` on average, the better."""
    files = run.files.phase(phase)
    population = read_population(files.generation(0).population)
    outcomes: dict[str, Scored | Failed] = {}
    for candidate in population.candidates:
        recipe = read_recipe(files.candidate(candidate.recipe).recipe)
        found = weights(recipe)
        aim = np.repeat(best, len(found) // len(best)) if len(found) > 1 else np.array(best[:1])
        far = 1.0 if recipe.method == "ties" else 0.0
        value = 2.0 - float(((np.array(found) - aim) ** 2).mean()) + far
        outcomes[candidate.recipe] = Scored(
            recipe=candidate.recipe,
            evaluation=ZERO,
            measured={
                one.name: Measured(value=value, items=8) for one in run.config.evaluation.objectives
            },
            rates={},
            weights=ZERO,
            records=ZERO,
        )
    objectives = run.config.evaluation.with_goals().objectives
    content = files.generation(0).population.read_bytes()
    entry = rank(population, content, outcomes, objectives)
    atomic.write_bytes(files.generation(0).outcomes, pretty_json(entry.model_dump(mode="json")))


def first_of(run: TinyRun, name: str) -> tuple[Stage, ParameterGenome]:
    """Start a stage; its space."""
    found = run.config.stage(name)
    assert found is not None
    write_first(run.files, run.config, found, lambda _: None)
    space = read_genome(run.files.phase(name).space)
    assert isinstance(space, ParameterGenome)
    return found, space


def findings(run: TinyRun) -> list[str]:
    """What the audit says of how a stage's generations were drawn."""
    found = audit(run.files, run.config, reselect=reselect(run.files, run.config))
    words = ("drawn again", "taken from", "begun with")
    return [one.what for one in found if any(word in one.what for word in words)]


def test_a_search_starts_at_the_best_point_of_a_baseline(begun: Callable[..., TinyRun]) -> None:
    """Its mean is that recipe in the stage's finer genes; another method's better one is passed over."""
    run = begun(stage("ps", "block", start="baseline"))
    write_baselines(run.files, run.config)
    score(run, "baselines", best=(0.3, 0.9))
    _, space = first_of(run, "ps")
    recipe = space.decode(space.start)
    assert {one: set(of.values()) for one, of in recipe.parameters["weight"].values.items()} == {
        "a": {0.3},
        "b": {0.9},
    }
    state = read_state(run.files.phase("ps").generation(0).state)
    assert state.arrays["centroid"].tolist() == list(space.start)
    assert findings(run) == []


def test_stages_refine_each_other_and_take_candidates_from_elsewhere(
    begun: Callable[..., TinyRun],
) -> None:
    """The first generation of the second has the named ones last; their origin says so."""
    fine = stage(
        "fine",
        "block_part",
        start={"stage": "coarse"},
        inject={"tuned": {"baseline": "arithmetic-tuned"}, "coarse": {"stage": "coarse"}},
    )
    run = begun(stage("coarse", "model"), fine)
    write_baselines(run.files, run.config)
    score(run, "baselines", best=(0.6, 0.6))
    coarse, _ = first_of(run, "coarse")
    score(run, "coarse", best=(0.2, 0.4))
    write_next(run.files, run.config, coarse, 0)
    write_finalists(run.files, run.config, coarse)
    score(run, "finalists-coarse", best=(0.2, 0.4))
    (won,) = (
        read_recipe(run.files.phase("finalists-coarse").candidate(one.recipe).recipe)
        for one in read_generation(
            run.files.phase("finalists-coarse").generation(0).outcomes
        ).ranked[:1]
    )
    second, space = first_of(run, "fine")
    start = weights(space.decode(space.start))
    assert sorted(set(start)) == sorted(weights(won))
    population = read_population(run.files.phase("fine").generation(0).population)
    assert [one.origin.get("injected") for one in population.candidates] == [
        None, None, None, "tuned", "coarse",
    ]  # fmt: skip
    recipes = [
        read_recipe(run.files.phase("fine").candidate(one.recipe).recipe)
        for one in population.candidates
    ]
    assert set(weights(recipes[3])) == {0.6}
    assert sorted(set(weights(recipes[4]))) == sorted(weights(won))
    score(run, "fine", best=(0.2, 0.4))
    write_next(run.files, run.config, second, 0)
    assert findings(run) == []


def test_a_search_for_a_path_starts_at_a_stack(begun: Callable[..., TinyRun]) -> None:
    """Its likelier layers are the stack's; the one before all others is that path itself."""
    stack = {"name": "stack", "kind": "stack", "slices": [["a", 0, 1], ["b", 0, 2], ["a", 1, 2]]}
    run = begun({**PATHS, "start": "baseline"}, baselines=[TUNED, stack])
    check_origins(run.files, run.config, where="test")
    write_baselines(run.files, run.config)
    score(run, "baselines", best=(0.3, 0.9))
    write_first(run.files, run.config, run.config.stages[0], lambda _: None)
    files = run.files.phase("dfs")
    first = read_population(files.generation(0).population).candidates[0]
    (wanted,) = (
        recipe
        for path in run.files.phase("baselines").root.glob("candidates/*/recipe.json")
        if not isinstance(recipe := read_recipe(path), Recipe)
    )
    assert read_recipe(files.candidate(first.recipe).recipe).digest == wanted.digest
    space = read_genome(files.space)
    assert sorted(set(space.start[: len(space.kinds.binary.nonzero()[0])])) == [0.1, 0.9]
    assert findings(run) == []


def test_a_search_starts_at_a_file_and_refuses_to_go_on_from_another_one(
    begun: Callable[..., TinyRun], tmp_path: Path
) -> None:
    """A recorded search would be replaced; a file that is gone is no fault to the audit."""
    path = tmp_path / "recipe.json"
    run = begun(stage("ps", "block", start={"recipe": str(path)}))
    path.write_bytes(run.recipe(weight=0.75).to_json())
    ps, space = first_of(run, "ps")
    assert set(weights(space.decode(space.start))) == {0.75}
    score(run, "ps", best=(0.2, 0.4))
    write_next(run.files, run.config, ps, 0)
    announce_changes(run.files, run.config, log=lambda _: None)
    assert findings(run) == []
    path.write_bytes(run.recipe(weight=0.25).to_json())
    with pytest.raises(LineageError, match="would be replaced") as caught:
        announce_changes(run.files, run.config, log=lambda _: None)
    assert "stage ps starts anew" in str(caught.value)
    assert findings(run) == [f"the start was taken from another recipe than that of recipe {path}"]
    path.unlink()
    assert findings(run) == []


def test_a_search_starts_at_another_runs_best_model_or_candidate(
    begun: Callable[..., TinyRun], tmp_path: Path
) -> None:
    """The winner among its finalists, or whom the configuration names."""
    other = begun(stage("ps", "model"))
    ps, _ = first_of(other, "ps")
    score(other, "ps", best=(0.2, 0.4))
    write_next(other.files, other.config, ps, 0)
    write_finalists(other.files, other.config)
    score(other, "finalists", best=(0.2, 0.4))
    place = other.files.root.rename(tmp_path / "other")
    found = RunFiles(place).phase("ps")
    population = read_population(found.generation(0).population)
    third = read_recipe(found.candidate(population.candidates[2].recipe).recipe)
    finals = RunFiles(place).phase("finalists")
    (won, *_) = read_generation(finals.generation(0).outcomes).ranked
    best = read_recipe(finals.candidate(won.recipe).recipe)
    for origin, recipe in (({}, best), ({"candidate": "000-02"}, third)):
        run = begun(stage("ps", "block", start={"run": str(place), **origin}))
        check_origins(run.files, run.config, where="test")
        _, space = first_of(run, "ps")
        assert sorted(set(weights(space.decode(space.start)))) == sorted(weights(recipe))
        shutil.rmtree(run.files.root)
    run = begun(stage("ps", "block", start={"run": str(place), "candidate": "000-99"}))
    with pytest.raises(LineageError, match="no such candidate"):
        check_origins(run.files, run.config, where="test")


def test_spaces_of_searches_that_start_where_their_genes_say_hold_nothing_more(
    begun: Callable[..., TinyRun],
) -> None:
    """Files, and the configuration's, are what they were."""
    run = begun(stage("ps", "block"))
    first_of(run, "ps")
    content = json.loads(run.files.phase("ps").space.read_bytes())
    assert content.keys() == {"version", "space", "genes", "groupings", "frame"}
    assert not {"start", "inject"} & run.config.stages[0].model_dump().keys()


TIES_STAGE = stage("ps", "block")
TIES_STAGE["space"] = {**TIES_STAGE["space"], "method": "dare_ties", "options": {"density": 0.5}}
PATHS = {
    "name": "dfs",
    "parents": ["a", "b"],
    "space": {"kind": "dataflow", "repeats": 2},
    "strategy": {"kind": "bit_cma"},
    "budget": {"generations": 1},
}
MISFITS: list[tuple[list[dict[str, Any]], str]] = [
    (
        [{**TIES_STAGE, "start": {"baseline": "arithmetic-tuned"}}],
        r"stages\[0\].start.*baseline arithmetic-tuned.*another merge method",
    ),
    (
        [{**TIES_STAGE, "start": {"baseline": "ties"}}],
        "another merge method.*at a density of 1 only",
    ),
    (
        [stage("ps", "block", inject={"one": {"baseline": "ties"}})],
        r"stages\[0\].inject.one.*another merge method",
    ),
    (
        [stage("ps", "model"), {**TIES_STAGE, "name": "ties", "start": {"stage": "ps"}}],
        r"stages\[1\].start.*stage ps.*another merge method",
    ),
    (
        [stage("ps", "model"), stage("two", "block", parents=["a"], start={"stage": "ps"})],
        "other parents",
    ),
    ([stage("ps", "model"), {**PATHS, "start": {"stage": "ps"}}], "no paths through layers"),
    ([stage("ps", "model"), {**PATHS, "start": "baseline"}], "no paths through layers"),
    ([PATHS, stage("ps", "block", start={"stage": "dfs"})], "a path through layers"),
    ([stage("ps", "block", start={"recipe": "RECIPE"})], "another base"),
]


@pytest.mark.parametrize(("stages", "message"), MISFITS, ids=[text for _, text in MISFITS])
def test_what_a_space_cannot_express_is_told_before_anything_runs(
    stages: list[dict[str, Any]], message: str, begun: Callable[..., TinyRun], tmp_path: Path
) -> None:
    """One line, with the key."""
    run = begun(*stages)
    path = tmp_path / "recipe.json"
    path.write_bytes(run.recipe("linear", base=None, weight=0.5).to_json())
    if stages[0].get("start") == {"recipe": "RECIPE"}:
        run = begun({**stages[0], "start": {"recipe": str(path)}})
    with pytest.raises(ConfigError, match="1 fault in the configuration") as caught:
        check_origins(run.files, run.config, where="test")
    assert caught.value.got is not None
    assert re.search(message, caught.value.got)


def test_more_candidates_than_a_generation_has_room_for_are_refused(
    begun: Callable[..., TinyRun], tmp_path: Path
) -> None:
    """One at least is drawn."""
    path = tmp_path / "recipe.json"
    inject = {f"number-{one}": {"recipe": str(path)} for one in range(5)}
    run = begun(stage("ps", "block", inject=inject))
    path.write_bytes(run.recipe(weight=0.75).to_json())
    with pytest.raises(ConfigError, match="more candidates are injected"):
        first_of(run, "ps")


def plan_of(run: TinyRun, *stages: dict[str, Any], **sections: Any) -> Plan:
    """The plan of the run with other stages or sections."""
    raw = {**run.config.model_dump(mode="json"), **sections}
    if stages:
        raw["stages"] = list(stages)
    return Plan(run.files, parse_config(raw, where="test"))


class Wildcards:
    """Those of the rule `start`."""

    stage = "ps"


def test_a_stage_depends_on_the_baselines_that_it_begins_with(
    begun: Callable[..., TinyRun],
) -> None:
    """On the one that it names, or on all; one that does not name any, on none."""
    named = stage("ps", "block", start={"baseline": "arithmetic-tuned"})
    best, plain = stage("ps", "block", start="baseline"), stage("ps", "block")
    run = begun(plain)
    other_ties = [TUNED, {**TIES, "parameters": {"weight": 0.5}}]
    other_tuned = [{**TUNED, "parameters": {"weight": [0.3, 0.7]}}, TIES]
    for one, depends in ((plain, []), (named, [other_tuned]), (best, [other_ties, other_tuned])):
        key = plan_of(run, one).stage_key("ps")
        for baselines in (other_ties, other_tuned):
            changed = plan_of(run, one, baselines=baselines).stage_key("ps") != key
            assert changed is (baselines in depends)
        waits = plan_of(run, one).baselines_for(Wildcards)
        assert waits == (
            [] if one is plain else [str(run.files.phase("baselines").generation(0).outcomes)]
        )
    keys = {plan_of(run, one).stage_key("ps") for one in (plain, named, best)}
    assert len(keys) == 3


def test_a_stage_depends_on_the_stage_that_it_begins_with(begun: Callable[..., TinyRun]) -> None:
    """It waits for the finalists, and starts anew if that stage does."""
    first, second = stage("coarse", "model"), stage("ps", "block", start={"stage": "coarse"})
    run = begun(first, second)
    plan = plan_of(run)
    finals = run.files.phase("finalists-coarse").generation(0).outcomes
    assert plan.origins_of(Wildcards) == [str(finals)]
    wider = {**first, "strategy": {"kind": "cma_es", "population": 9}}
    assert plan_of(run, wider, second).stage_key("ps") != plan.stage_key("ps")
