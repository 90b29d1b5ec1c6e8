"""Check where a configuration puts results: by name, and by what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tsugiki.config.parents import LocalParent
from tsugiki.config.reserved_names import run_is_taken
from tsugiki.config.run import RunConfig

UNUSABLE = frozenset("{}\n")
IN_WORDS = "a brace or a line break in it, which Snakemake would take for a pattern of its own"

OF_A_RUN = ("config.lock.yaml", "parents.lock.json", "items.json", ".lock")
"""Any of these is in the folder of a run, as soon as there is anything."""


def folder_faults(config: RunConfig) -> Iterator[str]:
    """Faults of the folders that a run writes to, and of those of its tasks."""
    if run_is_taken(config.name):
        yield f"`name`: {config.name!r} is a name that tsugiki uses itself; choose another name"
    yield from _results(config.results, str(config.folder))
    if _holds_something_else(config.folder):
        yield (
            f"`name`: {str(config.folder)!r} is there, and holds no run; choose another name for the "
            "run, or another folder as `results`"
        )
    for name, source in config.parents.items():
        if isinstance(source, LocalParent) and _is_in(source.folder, config.folder):
            yield (
                f"`parents.{name}.path`: {source.path!r} lies in the run's own folder, where the run "
                "replaces what it has written; choose another name for the run"
            )
    for folder in config.evaluation.task_folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            if UNUSABLE & set(str(path)):
                yield f"`evaluation.task_paths`: {str(path)!r} has {IN_WORDS}"
                break


def _results(written: str, folder: str) -> Iterator[str]:
    if UNUSABLE & set(folder):
        yield f"`results`: {written!r} has {IN_WORDS}"
    if folder.startswith("-"):
        yield f"`results`: {written!r} begins with `-`, and would be taken for an option"
    if folder.startswith("~"):
        yield f"`results`: {written!r} names the home folder of a user who is not there"


def _holds_something_else(folder: Path) -> bool:
    if not folder.is_dir():
        return folder.exists()
    return any(folder.iterdir()) and not any((folder / name).is_file() for name in OF_A_RUN)


def _is_in(folder: Path, above: Path) -> bool:
    return above.resolve() in (folder.resolve(), *folder.resolve().parents)
