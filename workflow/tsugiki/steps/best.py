"""The best model of a run."""

from __future__ import annotations

from pathlib import Path

from tsugiki.config.run import RunConfig
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.run_models import run_models
from tsugiki.merge.write import write_merge
from tsugiki.steps.finals import winning_recipe
from tsugiki.steps.output import require_place_beside


def write_best(files: RunFiles, config: RunConfig, out: Path, *, threads: int) -> str:
    """Write the winner as a checkpoint; returns the digest of its weights.

    Args:
        files: The run.
        config: Its configuration.
        out: Where the model goes. The run's own place, results/<run>/best, is always replaced.
        threads: CPU threads.

    Raises:
        ConfigError: `out` is another place, and may not be replaced (see `require_place`).
    """
    models = run_models(files, config, config.stages[-1].members, read=True)
    own = out.absolute() == files.best.absolute()
    return write_merge(
        winning_recipe(files),
        models.folders,
        models.digests,
        out,
        replace=own or require_place_beside(files, config, out),
        threads=threads,
    )
