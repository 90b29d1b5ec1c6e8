"""What the Snakefile does besides its rules: before the plan, when a workflow starts, and when it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tsugiki import atomic
from tsugiki.config.load import dump_config
from tsugiki.config.validate import validate_config
from tsugiki.errors import LineageError
from tsugiki.locked import locked
from tsugiki.steps.changes import announce_changes
from tsugiki.steps.plan import Plan
from tsugiki.tracking.store import tracking_uri
from tsugiki.yaml_file import read_yaml

_held: dict[Path, ExitStack] = {}
"""Locks of runs, until this process ends."""


def use_this_python() -> None:
    """Let shell commands, also those of a job on a node, find the `tsugiki` of this Python."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def look(plan: Plan, paths: Sequence[str | Path], *, log: Callable[[str], None]) -> None:
    """Look at the configuration, and at what an edit of it changes, before anything is planned.

    `paths` are the files that Snakemake has read as one configuration, in their order.

    Raises:
        ConfigError: a file has a key twice, or the configuration has a fault.
        LineageError: recorded results of the search would be replaced.
    """
    for path in paths:
        read_yaml(Path(path))
    validate_config(plan.config, where=str(paths[-1]))
    if any(stage.origins for stage in plan.config.stages):
        from tsugiki.steps.begin import check_origins  # imports torch

        check_origins(plan.files, plan.config, where=str(paths[-1]))
    tracking_uri(plan.files, plan.config)
    announce_changes(plan.files, plan.config, log=log)


def start(plan: Plan) -> None:
    """Take hold of the run's folder, clear what a killed workflow left, and record the configuration.

    Raises:
        LineageError: another workflow is at work on the run.
    """
    hold_run_lock(plan.files.root)
    atomic.sweep(plan.files.root)
    plan.write_eras()  # first: they follow from the configuration of the last start
    atomic.write_if_changed(plan.files.config, dump_config(plan.config))
    plan.write_splits()


def hold_run_lock(root: Path) -> None:
    """Hold the lock of a run until this process ends.

    Snakemake's own locks outlive a killed workflow and must then be removed by hand.

    Raises:
        LineageError: another workflow holds it.
    """
    path = (root / ".lock").absolute()
    if path in _held:
        return
    lock = ExitStack()
    try:
        lock.enter_context(locked(path, timeout=0))
    except TimeoutError as error:
        raise LineageError(
            "another workflow is at work on this run",
            where=str(root),
            got=f"process {path.read_text(encoding='utf-8').strip()}",
            fix="wait for it, or end it",
        ) from error
    except OSError:
        pass  # a file system without locks; Snakemake's outputs are still atomic
    path.write_text(f"{os.getpid()} on {os.uname().nodename}\n", encoding="utf-8")
    _held[path] = lock


def end(plan: Plan, path: str | Path) -> None:
    """Say so if MLflow could not be told of all; `path` is the configuration's."""
    plan.caught_up.unlink(missing_ok=True)
    if behind := plan.behind():
        print(  # noqa: T201 - on the workflow's terminal
            f"MLflow lags behind by {behind}: "
            f"`tsugiki track {path}` catches up, and so does the same command"
        )
