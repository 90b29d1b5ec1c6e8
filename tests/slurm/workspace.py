"""A folder in which a run works on a real SLURM; its jobs wait where a test wants them to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.small_run import WAITING_TASK
from tests.workflow.workspace import REPOSITORY, Workspace, environment, make_workspace

PROFILE = REPOSITORY / "config/profiles/slurm"


@dataclass(frozen=True)
class Seen:
    """An evaluating process that has reached the gate."""

    pid: int
    slurm_job: str
    node: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class SlurmWorkspace(Workspace):
    """A folder that a run works in, on the cluster."""

    cluster: Cluster
    profile: Path = PROFILE
    programs: Path | None = None
    """Folder whose programs come before the system's."""

    def command(self, *arguments: str) -> list[str]:
        """What a user of a cluster would type, with quicker polling."""
        return [
            *(sys.executable, "-m", "snakemake"),
            *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.root)),
            *("--profile", str(self.profile), "--configfile", str(self.root / "tiny.yaml")),
            *("--tsugiki-slurm-init-seconds-before-status-checks", "1"),
            *("--tsugiki-slurm-logdir", str(self.root / "slurm-logs")),
            *arguments,
        ]

    def launch(self) -> Run:
        """Start the workflow in a process group of its own, and go on."""
        variables = environment() | self.cluster.environment
        for name in ("PYTHONPATH", "OMP_NUM_THREADS"):
            variables[name] = environment()[name]
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            variables.pop(name)  # jobs see to that themselves
        if self.programs is not None:
            variables["PATH"] = f"{self.programs}{os.pathsep}{variables['PATH']}"
        with (self.root / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                self.command(),
                stdout=output,
                stderr=output,
                env=variables,
                cwd=self.root,
                start_new_session=True,
            )
        return Run(self, process)

    def close(self, *jobs: str) -> None:
        """Let these jobs (`phase-generation-job`) wait when they have started."""
        for job in jobs:
            gate = self.root / "gates" / job
            gate.parent.mkdir(exist_ok=True)
            gate.touch()

    def open(self, *jobs: str) -> None:
        """Let them go on."""
        for job in jobs:
            (self.root / "gates" / job).unlink()

    def seen(self, job: str) -> list[Seen]:
        """The processes of a job that have started so far, oldest first."""
        found = [path for path in (self.root / "seen").glob(f"{job}.*") if path.suffix != ".tmp"]
        read = [
            json.loads(path.read_text()) for path in sorted(found, key=lambda p: p.stat().st_mtime)
        ]
        return [Seen(one["pid"], one["SLURM_JOB_ID"], one["SLURMD_NODENAME"], one) for one in read]


@dataclass(frozen=True)
class Run:
    """A workflow at work."""

    workspace: SlurmWorkspace
    process: subprocess.Popen[bytes]

    def wait_for(self, job: str, attempts: int = 1) -> Seen:
        """Wait until a job has started for the n-th time; returns its newest process."""
        self.wait_until(lambda: len(self.workspace.seen(job)) >= attempts)
        return self.workspace.seen(job)[-1]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the workflow brings about."""
        wait_until(lambda: condition() or self.process.poll() is not None)
        assert condition(), self.output

    def finish(self) -> str:
        """Wait for the workflow's good end; returns what it printed."""
        assert self.process.wait() == 0, self.output
        return self.output

    def kill(self) -> None:
        """SIGKILL the workflow, with all that it runs on this machine."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def output(self) -> str:
        """What the workflow printed."""
        return (self.workspace.root / "output.txt").read_text()


def make_slurm_workspace(
    root: Path, cluster: Cluster, config: Mapping[str, Any], **more: Any
) -> SlurmWorkspace:
    """Parents, a task with gates, which are open, and configuration in a new folder."""
    make_workspace(root, config, WAITING_TASK)
    return SlurmWorkspace(root, cluster, **more)


def site_profile(folder: Path, **rules: dict[str, Any]) -> Path:
    """A site's copy of the shipped profile, with other resources for some rules."""
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text(encoding="utf-8"))
    for rule, resources in rules.items():
        profile["set-resources"][rule].update(resources)
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder
