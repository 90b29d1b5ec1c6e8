"""What a job on a node runs: the rule's command, or Snakemake where a command is not all."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm

WORKFLOW = r"""
PARENT = "tr '\\0' ' ' < /proc/$PPID/cmdline"

rule all:
    input: "plain", "folder", "quotes", "script", "shadow", "updated", "temporary-folder", "named-folder",
        "node-folder"

rule plain:
    output: "plain"
    benchmark: "plain.tsv"
    shell: PARENT + " > {output}"

rule folder:
    input: "plain"
    output: directory("folder")
    shell: "mkdir {output}; " + PARENT + " > {output}/parent"

rule quotes:
    output: "quotes"
    threads: 2
    shell: '''x=inner; printf '%s\n' "$x" '$x' "a'b" 'a"b' '\\' "`echo back`" {threads} $OMP_NUM_THREADS > {output}'''

rule script:
    output: "script"
    run:
        import os
        open(output[0], "w").write(open(f"/proc/{os.getpid()}/cmdline").read().replace("\0", " "))

rule shadow:
    output: "shadow"
    shadow: "minimal"
    shell: PARENT + " > {output}"

rule updated:
    output: update("updated")
    shell: PARENT + " > {output}"

rule folder_by_expression:
    output: "temporary-folder"
    resources: tmpdir=lambda wildcards, attempt: f"/tmp/tsugiki-attempt-{attempt}"
    shell: "echo $TMPDIR > {output}"

rule folder_of_the_node:
    output: "node-folder"
    shell: "echo $TMPDIR > {output}; " + PARENT + " >> {output}"

rule folder_in_the_command:
    output: "named-folder"
    shell: "echo {resources.tmpdir} > {output}"
"""


ONE_JOB = r"""
rule all:
    input: "parent"

rule parent:
    output: "parent"
    shell: "tr '\\0' ' ' < /proc/$PPID/cmdline > {output}"
"""


def snakemake(
    cluster: Cluster, folder: Path, *arguments: str, workflow: str = WORKFLOW, status: int = 0
) -> str:
    """Run a workflow on the cluster, to an exit status; returns what it printed."""
    (folder / "Snakefile").write_text(workflow)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--executor", "tsugiki-slurm", "--jobs", "8"),
            *("--default-resources", "runtime=10", "mem_mb=1000", "slurm_partition=cpu"),
            *("--tsugiki-slurm-init-seconds-before-status-checks", "1"),
            *("--tsugiki-slurm-status-command", "squeue", "--tsugiki-slurm-logdir", "slurm-logs"),
            *("--seconds-between-status-checks", "1", "--latency-wait", "30", *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=cluster.environment,
        timeout=600,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_command_runs_without_snakemake_and_what_is_more_with_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Both give what Snakemake gives on one machine, and it keeps its records of both."""
    folder = tmp_path / "node-$SLURM_JOB_ID"
    snakemake(cluster, tmp_path, "--set-resources", f"folder_of_the_node:tmpdir={folder}")
    named, parent = (tmp_path / "node-folder").read_text().splitlines()
    assert re.fullmatch(rf"{tmp_path}/node-\d+", named)
    assert "-m tsugiki.slurm.job" in parent
    for direct in ("plain", "folder/parent"):
        assert "-m tsugiki.slurm.job" in (tmp_path / direct).read_text()
    for nested in ("script", "shadow", "updated"):
        assert "snakemake --snakefile" in (tmp_path / nested).read_text()
    assert (tmp_path / "temporary-folder").read_text() == "/tmp/tsugiki-attempt-1\n"
    assert (tmp_path / "named-folder").read_text().strip() == tempfile.gettempdir()
    assert (tmp_path / "plain.tsv").read_text().startswith("s\t")
    check_quotes(tmp_path)
    assert "Nothing to be done" in snakemake(cluster, tmp_path)


def test_a_command_is_the_same_when_it_is_submitted_as_a_script(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The plugin's other way of handing a command to SLURM."""
    snakemake(cluster, tmp_path, "--tsugiki-slurm-pass-command-as-script", "quotes")
    check_quotes(tmp_path)


@pytest.mark.parametrize("line", ['shell.prefix("set -eu; ")', 'workdir: "{folder}/below"'])
def test_a_workflow_that_changes_where_or_how_commands_run_is_left_to_snakemake(
    cluster: Cluster, tmp_path: Path, line: str
) -> None:
    """Only it knows what that means for each command."""
    snakemake(cluster, tmp_path, workflow=line.format(folder=tmp_path) + ONE_JOB)
    (parent,) = tmp_path.rglob("parent")
    assert "snakemake --snakefile" in parent.read_text()


FAILING = r"""
rule all:
    input: "never"

rule never:
    output: "never"
    shell: "exit 3"
"""


def test_a_job_that_fails_says_so_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Its file is gone with the workflow that has looked for it."""
    (tmp_path / ".snakemake").mkdir()
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            seen.update(
                path.parent.name[:11] for path in tmp_path.glob(".snakemake/failed-jobs-*/*")
            )

    looking = threading.Thread(target=look)
    looking.start()
    try:
        said = snakemake(cluster, tmp_path, workflow=FAILING, status=1)
    finally:
        done.set()
        looking.join()
    assert "Error in rule never" in said
    assert seen == {"failed-jobs"}
    assert list(tmp_path.glob(".snakemake/failed-jobs-*")) == []


def check_quotes(folder: Path) -> None:
    """No shell on the way to the node has read what is meant for the last one."""
    words = ["inner", "$x", "a'b", 'a"b', "\\", "back", "2", "2"]
    assert (folder / "quotes").read_text().splitlines() == words
