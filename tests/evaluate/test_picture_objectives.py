"""lm-eval's tasks about pictures as objectives of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.evaluate.picture_tasks import COUNT, sighted_config, write_picture_tasks
from tests.evaluate.sighted_models import clip_settings
from tests.runs_for_tests import TinyRun, start_run
from tsugiki.config.load import parse_config
from tsugiki.contracts.population import Population
from tsugiki.errors import LineageError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.materialized import materialize
from tsugiki.evaluate.preflight import check_tasks
from tsugiki.evaluate.prompts import render_prompts
from tsugiki.parents.preflight import preflight
from tsugiki.steps.start import write_first

Values = dict[str, float]


def score(raw: dict[str, Any]) -> tuple[TinyRun, list[dict[str, Any]]]:
    """Score a first generation; the rows of all its records."""
    run = start_run(raw)
    write_first(run.files, run.config, run.config.stages[0])
    if run.config.evaluation.storage == "disk":
        materialize(run.files, run.config, "ps", 0, 0)
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=lambda _: None)
    return run, rows_of(run)


def rows_of(run: TinyRun) -> list[dict[str, Any]]:
    """Rows of the records of a first generation."""
    phase = run.files.phase("ps")
    population = Population.model_validate_json(phase.generation(0).population.read_bytes())
    return [
        {**row, "candidate": one.id}
        for one in population.candidates
        for row in pq.read_table(phase.candidate(one.recipe).items).to_pylist()
    ]


def test_candidates_are_scored_on_pictures_alive_as_from_disk(tmp_path: Path) -> None:
    """Checked, divided, merged, asked and recorded as on text; both ways of storage agree."""
    raw = sighted_config(tmp_path)
    found = []
    for storage in ("memory", "disk"):
        changed = {**raw, "results": str(tmp_path / storage)}
        changed["evaluation"] = {**raw["evaluation"], "storage": storage}
        run, rows = score(changed)
        found.append(rows)
        assert preflight(run.config).faults == []
        assert check_tasks(run.config).faults == []
    assert found[0] == found[1]
    assert len(found[0]) == 4 * 2 * 8  # candidates, objectives, documents
    answers = {(row["prompt_hash"], row["response"]) for row in found[0] if row["tokens"]}
    assert (
        len(answers) > len({prompt for prompt, _ in answers}) * 4
    )  # more than one for a candidate


def harness(folder: Path) -> Harness:
    """lm-eval's tasks of a folder."""
    raw = sighted_config(folder.parent)
    return Harness(parse_config(raw, where="test").evaluation)


def hashes_of(tasks: Harness) -> dict[str, Sequence[str]]:
    """Digests of each task's documents."""
    return {name: one.hashes for name, one in tasks.documents().items()}


def test_a_picture_is_part_of_its_document(tmp_path: Path) -> None:
    """Equal questions about other pictures are other documents, and so is one whose picture changes."""
    before = hashes_of(harness(tmp_path / "tasks"))
    assert len(set(before["seen"])) == len(set(before["picked"])) == COUNT
    Image.new("RGB", (12, 8), "pink").save(tmp_path / "tasks" / "pictures" / "5.png")
    raw = sighted_config(tmp_path)
    Image.new("RGB", (12, 8), "pink").save(tmp_path / "tasks" / "pictures" / "5.png")
    after = hashes_of(Harness(parse_config(raw, where="test").evaluation))
    for name, hashes in before.items():
        changed = [place for place, one in enumerate(hashes) if one != after[name][place]]
        assert changed == [5]


def test_a_picture_that_changes_during_a_run_stops_it(tmp_path: Path) -> None:
    """Its score would be that of another document."""
    run = start_run(sighted_config(tmp_path))
    write_first(run.files, run.config, run.config.stages[0])
    for path in (tmp_path / "tasks" / "pictures").iterdir():
        Image.new("RGB", (12, 8), "pink").save(path)
    with pytest.raises(LineageError, match="another"):
        ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=lambda _: None)


def truncated(root: Path) -> None:
    """A picture whose end is missing."""
    path = root / "tasks" / "pictures" / "3.png"
    path.write_bytes(path.read_bytes()[:60])


def no_picture(root: Path) -> None:
    """A file that is none."""
    (root / "tasks" / "pictures" / "3.png").write_text("no picture")


def no_processor(root: Path) -> None:
    """A folder with weights and a tokenizer alone."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        (root / "models" / "eyes" / name).unlink()


def of_another_tower(root: Path) -> None:
    """A processor that makes larger pictures than the tower reads."""
    import json

    large = clip_settings(crop_size={"height": 16, "width": 16}, size={"shortest_edge": 16})
    path = root / "models" / "eyes" / "preprocessor_config.json"
    path.write_text(json.dumps({**large, "processor_class": "LlavaProcessor"}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated, ["picture cannot be opened", "task seen, document 3", "truncated"]),
        (no_picture, ["picture cannot be opened", "task picked, document 3", "cannot identify"]),
        (no_processor, ["`eyes` cannot be shown", "has no processor", "preprocessor_config.json"]),
        (of_another_tower, ["does not fit its vision tower", "processor 16, model 8"]),
    ],
)
def test_what_cannot_be_shown_is_told_before_any_work(
    tmp_path: Path, spoil: Callable[[Path], None], words: list[str]
) -> None:
    """By `tsugiki check`, with the place."""
    raw = sighted_config(tmp_path)
    spoil(tmp_path)
    text = check_tasks(parse_config(raw, where="test")).render()
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"question": "w1 w2"}, ["<image> once for each of 1 pictures", "0 times"]),
        ({"question": "<image> <image>"}, ["document 0", "2 times"]),
    ],
)
def test_each_picture_has_its_place_in_the_prompt(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    """Otherwise the processor would refuse each candidate."""
    raw = sighted_config(tmp_path)
    raw["evaluation"]["items"] = {"search": 12, "validation": 6, "test": 6}  # all documents
    write_picture_tasks(tmp_path / "tasks", **changes)
    text = check_tasks(parse_config(raw, where="test")).render()
    assert [word for word in words if word not in text] == []


def test_a_prompt_that_is_too_long_with_its_pictures_is_told(tmp_path: Path) -> None:
    """By its text alone it would fit: 120 words, the beginning, an answer of 6 of 128 tokens."""
    raw = sighted_config(tmp_path)
    raw["evaluation"]["items"] = {"search": 12, "validation": 6, "test": 6}  # all documents
    write_picture_tasks(tmp_path / "tasks", question=" ".join(["<image>", *["w1"] * 120]))
    text = check_tasks(parse_config(raw, where="test")).render()
    assert "pictures cannot be cut" in text
    assert "got: 124 + 6" in text


def test_prompts_are_printed_with_what_pictures_add(tmp_path: Path) -> None:
    """Two words and four tokens of a picture; nothing for the parent that sees none."""
    text = render_prompts(parse_config(sighted_config(tmp_path), where="test"), 1)
    assert (
        text.count("pictures of 12 x 8 pixels: 6 tokens with them") == 3
    )  # an answer, two choices
    assert text.count("pictures of 12 x 8 pixels, not seen") == 3


def test_merges_that_would_see_nothing_are_refused(tmp_path: Path) -> None:
    """The text model as owner makes text models; as a parent it is asked without the pictures."""
    raw = sighted_config(tmp_path)
    report = check_tasks(parse_config(raw, where="test"))
    assert report.faults == []
    assert any("text sees no pictures" in note for note in report.notes)
    raw["stages"][0]["space"]["tokenizer"] = "text"
    text = check_tasks(parse_config(raw, where="test")).render()
    assert "merged models would see none" in text
    assert "stage ps" in text
