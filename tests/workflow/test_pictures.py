"""A run whose objectives show pictures, by residents."""

from __future__ import annotations

from pathlib import Path

from tests.evaluate.picture_tasks import sighted_config
from tests.workflow.workspace import Workspace
from tsugiki.finalists.table import read_final_table


def test_a_run_on_pictures_ends_sound_and_has_nothing_left_to_do(tmp_path: Path) -> None:
    """Searched, compared with both parents, recorded so that all of it can be checked, and reported."""
    config = sighted_config(tmp_path, resident=True, jobs=1)
    config["results"] = str(tmp_path / "results")
    config["stages"][0]["budget"] = {"generations": 2}
    work = Workspace(tmp_path)
    work.configure(config)
    work.run()
    audited = work.tsugiki("audit", "tiny.yaml")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    final = read_final_table(work.files.final)
    kinds = {row.name: row.kind for row in final.rows}
    assert kinds["text"] == kinds["eyes"] == "parent"
    assert all({"seen", "picked"} <= row.test.keys() for row in final.rows)
    assert "Nothing to be done" in work.run()
