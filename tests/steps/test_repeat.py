"""Models of the final table that are scored twice, on files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import REPEAT, TEST, RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.samples import read_samples
from tsugiki.finalists.files import load_repeat
from tsugiki.finalists.repeat import repeat_of
from tsugiki.steps.audit import reselect
from tsugiki.steps.plan import Plan

AGAIN = 2


def configured(models: Path, tasks: Path, results: Path, again: int | None) -> dict[str, Any]:
    """One generation, and two models of the final table again."""
    section = evaluation_section(tasks, **({} if again is None else {"repeat_check": again}))
    settings = {"baselines": [], "finalists": {"top": 1, "mean": False}, "evaluation": section}
    raw = raw_config(models, tasks, results, **settings)
    raw["stages"][0]["budget"] = {"generations": 1}
    return raw


@pytest.fixture(scope="module")
def scored(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """A run to its end. Read only."""
    run = start_run(configured(tiny_models, tiny_tasks, tmp_path_factory.mktemp("again"), AGAIN))
    run.finish()
    return run


def test_the_winner_is_scored_again_first_and_on_a_processor_nothing_differs(
    scored: TinyRun,
) -> None:
    """Six documents of two tasks, for two models."""
    drawn = read_population(scored.files.phase(REPEAT).generation(0).population)
    tested = read_population(scored.files.phase(TEST).generation(0).population)
    (won,) = [one.recipe for one in tested.candidates if one.origin["kind"] == "evolved"]
    assert drawn.candidates[0].recipe == won
    assert len(drawn.candidates) == AGAIN
    table = json.loads(scored.files.final.read_bytes())
    assert table["repeat"] == {"models": AGAIN, "values": AGAIN * 6 * 2, "flips": 0}
    again = reselect(scored.files, scored.config)
    assert audit(scored.files, scored.config, reselect=again) == []


def test_a_value_that_differs_the_second_time_is_counted(scored: TinyRun, tmp_path: Path) -> None:
    """As on a GPU whose sums are formed in another order."""
    shutil.copytree(scored.files.root, tmp_path / "tiny")
    files = RunFiles(tmp_path / "tiny")
    phase = files.phase(REPEAT)
    one = read_population(phase.generation(0).population).candidates[1].recipe
    path = phase.candidate(one).items
    rows = read_samples(path).to_pylist()
    rows[0]["value"] = 1.0 - rows[0]["value"]
    pq.write_table(pa.Table.from_pylist(rows, read_samples(path).schema), path)
    found = load_repeat(files, scored.config)
    assert found is not None
    assert (found.values, found.flips) == (AGAIN * 6 * 2, 1)


def test_what_is_no_number_is_compared_too() -> None:
    """By what a document contributes."""
    first = [{"objective": "loss", "doc_id": 0, "value": None, "part": "[-1.0, 2]"}]
    second = [{"objective": "loss", "doc_id": 0, "value": None, "part": "[-1.5, 2]"}]
    assert repeat_of([(first, first)]).flips == 0
    assert repeat_of([(first, second)]).flips == 1


def test_without_the_setting_nothing_is_planned_and_no_key_is_another(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Scores do not depend on it."""
    with_it, without = (
        Plan(
            RunFiles(tmp_path),
            parse_config(configured(tiny_models, tiny_tasks, tmp_path, again), where="test"),
        )
        for again in (AGAIN, None)
    )
    assert with_it.evaluation_key() == without.evaluation_key()
    assert (REPEAT in with_it.finals, REPEAT in without.finals) == (True, False)
    assert without.repeat() == []
    assert "repeat_check" not in without.config.evaluation.model_dump(mode="json")
