"""Which files of a checkpoint's folder a merge needs, and their digests.

Large files are read again only if they may have changed: a file is taken for the one that was read
before if path, size, both times and inode are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tsugiki import atomic
from tsugiki.canonical import digest_file, pretty_json
from tsugiki.contracts.locks import LockedFile
from tsugiki.models.kinds.kind import Layout
from tsugiki.models.kinds.registry import layout_of

RECENT_NS = 1_000_000_000
"""Nanoseconds in which a file may be written twice without another time: what is so new is not
remembered."""

_read: dict[str, str] = {}
"""What this process has read: SHA-256 by `_stamp`."""


def read_digest(path: Path) -> str:
    """SHA-256 of a file's content, which is read, and remembered in this process."""
    before, changed = _stamp(path)
    settled = time.time_ns() - changed > RECENT_NS
    digest = digest_file(path)
    if settled and _stamp(path)[0] == before:
        _read[before] = digest
    return digest


def known_digest(path: Path, memory: Path) -> str:
    """SHA-256 of a file's content, which is read if neither this process nor `memory` (see `remember`) knows it."""
    stamp, _ = _stamp(path)
    if stamp not in _read:
        _read.update(_remembered(memory))
    return _read.get(stamp) or read_digest(path)


def remember(memory: Path) -> None:
    """Keep what this process knows for others, if its folder is there and can be written to.

    Files that are gone are forgotten then.
    """
    before = _remembered(memory)
    if memory.parent.is_dir() and not _read.keys() <= before.keys():
        known = before | _read
        there = {one: known[one] for one in known if Path(one.rsplit("|", 4)[0]).exists()}
        with suppress(OSError):
            atomic.write_bytes(memory, pretty_json(there), synced=False)


def _remembered(memory: Path) -> dict[str, str]:
    """Nothing, where the file cannot be read: whatever is not known is found out again."""
    try:
        content = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return (
        {str(key): str(value) for key, value in content.items()}
        if isinstance(content, dict)
        else {}
    )


def _stamp(path: Path) -> tuple[str, int]:
    """What tells a file from what it was before, and when it changed last (ns)."""
    with path.open("rb") as file:  # on a network file system, opening asks for its present state
        found = os.fstat(file.fileno())
    parts = (path.absolute(), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    return "|".join(map(str, parts)), max(found.st_mtime_ns, found.st_ctime_ns)


NEEDED = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt")
"""Weights, configurations, chat templates, and the vocabularies of older tokenizers."""

CODE = ("*.py",)
"""Modelling code, needed only where the configuration trusts it."""

IGNORED = ("*/*", ".*", "consolidated*")
"""Subfolders, hidden files, and the second copy of the weights that some repositories hold."""

HIDDEN = (".*",)
SUFFIX = ".safetensors"
INDEXED = ".index.json"

INDEXES = ("*.index.json", "*.index.*.json")
"""Of copies of weights in other formats, or for other programs."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
"""Formats that run code when they are opened. They are never read here."""


def needed(names: Iterable[str], *, code: bool = False) -> list[str]:
    """The names that a merge needs, sorted.

    Of a model with components these are its file of settings, and what lies in their folders: weights
    under the names that a loader looks for, without copies of them in other formats.
    """
    all_names = set(names)
    layout = layout_of(all_names)
    if layout.parts:
        return sorted(name for name in all_names if _of_components(name, layout))
    patterns = NEEDED + CODE if code else NEEDED
    return sorted(
        name for name in all_names if matches(name, patterns) and not matches(name, IGNORED)
    )


def _of_components(name: str, layout: Layout) -> bool:
    """Whether a file belongs to a model with components."""
    folder, _, file = name.rpartition("/")
    if not folder:
        return name == layout.config
    if "/" in folder or matches(folder, HIDDEN) or matches(file, HIDDEN):
        return False
    weights = [part for part in layout.parts if part.weights]
    if is_weights(file):
        return any(part.holds(file) for part in weights)
    return matches(file, (*NEEDED, "*.model")) and not matches(file, INDEXES)


def is_weights(name: str) -> bool:
    """Whether a file has weights, or says which files have them."""
    return name.endswith((SUFFIX, f"{SUFFIX}{INDEXED}"))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the shell patterns; `*` also stands for `/`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def model_files(folder: Path) -> list[str]:
    """Names of the files in a model's folder, with those in folders below where it has components there."""
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    if layout_of(names).parts:
        below = (path for path in folder.glob("[!.]*/*") if path.is_file())
        names += [path.relative_to(folder).as_posix() for path in below]
    return sorted(names)


def digest_folder(folder: Path, *, code: bool = False) -> tuple[LockedFile, ...]:
    """Size and SHA-256 of every needed file of a model."""
    names = needed(model_files(folder), code=code)
    return tuple(describe(folder / name, name) for name in names)


def describe(path: Path, name: str = "") -> LockedFile:
    """Name, size and SHA-256 of one file; the name is its own, unless it is given."""
    return LockedFile(name=name or path.name, size=path.stat().st_size, sha256=read_digest(path))


def manifest_of(inputs: Mapping[str, Any], files: Iterable[LockedFile]) -> bytes:
    """What a folder of made files says of itself: what they were made from, and the SHA-256 of each."""
    return pretty_json({"inputs": inputs, "files": {file.name: file.sha256 for file in files}})


def intact(folder: Path, manifest: str, inputs: Mapping[str, Any]) -> tuple[LockedFile, ...] | None:
    """The files of a folder that were made from these inputs, all of them read; None if one is not as it was made.

    Args:
        folder: The folder, which need not be there.
        manifest: Name of its file from `manifest_of`.
        inputs: What the files should be made from.
    """
    try:
        told = json.loads((folder / manifest).read_bytes())
        files = tuple(describe(folder / name) for name in sorted(told["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = told["files"] == {file.name: file.sha256 for file in files}
    return files if whole and told["inputs"] == inputs else None


def git_blob_id(path: Path) -> str:
    """Git's object id of a file: the SHA-1 of `blob <size>`, a zero byte, and the content."""
    content = path.read_bytes()
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
