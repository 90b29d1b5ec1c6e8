"""Deriving a run again: every generation, and the best model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import Entry
from tsugiki.errors import LineageError
from tsugiki.steps.best import rebuild
from tsugiki.steps.evolution import select_from_files
from tsugiki.steps.finals import winning_recipe


def reselect(files: RunFiles, config: RunConfig) -> Callable[[Entry, Entry], str | None]:
    """A function that draws a generation again and says how it differs from the one on disk."""
    stages = {stage.name: stage for stage in config.stages}

    def compare(before: Entry, after: Entry) -> str | None:
        stage = stages[before.population.series]
        following = select_from_files(files, config, stage, before.number)
        for name, path, content in (
            ("population", after.files.population, following.population),
            ("state", after.files.state, following.state),
        ):
            if path.read_bytes() != content:
                return f"{name} drawn again differs from {path}"
        return None

    return compare


def reproduce_best(files: RunFiles, config: RunConfig, out: Path) -> str:
    """Build the best model from its recipe alone, and compare it with results/<run>/best.

    Best models of earlier stages that it is made from are built again first.

    Raises:
        LineageError: a file differs.
        ConfigError: what stands at `out` may not be replaced (see `require_place`).
    """
    rebuild(files, config, winning_recipe(files), out, threads=config.evaluation.threads)
    for path in sorted(files.best.glob("[!.]*")):
        if not (out / path.name).is_file() or digest_file(out / path.name) != digest_file(path):
            raise LineageError(
                "the best model could not be reproduced",
                where=str(out / path.name),
                expected=f"the bytes of {path}",
                fix="compare environment.json with this machine",
            )
    return f"{out}: the same bytes as {files.best}"
