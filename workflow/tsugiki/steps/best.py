"""The best model of a run."""

from __future__ import annotations

from pathlib import Path

from tsugiki.config.run import RunConfig
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.run_models import run_models
from tsugiki.merge.write import write_merge
from tsugiki.steps.finals import winning_recipe


def write_best(files: RunFiles, config: RunConfig, out: Path, *, threads: int) -> str:
    """Write the winner as a checkpoint; returns the digest of its weights."""
    models = run_models(files, config, config.stages[-1].members, read=True)
    return write_merge(winning_recipe(files), models.folders, models.digests, out, threads=threads)
