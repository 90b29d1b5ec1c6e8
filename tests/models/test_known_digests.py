"""Files are read once, and again whenever they may have changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tsugiki.canonical import digest_file
from tsugiki.models import files as known_digests
from tsugiki.models.files import known_digest, remember


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was read, in a process that knows none, and no file is new."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(known_digests, "digest_file", counted)
    monkeypatch.setattr(known_digests, "_read", {})
    monkeypatch.setattr(known_digests, "RECENT_NS", -1)
    return names


def another_process(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    """Remember, and go on as a process that has read nothing itself."""
    remember(memory)
    monkeypatch.setattr(known_digests, "_read", {})


def sha256(content: bytes) -> str:
    """What the digest has to be."""
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once_by_all_processes(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one has read, the others know."""
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"one")
    for _ in range(3):
        assert known_digest(file, memory) == sha256(b"one")
        another_process(monkeypatch, memory)
    assert reads == ["weights"]


@pytest.mark.parametrize("way", ["in place", "by another file"])
def test_content_of_the_same_size_and_time_is_noticed(
    tmp_path: Path, reads: list[str], way: str
) -> None:
    """Setting the time of the content back does not hide that it is another."""
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"one")
    before = file.stat()
    assert known_digest(file, memory) == sha256(b"one")
    target = file if way == "in place" else tmp_path / "new"
    target.write_bytes(b"two")
    target.replace(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert known_digest(file, memory) == sha256(b"two")
    assert reads == ["weights", "weights"]


def test_what_was_only_touched_is_read_and_has_the_same_digest(
    tmp_path: Path, reads: list[str]
) -> None:
    """As after a copy or a checkout."""
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"one")
    known_digest(file, memory)
    os.utime(file, ns=(1, 1))
    assert known_digest(file, memory) == sha256(b"one")
    assert known_digest(file, memory) == sha256(b"one")
    assert reads == ["weights", "weights"]


def test_a_file_that_is_new_is_not_remembered(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might be written again without getting another time."""
    monkeypatch.setattr(known_digests, "RECENT_NS", 10**18)
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"one")
    for _ in range(2):
        known_digest(file, memory)
        remember(memory)
    assert reads == ["weights", "weights"]
    assert not memory.exists()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_a_damaged_memory_is_as_good_as_none(
    tmp_path: Path, reads: list[str], content: bytes
) -> None:
    """It is written anew."""
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"one")
    memory.write_bytes(content)
    assert known_digest(file, memory) == sha256(b"one")
    remember(memory)
    known_digests._read.clear()
    assert known_digest(file, memory) == sha256(b"one")
    assert reads == ["weights"]


def test_a_memory_that_cannot_be_written_stops_nothing(tmp_path: Path, reads: list[str]) -> None:
    """As where somebody else's results are audited."""
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert known_digest(file, file / "memory.json") == sha256(b"one")
    remember(file / "memory.json")
    assert reads == ["weights"]


def test_files_that_are_gone_are_forgotten(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory holds what is there, whatever a run has read and removed; a `|` in a name is no end."""
    memory, gone, kept = tmp_path / "memory.json", tmp_path / "gone", tmp_path / "a|b"
    for file in (gone, kept):
        file.write_bytes(b"one")
        known_digest(file, memory)
    another_process(monkeypatch, memory)
    gone.unlink()
    (tmp_path / "new").write_bytes(b"two")
    known_digest(tmp_path / "new", memory)
    another_process(monkeypatch, memory)
    assert [Path(stamp.rsplit("|", 4)[0]).name for stamp in json.loads(memory.read_bytes())] == [
        "a|b",
        "new",
    ]
    assert reads == ["gone", "a|b", "new"]
