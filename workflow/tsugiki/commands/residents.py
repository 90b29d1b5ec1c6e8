"""Steps that a long-lived process does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tsugiki.config.run import RunConfig
    from tsugiki.lineage.layout import RunFiles


def through_resident(
    files: RunFiles, settings: RunConfig, role: str, series: str, generation: int, job: int
) -> None:
    """Have a long-lived process do a step; `role` names it, its command first."""
    from tsugiki.resident.client import call
    from tsugiki.steps.plan import Plan

    plan = Plan(files, settings)
    call(
        role,
        {
            "command": role.partition("-")[0],
            "run": str(files.root),
            "series": series,
            "generation": generation,
            "job": job,
        },
        keeps=[files.config, files.parents, files.items, *map(Path, plan.task_files())],
        threads=settings.evaluation.threads,
        log=files.root / "logs" / f"resident-{role}.log",
        say=click.echo,
    )
