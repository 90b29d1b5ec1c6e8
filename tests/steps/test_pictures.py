"""Small copies of pictures, for the report."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.evaluate.picture_tasks import sighted_config
from tests.runs_for_tests import start_run
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.evaluate.pictures import Picture
from tsugiki.steps.prepare import SIDE, small


def test_test_documents_have_copies_of_what_they_show(tmp_path: Path) -> None:
    """Those of the test documents alone, by their digests."""
    run = start_run(sighted_config(tmp_path))
    sets = read_document_sets(run.files.items)
    found = {path.name for path in run.files.picture("0", 0).parent.iterdir()}
    assert found == {
        run.files.picture(one.hash, 0).name for task in sets.tasks.values() for one in task.test
    }
    one = sets.tasks["seen"].test[0]
    copy = Image.open(run.files.picture(one.hash, 0))
    original = Image.open(tmp_path / "tasks" / "pictures" / f"{one.id}.png")
    assert copy.tobytes() == original.tobytes()


def test_a_large_picture_becomes_small() -> None:
    """With its proportions."""
    copy = Image.open(io.BytesIO(small(Picture(Image.new("L", (1000, 500)), ""))))
    assert (copy.size, copy.mode) == ((SIDE, SIDE // 2), "RGB")
