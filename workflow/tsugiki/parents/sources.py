"""Look into a parent's files without its weights: in a folder, or on the Hub by range requests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tsugiki.parents import hub
from tsugiki.parents.hub import Listing


class ParentFiles(Protocol):
    """A parent's files."""

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
        """Bytes of every file, by name."""
        return {
            entry.name: entry.stat().st_size for entry in self.folder.iterdir() if entry.is_file()
        }

    def read(self, name: str) -> bytes:
        """A small file."""
        return (self.folder / name).read_bytes()

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it if it is shorter."""
        with (self.folder / name).open("rb") as file:
            return file.read(count)


@dataclass(frozen=True)
class HubFiles:
    """Files on the Hub. Small ones go into the cache; of weights only the headers are asked for."""

    listing: Listing

    @property
    def where(self) -> str:
        """The repository and commit."""
        return f"{self.listing.repo} at {self.listing.commit[:12]}"

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by name."""
        return {file.name: file.size or 0 for file in self.listing.files}

    def read(self, name: str) -> bytes:
        """A small file."""
        return hub.fetch_file(self.listing.repo, self.listing.commit, name).read_bytes()

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it if it is shorter."""
        cached = hub.cached_file(self.listing.repo, self.listing.commit, name)
        if cached is not None:
            return FolderFiles(cached.parent).start(name, count)
        return hub.read_start(self.listing.repo, self.listing.commit, name, count)
