"""Look into a model's files without reading its weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tsugiki.models.files import model_files


class ParentFiles(Protocol):
    """A parent's files.

    Those on the Hub raise ParentError where it refuses access, and InfrastructureError where it has become
    unreachable or its cache cannot be written.
    """

    @property
    def where(self) -> str:
        """The folder or repository, for messages."""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by name."""

    def read(self, name: str) -> bytes:
        """A small file."""

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it if it is shorter."""


@dataclass(frozen=True)
class FolderFiles:
    """Files in a folder."""

    folder: Path

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.folder)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by name; of those in folders below, where the model has components there."""
        names = model_files(self.folder)
        return {name: (self.folder / name).stat().st_size for name in names}

    def read(self, name: str) -> bytes:
        """A small file."""
        return (self.folder / name).read_bytes()

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it if it is shorter."""
        with (self.folder / name).open("rb") as file:
            return file.read(count)
