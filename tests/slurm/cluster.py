"""A real SLURM on this machine: three virtual nodes with two counted GPUs each, for one test session.

Everything is in one folder, of which the daemons are told through SLURM_CONF: nothing under /etc or
/run is touched, and a SLURM that the machine may have is left alone.
"""

from __future__ import annotations

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
NODES = ("n1", "n2", "n3")
ACTIVE = "pending,configuring,running,completing"
PATIENCE = 900.0
"""Seconds after which a broken test ends."""

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# a requeued job waits as long as a credential lives, and a busy machine may take seconds to read one
AuthInfo=socket={root}/munge.socket,cred_expire=20
CryptoType=crypto/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
# a busy machine is no lost one
SlurmctldTimeout=600
SlurmdTimeout=600
MessageTimeout=100
TCPTimeout=60
BatchStartTimeout=600
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=1
KillWait=1
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=0
GresTypes=gpu
# nodes may claim more than this machine has
SlurmdParameters=config_overrides
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=24:00:00 State=UP
PartitionName=gpu Nodes=ALL MaxTime=24:00:00 State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
    " CPUs=4 RealMemory=200000 Gres=gpu:2 State=UNKNOWN"
)
GPUS = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
"""SLURM only counts them; it wants character devices that exist."""

SRUN = """#!/bin/sh
SLURM_CONF={conf} exec {srun} "$@"
"""


def missing_programs() -> list[str]:
    """What of SLURM is not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_places()) is None]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another process; the limit only ends a broken test."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@dataclass(frozen=True)
class Cluster:
    """The running cluster."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables through which SLURM's commands find it."""
        places = os.pathsep.join([str(self.root / "bin"), _places()])
        return {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf"), "PATH": places}

    def command(self, *arguments: str) -> str:
        """What a SLURM command prints."""
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=True, env=self.environment
        )
        return done.stdout

    def idle(self) -> int:
        """How many nodes have no job and take one."""
        return self.command("sinfo", "-h", "-N", "-p", "cpu", "-t", "idle", "-o", "%N").count("n")

    def set_node(self, name: str, state: str) -> None:
        """Change a node's state, as an administrator would."""
        reason = [] if state == "resume" else ["reason=test"]
        self.command("scontrol", "update", f"nodename={name}", f"state={state}", *reason)

    def jobs(self) -> list[str]:
        """Numbers of the jobs that are at work, or about to be."""
        return self.command("squeue", "-h", "-t", ACTIVE, "-o", "%i").split()

    @contextmanager
    def only(self, name: str) -> Iterator[None]:
        """Let only one node take new jobs."""
        others = [other for other in NODES if other != name]
        for other in others:
            self.set_node(other, "drain")
        try:
            yield
        finally:
            for other in others:
                self.set_node(other, "resume")


@contextmanager
def running_cluster(root: Path, *, more: str = "") -> Iterator[Cluster]:
    """Start the daemons, and end them and all jobs afterwards; `more` goes into slurm.conf."""
    cluster = Cluster(root)
    _write_configuration(root, more)
    with ExitStack() as stack:
        stack.callback(_end_what_is_left, cluster)
        munge = [f"--{what}-file={root}/munge.{what}" for what in ("key", "pid", "log", "seed")]
        key = root / "munge.key"
        _call("mungekey", "--create", f"--keyfile={key}")
        stack.enter_context(
            _daemon(
                cluster,
                ["munged", "--foreground", "--force", f"--socket={root}/munge.socket", *munge],
            )
        )
        wait_until((root / "munge.socket").exists)
        stack.enter_context(_daemon(cluster, ["slurmctld", "-D"]))
        for name in NODES:
            stack.enter_context(_daemon(cluster, ["slurmd", "-D", "-N", name], label=name))
        wait_until(lambda: _answers(cluster) and cluster.idle() == len(NODES))
        try:
            yield cluster
        finally:
            cluster.command("scancel", "--full", "--user", getpass.getuser())
            wait_until(lambda: not cluster.jobs())


def _write_configuration(root: Path, more: str) -> None:
    host = os.uname().nodename.partition(".")[0]
    port = _free_port(1 + len(NODES))
    nodes = [
        NODE.format(name=name, host=host, port=port + 1 + number)
        for number, name in enumerate(NODES)
    ]
    for folder in ("state", *(f"spool-{name}" for name in NODES)):
        (root / folder).mkdir(parents=True)
    (root / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=host, port=port, user=getpass.getuser(), root=root, nodes="\n".join(nodes)
        )
        + more
    )
    (root / "gres.conf").write_text(GPUS)
    # Snakemake's plugin keeps SLURM_CONF from srun, which then looks under /etc
    srun = root / "bin/srun"
    srun.parent.mkdir()
    srun.write_text(SRUN.format(conf=root / "slurm.conf", srun=shutil.which("srun")))
    srun.chmod(0o755)
    (root / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainDevices=no\n")


def _free_port(count: int) -> int:
    """The first of some ports in a row that nobody listens on, below those that clients are given."""
    while True:
        first = random.randrange(20_000, 30_000)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("", port))
            return first


@contextmanager
def _daemon(cluster: Cluster, command: list[str], label: str = "") -> Iterator[None]:
    log = cluster.root / f"{command[0]}{label}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=cluster.environment
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_what_is_left(cluster: Cluster) -> None:
    """SIGKILL processes of this cluster's jobs: those of a lost node are nobody's any more."""
    mark = f"SLURM_CONF={cluster.root}/slurm.conf".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": _places()})


def _places() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _answers(cluster: Cluster) -> bool:
    done = subprocess.run(
        ["scontrol", "ping"],
        capture_output=True,
        text=True,
        check=False,
        env=cluster.environment,
    )
    return "UP" in done.stdout
