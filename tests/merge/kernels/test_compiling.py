"""Where machine code is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numba
import pytest

from tsugiki.merge.kernels import compiling


def test_a_change_of_any_loop_gives_new_machine_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those that call it from another file, which numba would not notice."""
    shutil.copytree(compiling._FOLDER, tmp_path / "kernels")
    monkeypatch.setattr(compiling, "_FOLDER", tmp_path / "kernels")
    before = compiling._store()
    assert before == compiling._STORE
    for path in sorted((tmp_path / "kernels").glob("*.py")):
        path.write_text(path.read_text() + "\n")
        assert compiling._store() != before
        before = compiling._store()


def test_the_place_of_other_machine_code_is_left_as_it_was() -> None:
    """The setting is numba's, for every library that uses it."""
    before = numba.config.CACHE_DIR
    doubled = compiling.compiled(lambda x: 2 * x)
    assert doubled(3) == 6
    assert before == numba.config.CACHE_DIR


def test_loops_run_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are compiled anew by every process."""
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    doubled = compiling.compiled(lambda x: 2 * x)
    assert doubled(3) == 6
