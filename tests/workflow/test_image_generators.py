"""Two tiny image generators, trained here, from the configuration to a merge that knows what both know."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.evaluate import shapes
from tests.pipelines import needs_diffusers
from tests.workflow.workspace import Workspace
from tsugiki import api

pytestmark = needs_diffusers


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run from the configuration to the report. Read only."""
    work = Workspace(tmp_path_factory.mktemp("generators"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trio = shapes.train_trio(work.root / "models")
    finally:
        torch.set_num_threads(threads)
    config = shapes.raw_config(trio, work.root, resident=True, jobs=1)
    # processes of the run know nothing of the tests
    scores = work.root / "scores.py"
    scores.write_text(scores.read_text().replace("tests.evaluate.shapes", "shapes"))
    shutil.copy(shapes.__file__, work.root / "shapes.py")
    work.configure(config)
    work.run()
    return work


def rows_of(work: Workspace) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and test scores of each row of the final table."""
    for row in json.loads(work.files.final.read_bytes())["rows"]:
        name = "evolved" if row["kind"] == "evolved" else row["name"]
        yield name, {measure: found["value"] for measure, found in row["test"].items()}


def test_the_evolved_merge_is_better_at_both_together_than_any_parent(finished: Workspace) -> None:
    """On noise that was held out: it draws the shape that one parent knows, in the colour of the other."""
    found = dict(rows_of(finished))
    evolved = found["evolved"]
    for parent in ("base", "shapes", "colours"):
        both = found[parent]["shape"] + found[parent]["colour"]
        assert evolved["shape"] + evolved["colour"] > both + 0.1
    assert evolved["shape"] > found["colours"]["shape"] + 0.1
    assert evolved["colour"] > found["shapes"]["colour"] + 0.1


def test_such_a_run_is_sound_and_its_winner_is_built_again(finished: Workspace) -> None:
    """From the first generation to the final table, and the same bytes of each component."""
    assert api.open_run(finished.files.root).audit(rebuild=True) == []
    assert finished.files.report.is_file()
    assert "Nothing to be done" in finished.run("--quiet", "host", "--dry-run")


def test_stock_diffusers_draws_what_was_scored(finished: Workspace) -> None:
    """The written pipeline has the scores that the search has recorded."""
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
    exec(shapes.SCORES, scope)

    class Written:
        model = pipeline

    values = scope["colour"](Written(), [shapes.ask(number) for number in recorded])
    assert values.tolist() == pytest.approx(list(recorded.values()), abs=1e-4)
    assert shapes.draw(pipeline, [shapes.ask(0)]).shape == (1, 3, 16, 16)
