"""Generations that are scored in rungs, on files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tsugiki.api import Run
from tsugiki.audit.audit import audit
from tsugiki.canonical import digest_file
from tsugiki.config.load import parse_config
from tsugiki.contracts.document_sets import DocumentSets, read_document_sets
from tsugiki.contracts.ledger import read_generation, read_outcome
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.rungs import read_promotion
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.rungs import documents_by_rung
from tsugiki.evaluate.score import score
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import write_next, write_promotion, write_ranked
from tsugiki.steps.start import write_first

RUNGS = [2, 5, 8]
QUIET: Any = lambda _line: None  # noqa: E731


def configured(models: Path, tasks: Path, results: Path, **changes: Any) -> dict[str, Any]:
    """A run of one generation in rungs."""
    section = evaluation_section(tasks, **{"rungs": {"documents": RUNGS}, **changes})
    raw = raw_config(models, tasks, results, evaluation=section)
    raw["stages"][0]["budget"] = {"generations": 1}
    return raw


def climb(run: TinyRun, jobs: int = 1, evaluators: list[ShardEvaluator] | None = None) -> None:
    """Do what the rules do, from the first rung to the ledger's entry."""
    (stage,) = run.config.stages
    evaluators = evaluators or [
        ShardEvaluator(run.files, run.config, job=job) for job in range(jobs)
    ]
    last = len(RUNGS) - 1
    for rung in range(last):
        for evaluator in evaluators:
            evaluator.evaluate("ps", 0, rung=rung, log=QUIET)
        write_promotion(run.files, run.config, stage, 0, rung, log=QUIET)
    for evaluator in evaluators:
        evaluator.evaluate("ps", 0, log=QUIET)
    write_ranked(run.files, run.config, "ps", 0, log=QUIET)


def begun(raw: dict[str, Any]) -> TinyRun:
    """A run with its first generation drawn."""
    run = start_run(raw)
    write_first(run.files, run.config, run.config.stages[0])
    return run


@pytest.fixture(scope="module")
def ranked(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """A generation that was scored in rungs by one job. Read only."""
    run = begun(configured(tiny_models, tiny_tasks, tmp_path_factory.mktemp("ranked")))
    climb(run)
    write_next(run.files, run.config, run.config.stages[0], 0)
    return run


@pytest.fixture
def copied(ranked: TinyRun, tmp_path: Path) -> TinyRun:
    """The same in a folder to change."""
    shutil.copytree(ranked.files.root, tmp_path / "tiny")
    return TinyRun(type(ranked.files)(tmp_path / "tiny"), ranked.config)


def recorded(run: TinyRun) -> dict[str, str]:
    """Digests of all that does not depend on when, or by how many jobs, it was made."""
    names = {"outcome.json", "items.parquet", "outcomes.json", "population.json", "recipe.json"}
    return {
        path.relative_to(run.files.root).as_posix(): digest_file(path)
        for path in sorted(run.files.root.rglob("*"))
        if path.name in names or (path.parent.name == "gen-000" and path.name.startswith("rung-"))
        if path.is_file()
    }


def outcomes(run: TinyRun) -> dict[str, Scored | Failed]:
    """The ledger's outcomes, by recipe."""
    generation = read_generation(run.files.phase("ps").generation(0).outcomes)
    return {entry.recipe: entry.outcome for entry in generation.ranked}


def sound(run: TinyRun) -> list[str]:
    """What the audit finds in the stage."""
    return [
        str(one) for one in audit(run.files, run.config, reselect=reselect(run.files, run.config))
    ]


def test_in_the_end_every_candidate_has_the_scores_that_it_has_without_rungs(
    ranked: TinyRun, tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Values, rates, and the bytes of the record of all documents."""
    raw = configured(tiny_models, tiny_tasks, tmp_path)
    del raw["evaluation"]["rungs"]
    at_once = begun(raw)
    ShardEvaluator(at_once.files, at_once.config, job=0).evaluate("ps", 0, log=QUIET)
    write_ranked(at_once.files, at_once.config, "ps", 0, log=QUIET)
    found, expected = outcomes(ranked), outcomes(at_once)
    assert len(found) == 4
    assert found.keys() == expected.keys()
    for recipe, outcome in found.items():
        other = expected[recipe]
        assert isinstance(outcome, Scored)
        assert outcome.evaluation != other.evaluation
        assert outcome == other.model_copy(update={"evaluation": outcome.evaluation})


def test_three_jobs_leave_the_bytes_of_one(
    ranked: TinyRun, tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Outcomes and records of every rung, decisions, the ledger's entry."""
    run = begun(configured(tiny_models, tiny_tasks, tmp_path, jobs=3))
    climb(run, jobs=3)
    write_next(run.files, run.config, run.config.stages[0], 0)
    assert recorded(run) == recorded(ranked)


def test_each_rung_keeps_its_records_and_has_those_of_the_one_before(ranked: TinyRun) -> None:
    """More documents each time; the last has no folder of its own."""
    phase = ranked.files.phase("ps")
    for recipe in outcomes(ranked):
        rows: list[set[tuple[Any, ...]]] = []
        for rung, documents in enumerate(RUNGS):
            place = phase.candidate(recipe).at(rung if rung < 2 else None)
            outcome = read_outcome(place.outcome)
            assert isinstance(outcome, Scored)
            assert outcome.rung == (rung if rung < 2 else None)
            assert {one.items for one in outcome.measured.values()} == {documents}
            assert outcome.records == digest_file(place.items)
            columns = ["objective", "doc_id", "response", "value", "tokens"]
            table = read_samples(place.items, columns).to_pylist()
            rows.append({tuple(row.items()) for row in table})
        assert rows[0] < rows[1] < rows[2]


def test_no_document_is_put_to_a_candidate_twice(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later rung asks what is new, and whoever comes again to a rung that is whole asks nothing."""
    asked: list[tuple[str, str, int]] = []

    def listen(*arguments: Any, **named: Any) -> Any:
        asked.extend(
            (named["recipe"], task, one) for task, ids in named["ids"].items() for one in ids
        )
        return score(*arguments, **named)

    monkeypatch.setattr("tsugiki.evaluate.batch.score", listen)
    run = begun(configured(tiny_models, tiny_tasks, tmp_path))
    climb(run)
    assert len(asked) == len(set(asked)) == 4 * 2 * 8
    before = recorded(run)
    climb(run)
    assert len(asked) == 4 * 2 * 8
    assert recorded(run) == before


@pytest.mark.parametrize("gone", ["outcome", "items"])
def test_a_candidate_that_is_not_whole_at_a_rung_is_scored_again_there_alone(
    copied: TinyRun, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between two files: with the same bytes in the end."""
    before = recorded(copied)
    recipe = next(iter(outcomes(copied)))
    path: Path = getattr(copied.files.phase("ps").candidate(recipe).at(1), gone)
    path.unlink()
    calls: list[Any] = []

    def count(*arguments: Any, **named: Any) -> Any:
        calls.append((named["recipe"], named["part"]))
        return score(*arguments, **named)

    monkeypatch.setattr("tsugiki.evaluate.batch.score", count)
    climb(copied)
    assert calls == [(recipe, 1)]
    assert recorded(copied) == before


def test_a_record_that_is_damaged_below_ends_the_rung_above(copied: TinyRun) -> None:
    """Its documents are not mixed with others; the next run scores them anew."""
    recipe = next(iter(outcomes(copied)))
    candidate = copied.files.phase("ps").candidate(recipe)
    candidate.outcome.unlink()
    candidate.at(1).items.write_bytes(b"damaged")
    files = copied.files.phase("ps").generation(0)
    with pytest.raises(LineageError, match="rung before cannot be used"):
        ShardEvaluator(copied.files, copied.config, job=0).evaluate("ps", 0, log=QUIET)
    assert not files.all_evaluated()
    climb(copied)
    assert sound(copied) == []


def test_a_stage_in_rungs_is_sound_by_the_audit(ranked: TinyRun) -> None:
    """Decisions included, which follow from the records."""
    assert sound(ranked) == []


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "somebody is left": lambda one: one["candidates"][0].update(left="worse"),
    "other records": lambda one: one["candidates"][0].update(outcome="0" * 64),
    "nobody": lambda one: one["candidates"].clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_audit_finds_a_decision_that_does_not_follow(copied: TinyRun, change: str) -> None:
    """It is made again from the records of the rung."""
    path = copied.files.phase("ps").generation(0).promotion(0)
    content = json.loads(path.read_bytes())
    CHANGES[change](content)
    path.write_text(json.dumps(content))
    assert any("another decision follows" in one and "rung-0.json" in one for one in sound(copied))


def test_the_audit_finds_an_outcome_of_a_rung_that_was_changed(copied: TinyRun) -> None:
    """It is not the one that the decision names."""
    recipe = next(iter(outcomes(copied)))
    path = copied.files.phase("ps").candidate(recipe).at(0).outcome
    content = json.loads(path.read_bytes())
    content["measured"]["even"]["value"] += 0.25
    path.write_text(json.dumps(content))
    assert any("rung-0.json" in one for one in sound(copied))


def test_whoever_is_left_keeps_the_outcome_of_the_last_rung_that_it_reached(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Told apart by its rung and its number of documents; nothing more is asked of it."""
    changes = {"rungs": {"documents": RUNGS, "rule": "halving"}}
    run = begun(configured(tiny_models, tiny_tasks, tmp_path, **changes))
    climb(run)
    found = list(outcomes(run).values())
    assert sorted(-1 if one.rung is None else one.rung for one in found) == [-1, 0, 0, 1]
    for one in found:
        assert isinstance(one, Scored)
        place = run.files.phase("ps").candidate(one.recipe)
        documents = RUNGS[2 if one.rung is None else one.rung]
        assert {of.items for of in one.measured.values()} == {documents}
        assert place.outcome.is_file() is (one.rung is None)
    reasons = read_promotion(run.files.phase("ps").generation(0).promotion(0))
    assert [one.left for one in reasons.candidates].count("not among the best 2") == 2
    write_next(run.files, run.config, run.config.stages[0], 0)
    assert sound(run) == []
    opened = Run(run.files, run.config)
    table = opened.candidates()
    assert sorted(table["rung"].fillna(-1).tolist()) == [-1, 0, 0, 1]
    for _, row in table.iterrows():
        samples = opened.samples(row["id"])
        of_each = samples.groupby("objective")["value"].mean()
        assert {name: row[f"score.{name}"] for name in of_each.index} == pytest.approx(
            of_each.to_dict()
        )


def test_a_recipe_without_a_valid_merge_fails_at_the_first_rung_and_ranks_last(
    make_run: MakeRun, tiny_tasks: Path
) -> None:
    """It comes to no other rung."""
    run = make_run(evaluation=evaluation_section(tiny_tasks, rungs={"documents": RUNGS}))
    broken = run.recipe(weight=1e38)
    run.write_population([broken, run.recipe(weight=0.5)])
    climb(run)
    failed = outcomes(run)[broken.digest]
    assert isinstance(failed, Failed)
    assert failed.rung == 0
    assert not run.candidate(broken).outcome.exists()


def sets(run: TinyRun) -> DocumentSets:
    """The division of the documents."""
    return read_document_sets(run.files.items)


def test_rungs_are_nested_and_of_the_search_documents(ranked: TinyRun) -> None:
    """For each task; the last has the most."""
    found = documents_by_rung(ranked.config, sets(ranked), "ps", "search")
    search = sets(ranked).ids("search")
    for task in ("words", "choice"):
        of_task = [one[task] for one in found]
        assert [len(ids) for ids in of_task] == RUNGS
        assert set(of_task[0]) < set(of_task[1]) < set(of_task[2]) == set(search[task])
        assert all(ids == sorted(ids) for ids in of_task)
    for phase, split in (("baselines", "search"), ("finalists", "validation"), ("test", "test")):
        assert documents_by_rung(ranked.config, sets(ranked), phase, split) == [  # type: ignore[arg-type]
            sets(ranked).ids(split)  # type: ignore[arg-type]
        ]


def test_the_first_rung_is_another_sample_with_another_seed(ranked: TinyRun) -> None:
    """And the same one at every call."""
    first = [
        documents_by_rung(
            ranked.config.model_copy(update={"seed": seed}), sets(ranked), "ps", "search"
        )[0]["words"]
        for seed in (1, 1, 2, 3, 4)
    ]
    assert first[0] == first[1]
    assert len({tuple(one) for one in first}) > 1


def test_more_documents_than_there_are_are_refused(tiny_models: Path, tiny_tasks: Path) -> None:
    """Before anything is done."""
    raw = configured(tiny_models, tiny_tasks, Path("results"), rungs={"documents": [4, 9]})
    with pytest.raises(ConfigError, match="there are 8 search documents"):
        parse_config(raw, where="test")


def test_a_run_without_rungs_says_nothing_of_them(tiny_models: Path, tiny_tasks: Path) -> None:
    """Its configuration, and all digests of it, are what they were."""
    raw = configured(tiny_models, tiny_tasks, Path("results"))
    del raw["evaluation"]["rungs"]
    assert "rungs" not in parse_config(raw, where="test").evaluation.model_dump()
