"""Commands that look at a configuration or a run: check, status, audit, reproduce."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tsugiki.commands.arguments import CONFIG, PLACE, open_run
from tsugiki.commands.group import main


@main.command()
@CONFIG
def check(config: Path) -> None:
    """Check a configuration, its parents and its tasks, without merging anything."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # many of lm-eval's bars would be gone at once
    from tsugiki.config.validate import validate_config
    from tsugiki.contracts.locks import read_lock
    from tsugiki.parents.preflight import preflight, render
    from tsugiki.quick_imports import quick_imports
    from tsugiki.steps import estimate
    from tsugiki.tracking.store import tracking_uri

    with quick_imports():
        from tsugiki.evaluate.preflight import check_tasks

    files, settings = open_run(config)
    validate_config(settings, where=str(config))
    tracking_uri(files, settings)
    locked = read_lock(files.parents) if files.parents.is_file() else None
    report = preflight(settings, locked)
    report.notes.extend(estimate.note_device(settings))
    click.echo(render(report))
    tasks = check_tasks(settings, parents_sound=not report.faults)
    click.echo(tasks.render())
    if report.faults or tasks.faults:
        sys.exit(1)
    click.echo(estimate.render(settings, report.tensors))


@main.command()
@CONFIG
def status(config: Path) -> None:
    """Say how far a run has come."""
    from tsugiki.progress.progress import status as run

    click.echo(run(*open_run(config)))


@main.command()
@CONFIG
def audit(config: Path) -> None:
    """Check a run's files against each other, and derive every generation again."""
    from tsugiki.audit.audit import audit as run
    from tsugiki.steps.audit import reselect

    files, settings = open_run(config)
    findings = run(files, settings, reselect=reselect(files, settings))
    for finding in findings:
        click.echo(str(finding), err=True)
    if findings:
        sys.exit(1)
    click.echo("sound: every digest and every generation could be derived again")


@main.command()
@CONFIG
@click.option("--out", type=PLACE, required=True, help="Folder to write.")
def reproduce(config: Path, out: Path) -> None:
    """Build the best model again from its recipe, and compare the bytes."""
    from tsugiki.steps.audit import reproduce_best

    files, settings = open_run(config)
    click.echo(reproduce_best(files, settings, out))
