"""Which jobs are a shell command and nothing else, and what a node needs to know to run one."""

from __future__ import annotations

import re
from typing import Any

from tsugiki.slurm.job import SYSTEM_TMPDIR, NodeJob

OUTPUT_FLAGS = {"directory", "temp", "report"}
"""What an output may be without its job having to see to it: the workflow does, when the job is over."""

FOLDER = re.compile(r"[/~$][\w./~${}+@:-]*")


def as_node_job(job: Any, workflow: Any) -> NodeJob | None:
    """A job as its node has to run it; None for one that only Snakemake can run there.

    That is one of a group, one without a shell command, one that wants an environment, a container
    or a shadow folder made for it, one with files that are not on a disk that all nodes share, and
    one whose temporary folder is an expression.

    Args:
        job: Snakemake's job.
        workflow: Snakemake's workflow.
    """
    if job.is_group() or not _runs_a_command_here(workflow) or not _is_plain(job):
        return None
    folder = temporary_folder(job.rule.resources.get("tmpdir"))
    if folder is None:
        return None
    return NodeJob(
        command=job.shellcmd,
        threads=job.threads,
        inputs=tuple(map(str, job.input)),
        outputs=tuple(map(str, job.output)),
        logs=tuple(map(str, job.log)),
        benchmark=str(job.benchmark) if job.benchmark else None,
        tmpdir=folder,
        patience=workflow.execution_settings.latency_wait,
    )


def temporary_folder(resource: Any) -> str | None:
    """The folder that a `tmpdir` resource names, with variables that the node fills in.

    None for an expression, which only Snakemake can evaluate.
    """
    raw = SYSTEM_TMPDIR if resource is None else str(resource.raw)
    if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "'\"":
        raw = raw[1:-1]
    return raw if raw == SYSTEM_TMPDIR or FOLDER.fullmatch(raw) else None


def _runs_a_command_here(workflow: Any) -> bool:
    """Whether all that jobs need is installed, and on a disk that all nodes share."""
    from snakemake_interface_executor_plugins.settings import SharedFSUsage

    return not (
        workflow.deployment_settings.deployment_method
        or workflow.remote_execution_settings.precommand
        or workflow.output_settings.benchmark_extended
        or workflow.storage_settings.shared_fs_usage != SharedFSUsage.all()
    )


def _is_plain(job: Any) -> bool:
    rule = job.rule
    flags = {flag for path in job.output for flag in path.flags}
    return bool(
        rule.shellcmd
        and not job.is_shadow
        and not rule.is_handover
        and job.benchmark_repeats in (None, 1)
        and not any(path.is_storage for path in [*job.input, *job.output, *job.log])
        and flags <= OUTPUT_FLAGS
        and not {"shell_exec", "mpi"} & set(job.resources.keys())
    )
