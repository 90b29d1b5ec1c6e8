"""A folder in which the repository's own Snakefile runs: tiny llama parents, a local lm-eval task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parallel import made_once
from tests.parents.checkpoints import write_llama
from tests.workflow import fork_server
from tests.workflow.small_run import TASK, TASK_CODE
from tsugiki.canonical import digest_file
from tsugiki.contracts.layout import RunFiles

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Workspace:
    """A folder that a run works in."""

    root: Path

    @property
    def files(self) -> RunFiles:
        """The run's files."""
        return RunFiles(self.root / "results" / "tiny")

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the configuration."""
        (self.root / "tiny.yaml").write_text(yaml.safe_dump(dict(config)), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The command that a user would type."""
        return [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(REPOSITORY / "Snakefile"),
            "--directory",
            str(self.root),
            "--profile",
            str(REPOSITORY / "config/profiles/default"),
            "--configfile",
            str(self.root / "tiny.yaml"),
            "--cores",
            "2",
            *arguments,
        ]

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run the workflow to its end, and end its workers; returns what it printed."""
        command = self.command(*arguments)
        done = fork_server.done(command[command.index("snakemake") :], self.root, environment())
        output = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, output
        if not fails:
            self.end_workers()
        return output

    def end_workers(self) -> None:
        """End the run's workers, which would wait for more to do, with all that they hold in memory."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if (process / "cwd").readlink() == self.root and process.name != str(os.getpid()):
                    os.kill(int(process.name), signal.SIGTERM)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the workflow in a process group of its own, and go on."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            cwd=self.root,
            start_new_session=True,
        )

    def run_until(self, reached: Callable[[], bool], *arguments: str) -> bool:
        """Run the workflow and SIGKILL it, with all it started, as soon as `reached` says so.

        Returns:
            Whether it was killed; False if it ended before.
        """
        process = self.start(*arguments)
        while process.poll() is None:
            if reached():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.01)
        return False

    def tsugiki(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a tsugiki command."""
        return fork_server.done(["tsugiki", *arguments], self.root, environment())

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file of the run that must not depend on when or how often it ran."""
        kept = {
            "population.json",
            "outcomes.json",
            "state.npz",
            "space.json",
            "recipe.json",
            "outcome.json",
            "items.parquet",
            "items.json",
            "parents.lock.json",
            "final.json",
        }
        root = self.files.root
        return {
            path.relative_to(root).as_posix(): digest_file(path)
            for path in sorted(root.rglob("*"))
            if path.is_file()
            and "mlflow-artifacts" not in path.parts
            and (path.name in kept or self.files.best in path.parents)
        }


def environment() -> dict[str, str]:
    """The environment of a run in a test: no network; however busy the machine is, workers wait for the next job."""
    return {
        **os.environ,
        "TSUGIKI_RESIDENT_IDLE": "300",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(
            [str(REPOSITORY / "workflow"), os.environ.get("PYTHONPATH", "")]
        ),
    }


def make_workspace(root: Path, config: Mapping[str, Any], task_code: str = TASK_CODE) -> Workspace:
    """Parents, task and configuration in a new folder."""
    root.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("base", "left", "right")):
        write_llama(root / "parents" / name, seed=seed)
    tasks = root / "tasks"
    tasks.mkdir()
    (tasks / "tiny_choice.yaml").write_text(TASK, encoding="utf-8")
    (tasks / "tiny.py").write_text(task_code, encoding="utf-8")
    workspace = Workspace(root)
    workspace.configure(config)
    return workspace


def finished_workspace(
    root: Path, config: Mapping[str, Any], task_code: str = TASK_CODE
) -> Workspace:
    """The same after a run from the configuration to the report."""
    workspace = make_workspace(root, config, task_code)
    workspace.run()
    return workspace


def shared_workspace(
    factory: pytest.TempPathFactory,
    name: str,
    config: Mapping[str, Any],
    task_code: str = TASK_CODE,
) -> Workspace:
    """A finished run that all processes of the tests share. Tests must not change it."""
    return Workspace(
        made_once(factory, name, lambda root: finished_workspace(root, config, task_code))
    )
