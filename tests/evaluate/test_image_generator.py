"""Image generators are searched for, scored by functions, and written as diffusers loads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.evaluate.shapes import SCORES, ask, draw, train_trio
from tests.pipelines import needs_diffusers
from tests.runs_for_tests import TinyRun, start_run
from tsugiki.audit.audit import audit
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.image_generator import open_generator
from tsugiki.evaluate.language_model import BrokenModelError
from tsugiki.evaluate.preflight import check_tasks
from tsugiki.parents import between
from tsugiki.parents.preflight import preflight
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import read_outcomes

pytestmark = needs_diffusers
QUIET: Any = lambda _line: None  # noqa: E731
GENERATIONS = 3


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, a model that knows shapes, and one that knows colours. Read only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train_trio(tmp_path_factory.mktemp("generators"))
    finally:
        torch.set_num_threads(threads)


def raw(trio: dict[str, Path], folder: Path, **changes: Any) -> dict[str, Any]:
    """The configuration of a search for pictures of the right shape in the right colour."""
    folder.mkdir(exist_ok=True)
    (folder / "scores.py").write_text(SCORES)
    genes = {"weight": {"range": [0.0, 1.5], "grouping": "block", "start": 1.0}}
    evaluation = {
        "objectives": [
            {"name": name, "function": f"{folder}/scores.py:{name}"} for name in ("shape", "colour")
        ],
        "items": {"search": 18, "validation": 9, "test": 27},
        "device": "cpu",
    }
    return {
        "name": "pictures",
        "results": str(folder / "results"),
        "parents": {name: {"path": str(path)} for name, path in trio.items()},
        "stages": [
            {
                "name": "ps",
                "parents": ["shapes", "colours"],
                "base": "base",
                "space": {"method": "task_arithmetic", "dtype": "float32", "genes": genes},
                "strategy": {"kind": "cma_es", "population": 6},
                "budget": {"generations": GENERATIONS},
            }
        ],
        "evaluation": evaluation | changes,
        "finalists": {"top": 2},
        "baselines": [],
        "rivals": [],
    }


@pytest.fixture(scope="module")
def finished(trio: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A search, to its final table and best model. Read only."""
    run = start_run(raw(trio, tmp_path_factory.mktemp("pictures")))
    run.finish()
    return run


@pytest.fixture
def run(trio: dict[str, Path], tmp_path: Path) -> TinyRun:
    """A run before its first generation."""
    return start_run(raw(trio, tmp_path / "pictures"))


def outcome_of(run: TinyRun, weight: float = 1.0) -> Scored | Failed:
    """What comes of one candidate."""
    recipe = run.recipe(weight=weight, parents=("shapes", "colours"))
    run.write_population([recipe])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=QUIET)
    phase = run.files.phase("ps")
    return read_outcomes(phase, read_population(phase.generation(0).population))[recipe.digest]


def rows_of(run: TinyRun) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and test scores of each row of the final table."""
    for row in json.loads(run.files.final.read_bytes())["rows"]:
        name = "evolved" if row["kind"] == "evolved" else row["name"]
        yield name, {measure: found["value"] for measure, found in row["test"].items()}


def test_the_evolved_merge_is_better_at_both_together_than_any_parent(finished: TinyRun) -> None:
    """On noise that was held out: it draws the shape that one parent knows, in the colour of the other."""
    found = dict(rows_of(finished))
    evolved = found["evolved"]
    for parent in ("base", "shapes", "colours"):
        both = found[parent]["shape"] + found[parent]["colour"]
        assert evolved["shape"] + evolved["colour"] > both + 0.1
    assert evolved["shape"] > found["colours"]["shape"] + 0.1
    assert evolved["colour"] > found["shapes"]["colour"] + 0.1


def test_such_a_search_is_one_that_the_audit_finds_sound(finished: TinyRun) -> None:
    """From the first generation to the final table."""
    again = reselect(finished.files, finished.config)
    assert audit(finished.files, finished.config, reselect=again) == []


def test_stock_diffusers_draws_what_was_scored(finished: TinyRun) -> None:
    """The written pipeline has the shapes' scores that the search has recorded."""
    import diffusers

    table = json.loads(finished.files.final.read_bytes())
    (row,) = [one for one in table["rows"] if one["kind"] == "evolved"]
    items = finished.files.phase("test").candidate(row["recipe"]).items
    recorded = {
        one["doc_id"]: one["value"]
        for one in pq.read_table(items).to_pylist()
        if one["objective"] == "colour"
    }
    pipeline = diffusers.DiffusionPipeline.from_pretrained(finished.files.best)
    assert type(pipeline) is diffusers.DDIMPipeline
    scope: dict[str, Any] = {}
    exec(SCORES, scope)

    class Written:
        model = pipeline

    values = scope["colour"](Written(), [ask(number) for number in recorded])
    assert values.tolist() == pytest.approx(list(recorded.values()), abs=1e-4)
    assert draw(pipeline, [ask(0)]).shape == (1, 3, 16, 16)


def test_a_candidate_is_the_same_by_way_of_the_disk(
    run: TinyRun, trio: dict[str, Path], tmp_path: Path
) -> None:
    """Its weights and scores, as merged in memory."""
    by_disk = outcome_of(start_run(raw(trio, tmp_path / "disk", storage="scratch")))
    in_memory = outcome_of(run)
    assert isinstance(by_disk, Scored)
    assert isinstance(in_memory, Scored)
    assert by_disk.weights == in_memory.weights
    assert by_disk.measured == in_memory.measured


def test_outputs_that_are_no_numbers_are_a_failure(trio: dict[str, Path]) -> None:
    """Of the candidate, whatever a function makes of them: it cannot win by drawing nothing."""
    generator = open_generator(trio["base"], {"unet"}, torch.float32, torch.device("cpu"))
    draw(generator.model, [ask(0)])
    assert generator.clock.stop() > 0
    generator.weights["unet"].conv_in.weight.fill_(torch.nan)
    draw(generator.model, [ask(0)])
    with pytest.raises(BrokenModelError, match="the model's outputs are not finite"):
        generator.clock.stop()


def checked(config: RunConfig) -> list[str]:
    """Faults that are told before a run."""
    return [*map(str, preflight(config).faults), *map(str, check_tasks(config).faults)]


def test_a_sound_configuration_is_found_so(run: TinyRun) -> None:
    """Functions that draw cannot be tried without a model, which is no fault."""
    assert checked(run.config) == []


def test_tasks_of_text_are_refused_for_image_generators(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Before anything is drawn."""
    (tmp_path / "texts.jsonl").write_text('{"text": "w1"}\n' * 40)
    corpus = {"name": "loss", "corpus": str(tmp_path / "texts.jsonl")}
    config = parse_config(raw(trio, tmp_path / "run", monitors=[corpus]), where="test")
    (fault,) = preflight(config).faults
    assert "`base` makes pictures, and answers no prompts of tasks" in str(fault)
    assert "loss" in str(fault)


def test_diffusers_that_is_not_there_is_told(run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to install it."""
    monkeypatch.setattr(between, "find_spec", lambda _name: None)
    (fault,) = preflight(run.config).faults
    assert "make images" in str(fault)
