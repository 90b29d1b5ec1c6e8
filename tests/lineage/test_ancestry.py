"""A candidate is traced through its stage, and through earlier stages, to the models that were merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import MakeRun
from tests.recorded.test_recorded_run import recorded  # noqa: F401 - a fixture
from tests.runs_for_tests import PARENTS, parameter_stage
from tests.synthetic_runs import SyntheticRun
from tests.workflow.workspace import Workspace
from tsugiki.api import open_run
from tsugiki.canonical import digest_file
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.errors import LineageError
from tsugiki.lineage.ancestry import ancestry, render


@pytest.fixture(scope="module")
def bred(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """A genetic search of three generations, as its strategy draws it."""
    files = RunFiles(tmp_path_factory.mktemp("bred") / "synthetic")
    run = SyntheticRun(files, strategy={"kind": "genetic", "population": 6})
    run.write_search()
    return run


def test_parents_are_those_that_the_populations_name(bred: SyntheticRun) -> None:
    """Each generation once, the latest first, down to the first one, which was drawn."""
    phase = bred.files.phase("ps")
    child = read_population(phase.generation(2).population).candidates[-1]
    found = ancestry(bred.files, bred.config, child.id)
    by_id = {one.id: one for one in found.ancestors}
    assert found.ancestors[0].id == child.id
    assert by_id[child.id].parents == tuple(dict.fromkeys(child.origin["parents"]))
    assert set(by_id[child.id].parents) == {one for one in by_id if one.startswith("001-")}
    assert {one.operator for one in found.ancestors if one.id.startswith("000-")} == {"drawn"}
    assert found.drawn == ()


def test_an_elite_is_kept_and_children_are_crossed(bred: SyntheticRun) -> None:
    """Whoever has one parent and its genome was kept; a child of two was crossed."""
    population = read_population(bred.files.phase("ps").generation(1).population)
    before = read_population(bred.files.phase("ps").generation(0).population)
    genomes = {one.id: one.genome for one in before.candidates}
    operators = set()
    for one in population.candidates:
        parents = tuple(dict.fromkeys(one.origin["parents"]))
        same = genomes[parents[0]] == one.genome
        expected = "crossed" if len(parents) == 2 else "kept" if same else "mutated"
        assert ancestry(bred.files, bred.config, one.id).ancestors[0].operator == expected
        operators.add(expected)
    assert {"kept", "crossed"} <= operators


def test_parents_that_lived_on_for_generations_are_traced(tmp_path: Path) -> None:
    """Those of differential evolution live until a better one takes their place; the text names each once."""
    strategy = {"kind": "de", "population": 6}
    run = SyntheticRun(RunFiles(tmp_path / "kept"), generations=5, strategy=strategy)
    run.write_search()
    phase = run.files.phase("ps")
    populations = [read_population(phase.generation(number).population) for number in range(6)]
    named = {one.id: one.origin.get("parents", []) for of in populations for one in of.candidates}
    child = next(
        name
        for name, parents in reversed(named.items())
        if any(int(parent[:3]) < int(name[:3]) - 1 for parent in parents)
    )
    found = ancestry(run.files, run.config, child)
    expected, waiting = set(), [child]
    while waiting:
        one = waiting.pop()
        if one not in expected:
            expected.add(one)
            waiting += named[one]
    assert found.ancestors[0].id == child
    assert len(found.ancestors) == len(expected)
    assert {one.id: list(one.parents) for one in found.ancestors} == {
        one: named[one] for one in expected
    }
    for one in found.ancestors:
        assert one.operator == ("drawn" if one.id.startswith("000-") else "crossed")
    numbers = [int(one.id[:3]) for one in found.ancestors]
    assert numbers == sorted(numbers, reverse=True)
    assert all(render(found).count(f"    {one.id} ") == 1 for one in found.ancestors)


def test_what_was_drawn_from_a_distribution_names_all_generations_that_shaped_it(
    finished: SyntheticRun,
) -> None:
    """The strategy was told of each; the best of each is named with its score."""
    found = ancestry(finished.files, finished.config, "002-01")
    assert [one.operator for one in found.ancestors] == ["drawn"]
    assert [(one.generation, one.candidates) for one in found.drawn] == [(1, 4), (0, 4)]
    assert all(one.best is not None and one.score is not None for one in found.drawn)
    assert [one.name for one in found.sources] == ["base", "japanese", "maths"]


def test_an_unknown_candidate_is_an_error(finished: SyntheticRun) -> None:
    """Which says how candidates are called."""
    with pytest.raises(LineageError, match="no such candidate"):
        ancestry(finished.files, finished.config, "099-99")
    with pytest.raises(LineageError, match="no such stage"):
        ancestry(finished.files, finished.config, "000-00", "elsewhere")


def test_the_winner_of_a_recorded_run_is_traced_through_its_stages(
    recorded: Workspace,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its recipe merges the best model of the stage before, which was made from the parents."""
    monkeypatch.chdir(recorded.root)
    run = open_run(Path("tiny.yaml"))
    found = run.lineage()
    assert found.stage == "ps-dfs"
    (before,) = found.stages
    lock = json.loads(recorded.files.phase("ps").best_lock.read_bytes())
    assert before.ancestors[0].recipe == lock["source"]["recipe"]
    assert [one.name for one in before.sources] == ["a", "b", "base"]
    assert "model base: parents/base" in render(found)


@pytest.mark.parametrize("budget", [{"generations": 1}, {"generations": 3, "evaluations": 4}])
def test_the_mean_that_a_search_ended_with_comes_from_all_generations(
    make_run: MakeRun, budget: dict[str, int]
) -> None:
    """It is a finalist, and no candidate of a generation; the state after the last one that has any made it."""
    searched = parameter_stage(*PARENTS, population=4) | {"budget": budget}
    run = make_run(stages=[searched], finalists={"top": 1, "mean": True})
    run.search()
    finalists = read_population(run.files.phase("finalists").generation(0).population)
    (mean,) = [one for one in finalists.candidates if one.origin["name"] == "final mean"]
    found = ancestry(run.files, run.config, mean.recipe)
    (its,) = found.ancestors
    assert (its.id, its.recipe, its.operator) == ("001-mean", mean.recipe, "drawn")
    assert its.state == digest_file(run.files.phase("ps").generation(1).state)
    assert [one.generation for one in found.drawn] == [0]
    assert "001-mean" in render(found)
