"""What a resident process keeps in memory, and whether it is still what is on disk."""

from __future__ import annotations

from pathlib import Path

from tsugiki.canonical import digest_file
from tsugiki.config.load import read_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.steps.plan import Plan

PACKAGE = Path(__file__).parent.parent

Stamp = tuple[int, int, int]


class Kept:
    """The files of a run, as they were before the process read any of them.

    Args:
        files: The run's files.
        code: The code's stamp when the process started.

    Raises:
        ConfigError: the run's configuration cannot be read.
    """

    def __init__(self, files: RunFiles, code: int) -> None:
        self._files = files
        self._code = code
        self._stamps: dict[Path, Stamp | None] = {}
        self._digests: dict[Path, str] = {}
        self._note([files.config])
        self.config = read_config(files.config)
        self._note(self._others())

    def is_current(self) -> bool:
        """Whether code and files are the same still; a file that was only touched is."""
        if code_stamp() != self._code or {self._files.config, *self._others()} != set(self._stamps):
            return False
        for path, before in list(self._stamps.items()):
            if (stamp := _stamp(path)) != before:
                if _digest(path) != self._digests[path]:
                    return False
                self._stamps[path] = stamp
        return True

    def _others(self) -> list[Path]:
        tasks = Plan(self._files, self.config).task_files()
        return [self._files.parents, self._files.items, *map(Path, tasks)]

    def _note(self, paths: list[Path]) -> None:
        for path in paths:
            self._stamps[path] = _stamp(path)
            self._digests[path] = _digest(path)


def code_stamp() -> int:
    """Newest modification of the package, in nanoseconds."""
    return max(path.stat().st_mtime_ns for path in PACKAGE.rglob("*.py"))


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(path: Path) -> str:
    return digest_file(path) if path.is_file() else ""
