"""Generations that are scored on documents of their own, on files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.canonical import digest_file
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import BASELINES, FINALISTS
from tsugiki.contracts.ledger import Entry, entries, read_population, scored_generations
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.samples import read_samples
from tsugiki.contracts.scores import scores_of, weighted_sum
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.rungs import documents_by_rung
from tsugiki.evaluate.score import score
from tsugiki.finalists.choose import SEARCHED, best_distinct
from tsugiki.lineage.ancestry import ancestry
from tsugiki.progress.progress import status
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import write_next, write_ranked
from tsugiki.steps.finals import write_finalists
from tsugiki.steps.start import write_baselines, write_first

GENERATIONS, SIZE, LEADERS, POPULATION = 4, 3, 2, 4
QUIET: Any = lambda _line: None  # noqa: E731

Asked = list[tuple[str, str, int]]


def configured(models: Path, tasks: Path, results: Path, **changes: Any) -> dict[str, Any]:
    """Four generations, each on three of eight documents, with two leaders."""
    subsets = {"per_generation": SIZE, "leaders": LEADERS}
    section = evaluation_section(tasks, **{"subsets": subsets, **changes})
    raw = raw_config(models, tasks, results, evaluation=section)
    raw["stages"][0]["budget"] = {"generations": GENERATIONS}
    return raw


def search(run: TinyRun, jobs: int = 1) -> None:
    """Do what the rules do, generation after generation."""
    evaluators = [ShardEvaluator(run.files, run.config, job=job) for job in range(jobs)]
    for generation in range(GENERATIONS):
        for evaluator in evaluators:
            evaluator.evaluate("ps", generation, log=QUIET)
        write_ranked(run.files, run.config, "ps", generation, log=QUIET)
        write_next(run.files, run.config, run.config.stages[0], generation)


def begun(raw: dict[str, Any]) -> TinyRun:
    """A run with its first generation drawn."""
    run = start_run(raw)
    write_first(run.files, run.config, run.config.stages[0])
    return run


@pytest.fixture(scope="module")
def asked() -> Asked:
    """Recipe, task and document of every question of `searched`."""
    return []


@pytest.fixture(scope="module")
def searched(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory, asked: Asked
) -> TinyRun:
    """A search by one job. Read only."""

    def listen(*arguments: Any, **named: Any) -> Any:
        asked.extend(
            (named["recipe"], task, one) for task, ids in named["ids"].items() for one in ids
        )
        return score(*arguments, **named)

    run = begun(configured(tiny_models, tiny_tasks, tmp_path_factory.mktemp("searched")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsugiki.evaluate.batch.score", listen)
        search(run)
    return run


def ledger(run: TinyRun) -> list[Entry]:
    """Its generations that were scored."""
    return [one for one in entries(run.files.phase("ps")) if one.outcomes is not None]


def own_documents(run: TinyRun, generation: int) -> dict[str, list[int]]:
    """What a generation is scored on, by task."""
    sets = read_document_sets(run.files.items)
    (found,) = documents_by_rung(run.config, sets, "ps", "search", generation)
    return found


def recorded(run: TinyRun) -> dict[str, str]:
    """Digests of all that does not depend on when, or by how many jobs, it was made."""
    names = {"outcome.json", "items.parquet", "outcomes.json", "population.json", "recipe.json"}
    return {
        path.relative_to(run.files.root).as_posix(): digest_file(path)
        for path in sorted(run.files.root.rglob("*"))
        if path.name in names
    }


def sound(run: TinyRun) -> list[str]:
    """What the audit finds."""
    again = reselect(run.files, run.config)
    return [str(one) for one in audit(run.files, run.config, reselect=again)]


def test_each_generation_has_search_documents_of_its_own(searched: TinyRun) -> None:
    """As many as configured, other ones each time, the same for all candidates."""
    pool = read_document_sets(searched.files.items).ids("search")
    drawn = [own_documents(searched, generation) for generation in range(GENERATIONS)]
    assert len({str(one) for one in drawn}) > 1
    for entry, documents in zip(ledger(searched), drawn, strict=True):
        assert all(set(ids) < set(pool[task]) for task, ids in documents.items())
        for candidate in entry.population.candidates:
            place = searched.files.phase("ps").candidate(candidate.recipe).of(entry.number)
            rows = read_samples(place.items, ["objective", "doc_id"]).to_pylist()
            found = {(row["objective"], row["doc_id"]) for row in rows}
            measured = searched.config.evaluation.objectives
            assert found == {(one.name, doc) for one in measured for doc in documents[one.task]}


def test_the_best_so_far_come_again_and_the_strategy_is_not_told_of_them(
    searched: TinyRun,
) -> None:
    """After those that it asked for, unless it asks for the same recipe."""
    first, *later = ledger(searched)
    assert not any(one.leads for one in first.population.candidates)
    for before, entry in zip([first, *later], later, strict=False):
        known = {one.id: one for one in before.population.candidates}
        fresh, again = entry.population.candidates[:POPULATION], entry.population.candidates[4:]
        assert not any(one.leads for one in fresh)
        assert len(again) <= LEADERS
        for one in again:
            assert known[str(one.origin["leader"])].recipe == one.recipe
    assert any(one.leads for entry in later for one in entry.population.candidates)


def test_a_lineage_counts_those_that_the_strategy_was_told_of(searched: TinyRun) -> None:
    """Who comes again is scored with a generation, and taught the strategy nothing there."""
    found = ancestry(searched.files, searched.config, f"{GENERATIONS - 1:03d}-00")
    assert [one.candidates for one in found.drawn] == [POPULATION] * (GENERATIONS - 1)


def test_no_document_is_put_to_a_candidate_twice(searched: TinyRun, asked: Asked) -> None:
    """Though some are among those of several generations that score it."""
    assert len(asked) == len(set(asked))
    scored = sum(len(entry.population.candidates) for entry in ledger(searched))
    tasks = len(own_documents(searched, 0))
    assert len(asked) < scored * SIZE * tasks


def test_the_mean_so_far_is_over_all_documents_that_a_candidate_was_asked(
    searched: TinyRun,
) -> None:
    """Each of them once, whichever generations have it."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    times: dict[str, int] = {}
    for entry in ledger(searched):
        assert entry.outcomes is not None
        for ranked in {one.recipe: one for one in entry.outcomes.ranked}.values():
            outcome = ranked.outcome
            assert isinstance(outcome, Scored)
            assert outcome.so_far is not None
            place = searched.files.phase("ps").candidate(ranked.recipe).of(entry.number)
            for row in read_samples(place.items, ["objective", "doc_id", "value"]).to_pylist():
                of = values.setdefault((ranked.recipe, row["objective"]), {})
                of[row["doc_id"]] = row["value"]
            times[ranked.recipe] = times.get(ranked.recipe, 0) + 1
            assert outcome.so_far.generations == times[ranked.recipe]
            for name, measured in outcome.so_far.measured.items():
                known = values[ranked.recipe, name].values()
                assert measured.items == len(known)
                assert measured.value == pytest.approx(sum(known) / len(known))
    assert max(times.values()) > 1


def test_finalists_are_those_that_came_again_by_the_mean(searched: TinyRun) -> None:
    """Whoever one generation alone has asked comes after them."""
    history = scored_generations(searched.files.phase("ps"))
    last = {one.recipe: one.outcome for generation in history for one in generation.ranked}
    objectives = searched.config.evaluation.objectives
    chosen = best_distinct(history, 30, searched.config.stages[0], objectives)
    outcomes = [last[one.recipe] for one in chosen]
    often = [isinstance(one, Scored) and one.times > 1 for one in outcomes]
    assert often == sorted(often, reverse=True)
    assert True in often
    assert False in often
    means = [
        sum(of.weight * one.overall.measured[of.name].value for of in objectives)
        for one in outcomes
        if isinstance(one, Scored) and one.times > 1
    ]
    assert means == sorted(means, reverse=True)


def test_three_jobs_leave_the_bytes_of_one_and_a_second_time_asks_nothing(
    searched: TinyRun,
    tiny_models: Path,
    tiny_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outcomes, records, the ledger, and who comes again."""
    run = begun(configured(tiny_models, tiny_tasks, tmp_path, jobs=3))
    search(run, jobs=3)
    assert recorded(run) == recorded(searched)
    monkeypatch.setattr("tsugiki.evaluate.batch.score", None)
    search(run)
    assert recorded(run) == recorded(searched)


def test_a_stage_on_subsets_is_sound_by_the_audit_and_has_a_status(searched: TinyRun) -> None:
    """Whatever is so far follows from the records."""
    assert sound(searched) == []
    assert "4 of 4" in status(searched.files, searched.config)


def test_finalists_scores_in_the_search_are_the_means_over_all_their_documents(
    searched: TinyRun, tmp_path: Path
) -> None:
    """As recorded with them, and as the audit derives them."""
    run = TinyRun(type(searched.files)(tmp_path / "tiny"), searched.config)
    shutil.copytree(searched.files.root, run.files.root)
    write_finalists(run.files, run.config)
    population = read_population(run.files.phase(FINALISTS).generation(0).population)
    history = scored_generations(run.files.phase("ps"))
    last = {one.recipe: one.outcome for generation in history for one in generation.ranked}
    again = 0
    for one in population.candidates:
        outcome = last.get(one.recipe)
        if SEARCHED in one.origin and isinstance(outcome, Scored):
            total = weighted_sum(scores_of([outcome.overall], run.config.evaluation.objectives))
            assert float(str(one.origin[SEARCHED])) == pytest.approx(float(total[0]))
            again += outcome.times > 1
    assert again
    assert sound(run) == []


@pytest.fixture
def copied(searched: TinyRun, tmp_path: Path) -> TinyRun:
    """The same in a folder to change."""
    shutil.copytree(searched.files.root, tmp_path / "tiny")
    return TinyRun(type(searched.files)(tmp_path / "tiny"), searched.config)


def came_again(run: TinyRun) -> tuple[str, int]:
    """Recipe and generation of a candidate that came again in the last generation."""
    last = ledger(run)[-1]
    return next(one.recipe for one in last.population.candidates if one.leads), last.number


def test_the_audit_finds_a_mean_that_does_not_follow(copied: TinyRun) -> None:
    """In the outcome and the ledger alike."""
    recipe, generation = came_again(copied)
    paths = [
        copied.files.phase("ps").candidate(recipe).of(generation).outcome,
        copied.files.phase("ps").generation(generation).outcomes,
    ]
    for path in paths:
        content = json.loads(path.read_bytes())
        rows = [one["outcome"] for one in content["ranked"]] if "ranked" in content else [content]
        for row in rows:
            if row["recipe"] == recipe:
                row["so_far"]["measured"]["even"]["value"] += 0.125
        path.write_text(json.dumps(content))
    assert any("`even` so far has another mean" in one for one in sound(copied))


def test_a_record_of_an_earlier_generation_that_is_damaged_is_scored_anew(
    copied: TinyRun,
) -> None:
    """The marks of that generation are removed, and the next run comes out the same."""
    before = recorded(copied)
    recipe, generation = came_again(copied)
    candidate = copied.files.phase("ps").candidate(recipe)
    candidate.of(generation).outcome.unlink()
    earlier = next(
        entry.number
        for entry in ledger(copied)
        if recipe in {one.recipe for one in entry.population.candidates}
    )
    candidate.of(earlier).items.write_bytes(b"damaged")
    evaluator = ShardEvaluator(copied.files, copied.config, job=0)
    with pytest.raises(LineageError, match="earlier generation cannot be used"):
        evaluator.evaluate("ps", generation, log=QUIET)
    assert not copied.files.phase("ps").generation(earlier).all_evaluated()
    search(copied)
    assert recorded(copied) == before


def test_documents_that_all_answer_alike_are_left_out_of_later_generations(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """By parents, base and first generation; none of them counts in a mean any more."""
    subsets = {"per_generation": 6, "leaders": 1, "informative": True}
    raw = {**configured(tiny_models, tiny_tasks, tmp_path, subsets=subsets), "seed": 3}
    run = begun(raw)
    write_baselines(run.files, run.config)
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    for phase, generation in ((BASELINES, 0), ("ps", 0), ("ps", 1)):
        evaluator.evaluate(phase, generation, log=QUIET)
        write_ranked(run.files, run.config, phase, generation, log=QUIET)
        if phase == "ps":
            write_next(run.files, run.config, run.config.stages[0], generation)
    first, second, third = list(entries(run.files.phase("ps")))
    left_out = second.population.left_out
    assert left_out is not None
    assert first.population.left_out is None
    assert third.population.left_out == left_out
    assert 1 <= len(left_out["choice"]) <= 8 - 6
    assert second.outcomes is not None
    for document in left_out["choice"]:
        values = set()
        for name, own in ((BASELINES, None), ("ps", 0)):
            for one in next(entries(run.files.phase(name))).population.candidates:
                if own is None and one.origin["kind"] not in ("parent", "base"):
                    continue
                place = run.files.phase(name).candidate(one.recipe).of(own)
                values |= {
                    row["value"]
                    for row in read_samples(place.items).to_pylist()
                    if (row["objective"], row["doc_id"]) == ("choice", document)
                }
        assert len(values) == 1
    for ranked in second.outcomes.ranked:
        place = run.files.phase("ps").candidate(ranked.recipe).of(1)
        rows = read_samples(place.items, ["objective", "doc_id"]).to_pylist()
        asked = {row["doc_id"] for row in rows if row["objective"] == "choice"}
        assert not asked & set(left_out["choice"])
        assert isinstance(ranked.outcome, Scored)
        assert ranked.outcome.so_far is not None
        assert ranked.outcome.so_far.measured["choice"].items <= 8 - len(left_out["choice"])
    assert sound(run) == []
    assert "documents left out, answered alike by all" in status(run.files, run.config)


WRONG = [
    ({"subsets": {"per_generation": 8}}, "smaller than the number of search documents"),
    ({"rungs": {"documents": [2, 3]}}, "exclude each other"),
    (
        {
            "subsets": {"per_generation": SIZE, "irt": {}},
            "objectives": [{"name": "length", "task": "words", "metric": "tokens"}],
        },
        "`length` counts tokens",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG)
def test_what_cannot_be_is_refused(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """Before anything is done."""
    with pytest.raises(ConfigError, match=reason):
        parse_config(configured(tiny_models, tiny_tasks, tmp_path, **changes), where="test")


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"strategy": {"kind": "nsga2", "population": 4}}, "nsga2 compares candidates of different"),
    (
        {"strategy": {"kind": "cma_es", "population": 4, "restarts": "ipop"}},
        "cma_es with `restarts: ipop` compares candidates of different",
    ),
    ({"budget": {"generations": 3, "stagnation": 1}}, "set `leaders` to 1 or more"),
]


@pytest.mark.parametrize(("changes", "reason"), UNFIT)
def test_searches_that_compare_candidates_of_two_generations_are_refused(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """Their scores are of different documents."""
    raw = configured(
        tiny_models, tiny_tasks, tmp_path, subsets={"per_generation": SIZE, "leaders": 0}
    )
    raw["stages"][0] |= changes
    with pytest.raises(ConfigError, match=reason):
        validate_config(parse_config(raw, where="test"), where="test")
