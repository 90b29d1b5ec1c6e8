"""What a node does for a job: run a rule's shell command, as Snakemake would.

    python -m tsugiki.slurm.job '{"command": "...", "inputs": ["..."], "outputs": ["..."], ...}'

Input files are waited for, as a network file system may show them late. Outputs and logs of an earlier
attempt are removed. The command runs in bash, in strict mode, with the variables for threads and the
temporary folder that Snakemake sets, and is measured by Snakemake's own means. Its outputs must be there
when it has ended. All that follows a job, such as the records of the workflow, is the workflow's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tsugiki import atomic
from tsugiki.errors import InfrastructureError
from tsugiki.slurm.shared_disk import content
from tsugiki.this_environment import program_path

SYSTEM_TMPDIR = "system_tmpdir"
"""Snakemake's word for the folder that the node's own TMPDIR names."""

STRICT = "set -euo pipefail; "
"""What Snakemake puts before a command for bash."""

THREADS = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
"""Libraries that read `<name>_NUM_THREADS`."""


@dataclass(frozen=True)
class NodeJob:
    """A rule's command, and what it needs around it."""

    command: str
    threads: int = 1
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Outputs that are folders: those of an earlier attempt are removed with all that is in them."""
    logs: tuple[str, ...] = ()
    benchmark: str | None = None
    tmpdir: str = SYSTEM_TMPDIR
    """A folder; it may name variables, which are the node's."""
    patience: float = 5.0
    """Seconds to wait for inputs."""
    failed: str | None = None
    """A file to make if the job fails, for the workflow to see."""

    def to_json(self) -> str:
        """The argument of this module from which `of_json` makes the same job."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> NodeJob:
        """Read what `to_json` has written."""
        content: dict[str, Any] = json.loads(text)
        for name, value in content.items():
            content[name] = tuple(value) if isinstance(value, list) else value
        return cls(**content)


def run(job: NodeJob) -> int:
    """Run a job here; returns the exit status of its command, as a shell would give it.

    Raises:
        InfrastructureError: an input does not appear, the temporary folder cannot be had, or the
            command ends well and leaves an output out.
    """
    wait_for(job.inputs, job.patience)
    folder = make_temporary_folder(job.tmpdir)
    for path in map(Path, job.folders):
        if path.is_dir() and not path.is_symlink():
            atomic.remove(path)
    for path in map(Path, (*job.outputs, *job.folders, *job.logs)):
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    process = subprocess.Popen(
        ["bash", "-c", f"{STRICT}{job.command}"],  # noqa: S607 - the node's own
        env={**os.environ, **variables(job.threads, folder)},
    )
    if job.benchmark is None:
        status = process.wait()
    else:
        status = _measure(process, begun, Path(job.benchmark))
    if status == 0:
        require_written((*job.outputs, *job.folders))
    return status if status >= 0 else 128 - status


def wait_for(paths: Iterable[str], patience: float) -> None:
    """Wait until files are there, `patience` seconds in all.

    Raises:
        InfrastructureError: one does not appear.
    """
    until = time.monotonic() + patience
    for path in map(Path, paths):
        while not path.exists():
            if time.monotonic() >= until:
                raise InfrastructureError(
                    "an input of this job is not here",
                    where=f"{path.absolute()} on {os.uname().nodename}",
                    fix="put the results on a disk that all nodes share, or raise `latency-wait`",
                )
            time.sleep(0.2)
            content(path.parent)


def make_temporary_folder(named: str) -> str:
    """Make the folder for temporary files, and return its name with variables filled in.

    Raises:
        InfrastructureError: a variable is not set, or the folder cannot be made.
    """
    if named == SYSTEM_TMPDIR:
        return tempfile.gettempdir()
    folder = os.path.expanduser(os.path.expandvars(named))  # noqa: PTH111 - variables come first
    if "$" in folder:
        raise InfrastructureError(
            "the folder for temporary files names a variable that is not set",
            where=f"resource tmpdir: {named} on {os.uname().nodename}",
            fix="name a folder of the nodes, or `system_tmpdir`, in the profile",
        )
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(
            "the folder for temporary files cannot be made",
            where=f"{folder} on {os.uname().nodename}",
            got=str(error),
            fix="name a folder of the nodes, or `system_tmpdir`, in the profile",
        ) from error
    return folder


def variables(threads: int, folder: str) -> dict[str, str]:
    """What Snakemake sets for a shell command; programs are looked for beside this Python first."""
    return {
        **{f"{name}_NUM_THREADS": str(threads) for name in THREADS},
        "VECLIB_MAXIMUM_THREADS": str(threads),
        **dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), folder),
        "PATH": program_path(),
    }


def require_written(paths: Iterable[str]) -> None:
    """Check that outputs are there: the workflow would wait for them as for a slow disk.

    Raises:
        InfrastructureError: one is missing.
    """
    if missing := [path for path in paths if not Path(path).exists()]:
        raise InfrastructureError(
            "a command ended well and did not write all its outputs",
            where=os.uname().nodename,
            got=f"no {', '.join(missing)}",
            fix="see the rule's log",
        )


def _measure(process: subprocess.Popen[bytes], begun: float, path: Path) -> int:
    """Wait for a process; writes what it used where it ends well."""
    from snakemake.benchmark import benchmarked, write_benchmark_records

    with benchmarked(process.pid) as record:
        status = process.wait()
    record.running_time = time.time() - begun
    if status == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_benchmark_records([record], str(path), extended_fmt=False)
    return status


def main() -> int:
    """Run the job of the command line."""
    job = NodeJob.of_json(sys.argv[1])
    status = 1
    try:
        status = run(job)
    except InfrastructureError as error:
        print(error, file=sys.stderr)  # noqa: T201 - SLURM keeps it in the job's log
    finally:
        if status and job.failed:
            with suppress(OSError):  # the workflow has ended; or it will ask the scheduler
                Path(job.failed).touch()
    return status


if __name__ == "__main__":
    sys.exit(main())
