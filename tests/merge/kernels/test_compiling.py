"""Where machine code is kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from tsugiki.merge.kernels import compiling

DOUBLE = """
import fcntl, subprocess, sys
from numba.core.caching import IndexDataCacheFile
from tsugiki.merge.kernels import compiling

def double(x):
    return x + x

_, compiling._KEPT_IN, who = sys.argv
double = compiling.compiled(double)
lock, save_index = fcntl.flock, IndexDataCacheFile._save_index

def lock_and_tell(*arguments):
    print("at the lock", flush=True)
    lock(*arguments)

def start_the_other(file, overloads):
    global other
    command = [sys.executable, __file__, compiling._KEPT_IN, "other"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    other.stdout.readline()
    save_index(file, overloads)

if who == "one":
    IndexDataCacheFile._save_index = start_the_other
    double(1)
    other.communicate()
elif who == "other":
    fcntl.flock = lock_and_tell
    double(1.5)
    print("kept", flush=True)
else:
    print(double(1), f"{double(1.5)},", double.stats.cache_hits.total(), "of them kept")
"""


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


def test_machine_code_of_a_read_only_package_goes_to_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named after the sources there too: two images may have the same file at the same place."""
    package = tmp_path / "package"
    package.write_text("a file, in which no folder can be made", encoding="utf-8")
    monkeypatch.setattr(compiling, "_FOLDER", package)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = compiling._kept_in()
    assert place == str(tmp_path / "cache" / "tsugiki" / compiling._STORE)
    monkeypatch.setattr(compiling, "_KEPT_IN", place)
    doubled = compiling.compiled(lambda x: 2 * x)
    assert doubled(3) == 6
    assert list(Path(place).rglob("*.nbc"))


def test_a_place_that_the_user_names_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By numba's own variable, NUMBA_CACHE_DIR."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiling._kept_in() == str(tmp_path / compiling._STORE)


def test_processes_that_compile_at_the_same_time_take_turns(tmp_path: Path) -> None:
    """One is stopped before it writes numba's index, while the other keeps code of other types."""
    (tmp_path / "double.py").write_text(DOUBLE)
    found = [
        subprocess.run(
            [sys.executable, str(tmp_path / "double.py"), str(tmp_path), who],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for who in ("one", "third")
    ]
    assert found == ["", "2 3.0, 2 of them kept\n"]


def test_loops_run_where_no_folder_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are compiled anew by every process."""
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setattr(compiling, "_places", lambda: iter([blocked]))
    assert compiling._kept_in() is None
    monkeypatch.setattr(compiling, "_KEPT_IN", None)
    doubled = compiling.compiled(lambda x: 2 * x)
    assert doubled(3) == 6
