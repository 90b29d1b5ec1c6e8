"""Which jobs are a shell command and nothing else, and what a node needs to know to run one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tsugiki.slurm.job import STRICT, SYSTEM_TMPDIR, NodeJob

OUTPUT_FLAGS = {"directory", "temp", "report"}
"""What an output may be without its job having to see to it: the workflow does, when the job is over."""

UNKNOWN = "<TBD>"
"""What Snakemake writes for `{resources.tmpdir}` where it does not know the node."""

LONGEST = 60_000
"""Characters of a job's description; a command line takes twice as many, and quoting adds to them."""

FOLDER = re.compile(r"[/~$][\w./~${}+@:-]*")


def as_node_job(job: Any, workflow: Any) -> NodeJob | None:
    """A job as its node has to run it; None for one that only Snakemake can run there.

    That is one of a group, one without a shell command, one that wants an environment, a container
    or a shadow folder made for it, one with files that are not on a disk that all nodes share, one
    whose temporary folder is an expression or part of its command, and one that Snakemake itself
    could not start with a command line.

    Args:
        job: Snakemake's job.
        workflow: Snakemake's workflow.
    """
    if job.is_group() or not _runs_a_command_here(workflow) or not _is_plain(job):
        return None
    folder = temporary_folder(job.rule.resources.get("tmpdir"))
    command: str = job.shellcmd
    if folder is None or UNKNOWN in command:
        return None
    found = NodeJob(
        command=command,
        threads=job.threads,
        inputs=tuple(map(str, job.input)),
        outputs=tuple(str(path) for path in job.output if not path.is_directory),
        folders=tuple(str(path) for path in job.output if path.is_directory),
        logs=tuple(map(str, job.log)),
        benchmark=str(job.benchmark) if job.benchmark else None,
        tmpdir=folder,
        patience=workflow.execution_settings.latency_wait,
    )
    return found if len(found.to_json()) <= LONGEST else None


def temporary_folder(resource: Any) -> str | None:
    """The folder that a `tmpdir` resource names, with variables that the node fills in.

    None for an expression, which only Snakemake can evaluate.
    """
    raw = SYSTEM_TMPDIR if resource is None else str(resource.raw)
    if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "'\"":
        raw = raw[1:-1]
    return raw if raw == SYSTEM_TMPDIR or FOLDER.fullmatch(raw) else None


def _runs_a_command_here(workflow: Any) -> bool:
    """Whether all that jobs need is installed, on a disk that all nodes share, and as they expect it."""
    from snakemake.shell import shell
    from snakemake_interface_executor_plugins.settings import SharedFSUsage

    executable = shell.get_executable() or ""
    prefix = shell._get_process_prefix(executable)  # noqa: SLF001 - there is no other way to ask
    return not (
        workflow.deployment_settings.deployment_method
        or workflow.remote_execution_settings.precommand
        or workflow.output_settings.benchmark_extended
        or workflow.workflow_settings.cache
        or workflow.storage_settings.shared_fs_usage != SharedFSUsage.all()
        or Path(workflow.workdir_init) != Path.cwd()
        or Path(executable).name != "bash"
        or prefix != STRICT
        or shell._process_suffix  # noqa: SLF001
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
