"""Files and folders that are either whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tsugiki import atomic


def leftovers(folder: Path) -> list[str]:
    """What is in a folder besides the results."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    """Readable by others, as any other file."""
    path = tmp_path / "a" / "b" / "file"
    atomic.write_bytes(path, b"one")
    atomic.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert leftovers(path.parent) == []


@pytest.mark.parametrize("call", ["fsync", "fdopen"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """And nothing beside it."""
    path = tmp_path / "file"
    atomic.write_bytes(path, b"old")

    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_many_files_are_written_in_their_folders(tmp_path: Path) -> None:
    """More than a process may hold open at a time."""
    files = {tmp_path / f"{n}" / "file": str(n).encode() for n in range(1500)}
    atomic.write_all(files)
    assert all(path.read_bytes() == data for path, data in files.items())
    assert not any(leftovers(path.parent) for path in files)


def test_a_full_disk_among_many_files_leaves_no_temporary_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has been renamed is whole."""
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        atomic.write_all({tmp_path / "a": b"one", tmp_path / "b": b"two"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_left_alone_if_nothing_changes(tmp_path: Path) -> None:
    """Its time stays, so that nothing downstream is made again."""
    path = tmp_path / "file"
    assert atomic.write_if_changed(path, b"one")
    before = path.stat()
    assert not atomic.write_if_changed(path, b"one")
    assert path.stat().st_ino == before.st_ino
    assert atomic.write_if_changed(path, b"two")
    assert path.read_bytes() == b"two"


def test_a_folder_appears_as_a_whole(tmp_path: Path) -> None:
    """Not before the block ends; what stood there is replaced, not mixed with."""
    target = tmp_path / "model"
    with atomic.folder(target, replace=True) as temporary:
        (temporary / "old").write_text("old")
        assert not target.exists()
    with atomic.folder(target, replace=True) as temporary:
        (temporary / "shard").mkdir()
        (temporary / "shard" / "new").write_text("new")
    assert [path.name for path in target.rglob("*")] == ["shard", "new"]
    assert leftovers(tmp_path) == []


def test_a_folder_replaces_a_file_of_its_name(tmp_path: Path) -> None:
    """Whatever stood there."""
    target = tmp_path / "model"
    target.write_text("a file")
    with atomic.folder(target, replace=True) as temporary:
        (temporary / "new").write_text("new")
    assert target.is_dir()
    assert leftovers(tmp_path) == []


def stand_a_file(path: Path) -> None:
    """A file where a folder is to go."""
    path.write_text("mine")


def stand_a_folder(path: Path) -> None:
    """A folder that holds something."""
    path.mkdir()
    (path / "mine").write_text("mine")


def stand_a_link(path: Path) -> None:
    """A link to a folder that is empty."""
    path.with_name("elsewhere").mkdir()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("stand", [stand_a_file, stand_a_folder, stand_a_link])
def test_a_folder_replaces_nothing_unless_it_is_told_to(
    tmp_path: Path, stand: Callable[[Path], None]
) -> None:
    """Even if it came while the folder was written."""
    target = tmp_path / "model"
    with pytest.raises(OSError, match="model"), atomic.folder(target) as temporary:  # noqa: PT012
        (temporary / "new").write_text("new")
        stand(target)
    assert not list(tmp_path.rglob("new"))
    assert target.is_symlink() or [
        path.read_text() for path in (target, target / "mine") if path.is_file()
    ] == ["mine"]


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    """Not even a broken link."""
    path = tmp_path / "file"
    assert atomic.write_new(path, b"one")
    assert not atomic.write_new(path, b"two")
    assert path.read_bytes() == b"one"
    (tmp_path / "link").symlink_to("nowhere")
    assert not atomic.write_new(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("existing", [False, True])
def test_a_writer_that_fails_half_way_leaves_nothing(tmp_path: Path, existing: bool) -> None:
    """After two files of three; what stood there stays."""
    target = tmp_path / "model"
    if existing:
        with atomic.folder(target) as temporary:
            (temporary / "old").write_text("old")
    with pytest.raises(OSError, match="No space"), atomic.folder(target) as temporary:  # noqa: PT012
        (temporary / "one").write_text("1")
        (temporary / "two").write_text("2")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in target.glob("*")] == (["old"] if existing else [])
    assert target.exists() == existing
    assert leftovers(tmp_path) == []


def test_a_full_disk_at_the_last_moment_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems tell only when they are made to write."""

    def fail(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"), atomic.folder(tmp_path / "model") as temporary:
        (temporary / "one").write_text("1")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_final_folder(tmp_path: Path) -> None:
    """SIGKILL half-way; the next writer is not disturbed."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tsugiki import atomic\n"
        "with atomic.folder(Path(sys.argv[1])) as temporary:\n"
        "    (temporary / 'one').write_text('1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "model"
    assert subprocess.run([sys.executable, "-c", script, str(target)], check=False).returncode < 0
    assert not target.exists()
    with atomic.folder(target) as temporary:
        (temporary / "two").write_text("2")
    assert [path.name for path in target.iterdir()] == ["two"]


def test_of_many_writers_of_one_folder_one_wins_and_is_whole(tmp_path: Path) -> None:
    """No writer fails, and no two results are mixed."""
    target = tmp_path / "model"
    barrier = threading.Barrier(4)
    faults: list[BaseException] = []

    def write(name: str) -> None:
        try:
            for _ in range(25):
                barrier.wait()
                with atomic.folder(target, replace=True) as temporary:
                    for file in ("one", "two"):
                        (temporary / file).write_text(name)
        except BaseException as fault:  # noqa: BLE001 - handed to the test
            faults.append(fault)
            barrier.abort()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert (target / "one").read_text() == (target / "two").read_text()
    assert leftovers(tmp_path) == []


def test_a_folder_that_is_removed_may_be_written_into(tmp_path: Path) -> None:
    """By a job that a killed workflow has left behind: it comes too late to fail its successor."""
    target = tmp_path / "weights"
    target.mkdir()
    real, written = shutil.rmtree, []

    def rmtree(path: Path, **options: bool) -> None:
        written.append(path / "old/late")
        written[0].touch()
        real(path, **options)
        assert not target.exists()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shutil, "rmtree", rmtree)
        atomic.remove(target)
    assert list(tmp_path.iterdir()) == []
    atomic.remove(target)
    assert list(tmp_path.iterdir()) == []


def test_sweeping_goes_on_where_a_folder_vanishes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer, left behind by a killed workflow, has just renamed it."""
    for name in ("a", "b"):
        (tmp_path / name / "below").mkdir(parents=True)
    host = atomic._host()
    left = tmp_path / f"b/below/.file.{host}~{2**30}~x.tmp"
    left.touch()
    real = os.scandir

    def scandir(path: os.PathLike[str]) -> object:
        if Path(path) == tmp_path / "a/below":
            Path(path).rmdir()
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert atomic.sweep(tmp_path) == [left]
    assert not left.exists()


def test_what_a_killed_writer_left_is_swept_though_nobody_has_asked_for_its_end(
    tmp_path: Path,
) -> None:
    """Its number is not free yet: a zombie. One that still writes is left alone."""
    host = atomic._host()
    with subprocess.Popen(["sleep", "60"]) as killed, subprocess.Popen(["sleep", "60"]) as writing:
        left = tmp_path / f".best.{host}~{killed.pid}~x.tmp"
        live = tmp_path / f".best.{host}~{writing.pid}~y.tmp"
        left.mkdir()
        live.mkdir()
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert atomic.sweep(tmp_path) == [left]
        assert live.is_dir()
        writing.kill()
