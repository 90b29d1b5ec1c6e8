"""Everything that a cluster does to a run, in one run: it ends in the bytes of an untouched one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.small_run import small
from tests.slurm.workspace import Run, SlurmWorkspace, make_slurm_workspace, site_profile
from tests.workflow.workspace import Workspace

BUSY = """#!/bin/sh
for call in 1 2 3; do
  if mkdir {mark}-$call 2>/dev/null; then echo "sbatch: error: Socket timed out" >&2; exit 1; fi
done
exec {sbatch} "$@"
"""
"""An sbatch that is refused more often than a job is started again after failures."""
HELD = ("baselines-0-0", "ps-0-0", "ps-1-0", "finalists-0-0", "test-0-0")

pytestmark = pytest.mark.slurm


@pytest.fixture
def workspace(cluster: Cluster, tmp_path: Path) -> SlurmWorkspace:
    """One job a generation, on a whole node with both GPUs: a fault of a node hits one job only."""
    programs = tmp_path / "programs"
    programs.mkdir()
    sbatch = cluster.command("sh", "-c", "command -v sbatch").strip()
    (programs / "sbatch").write_text(BUSY.format(mark=tmp_path / "refused", sbatch=sbatch))
    (programs / "sbatch").chmod(0o755)
    return make_slurm_workspace(
        tmp_path / "run",
        cluster,
        small(jobs=1, resident=False, storage="scratch"),
        profile=site_profile(
            tmp_path / "profile",
            evaluate={"gres": "gpu:2", "tmpdir": f"{tmp_path}/disk-of-$SLURMD_NODENAME"},
        ),
        programs=programs,
    )


def test_a_troubled_run_ends_in_the_same_bytes(
    cluster: Cluster, local_run: Workspace, workspace: SlurmWorkspace
) -> None:
    """A refused sbatch, a cancelled, a killed and a late job, a lost and a drained node, a killed workflow."""
    workspace.close(*HELD)
    run = workspace.launch()
    _let_time_run_out(cluster, run, "baselines-0-0")
    _cancel(cluster, run, "ps-0-0")
    _lose_and_drain_a_node(cluster, run, "ps-1-0")
    run.wait_for("baselines-0-0", 2)
    workspace.open("baselines-0-0")
    _kill_the_evaluation(run, "finalists-0-0")
    run = _kill_the_workflow(run, "test-0-0")
    run.finish()
    wait_until(lambda: not cluster.jobs())  # the job of the killed workflow may end last
    assert workspace.digests() == local_run.digests()
    assert "Socket timed out" not in run.output  # the controller took the job at last
    for told in ("'CANCELLED'", "'TIMEOUT'", "'FAILED'"):
        assert told in run.output
    # with both GPUs of a node, a job still does its work once at each attempt
    assert {job: len(workspace.seen(job)) for job in HELD} == dict.fromkeys(HELD, 2)
    _check_the_nodes_disk(workspace)


def _let_time_run_out(cluster: Cluster, run: Run, job: str) -> None:
    """SLURM looks at time limits twice a minute; the rest goes on meanwhile."""
    late = run.wait_for(job).slurm_job
    cluster.command("scontrol", "update", f"jobid={late}", "EndTime=now+1")


def _cancel(cluster: Cluster, run: Run, job: str) -> None:
    """By scancel, as an administrator may."""
    cluster.command("scancel", run.wait_for(job).slurm_job)
    run.wait_for(job, 2)
    run.workspace.open(job)


def _kill_the_evaluation(run: Run, job: str) -> None:
    """As the kernel does when memory runs out: an attempt without a score, then another."""
    os.kill(run.wait_for(job).pid, signal.SIGKILL)
    run.wait_for(job, 2)
    assert not list(run.workspace.files.root.glob("finalists/candidates/*/outcome.json"))
    run.workspace.open(job)


def _lose_and_drain_a_node(cluster: Cluster, run: Run, job: str) -> None:
    """The job of a lost node starts on another; it may end on one that takes no new jobs."""
    lost = run.wait_for(job)
    cluster.set_node(lost.node, "down")
    again = run.wait_for(job, 2)
    assert again.slurm_job == lost.slurm_job, "SLURM itself starts it again"
    assert again.node != lost.node
    cluster.set_node(again.node, "drain")
    try:
        run.workspace.open(job)
        done = run.workspace.files.phase("ps").generation(1).outcomes
        run.wait_until(done.exists)
    finally:
        cluster.set_node(again.node, "resume")
        cluster.set_node(lost.node, "resume")


def _kill_the_workflow(run: Run, job: str) -> Run:
    """Its job goes on, while the next workflow starts a second one that writes the same files."""
    first = run.wait_for(job)
    run.kill()
    run = run.workspace.launch()
    assert run.wait_for(job, 2).slurm_job != first.slurm_job
    run.workspace.open(job)
    return run


def _check_the_nodes_disk(workspace: SlurmWorkspace) -> None:
    """Candidates went through the profile's folder, as the node names it, and left nothing there."""
    seen = workspace.seen("finalists-0-0")[-1]
    scratch = workspace.root.parent / f"disk-of-{seen.node}"
    assert seen.environment["TMPDIR"] == str(scratch)
    assert not list(scratch.glob("tsugiki-*"))
    assert not list(workspace.files.root.rglob("weights-*"))
