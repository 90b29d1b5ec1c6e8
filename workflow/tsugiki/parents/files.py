"""Which files of a checkpoint folder a merge needs, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from tsugiki.parents.known_digests import read_digest
from tsugiki.parents.lock import LockedFile

NEEDED = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt")
"""Weights, configurations, chat templates, and the vocabularies of older tokenizers."""

CODE = ("*.py",)
"""Modelling code, needed only where the configuration trusts it."""

IGNORED = ("*/*", ".*", "consolidated*")
"""Subfolders, hidden files, and the second copy of the weights that some repositories hold."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
"""Formats that run code when they are opened. They are never read here."""


def needed(names: Iterable[str], *, code: bool = False) -> list[str]:
    """The names that a merge needs, sorted.

    Args:
        names: File names, relative to the checkpoint's folder.
        code: Whether modelling code is needed too.
    """
    patterns = NEEDED + CODE if code else NEEDED
    return sorted(
        name for name in set(names) if matches(name, patterns) and not matches(name, IGNORED)
    )


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the shell patterns; `*` also stands for `/`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def digest_folder(folder: Path, *, code: bool = False) -> tuple[LockedFile, ...]:
    """Size and SHA-256 of every needed file that lies directly in a folder."""
    names = needed((entry.name for entry in folder.iterdir() if entry.is_file()), code=code)
    return tuple(describe(folder / name) for name in names)


def describe(path: Path) -> LockedFile:
    """Name, size and SHA-256 of one file."""
    return LockedFile(name=path.name, size=path.stat().st_size, sha256=read_digest(path))


def git_blob_id(path: Path) -> str:
    """Git's object id of a file: the SHA-1 of `blob <size>`, a zero byte, and the content."""
    content = path.read_bytes()
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
