"""Check where a configuration puts results: by name, and by what stands there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tsugiki.config.parents import LocalParent
from tsugiki.config.reserved_names import FILES, run_is_taken, stage_is_taken
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
    for standing in _something_else(config):
        yield (
            f"`name`: the run would replace {str(standing)!r}, which is no run's; choose another name "
            "for the run, or another folder as `results`"
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


def _something_else(config: RunConfig) -> Iterator[Path]:
    """What the run would replace or write into, though no run has written it."""
    folder = config.folder
    if not folder.is_dir():
        yield from [folder] if os.path.lexists(folder) else []
    elif not any((folder / name).is_file() for name in OF_A_RUN):
        stages = {stage.name for stage in config.stages}
        for path in sorted(folder.iterdir()):
            if path.name in FILES | stages or stage_is_taken(path.name):
                yield path


def _is_in(folder: Path, above: Path) -> bool:
    return above.resolve() in (folder.resolve(), *folder.resolve().parents)
