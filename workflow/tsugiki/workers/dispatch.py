"""Dispatch a job's command to a worker, before anything else is imported.

A job's own process would import for half a second what the worker has in memory. So this module needs
nothing but small modules of the standard library while a worker waits; where none does, one is started.

A job and a worker talk in lines of JSON on a socket. The job sends one request. The worker answers with
`log` (a line of progress) as often as it likes, and at last with `done`, `error`, or `stale`: it holds
files in memory that have changed since, has done nothing, and ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, count, takewhile
from typing import Any, NamedTuple

from tsugiki import errors
from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.terminal import Terminal

OPTIONS = {
    "evaluate": ("--series", "--generation", "--job"),
    "rank": ("--series", "--generation"),
    "select": ("--stage", "--generation"),
    "track": ("--series", "--generation"),
}
"""The commands that workers do, and the options that the rules give them, in this order."""
RUNG = "--rung"
"""The option that an evaluation has besides, at the end, for a rung before the last."""
WORKERS = {"evaluate": "evaluate-{slot}", "rank": "select", "select": "select", "track": "track"}
"""The worker of each command. `rank` and `select` have one of their own: they must not wait for an
evaluation, and need little memory."""
SWITCH = "TSUGIKI_RESIDENT"
"""Environment variable with the threads of a worker that evaluates; where it is not set, there are no workers."""
ATTEMPTS = 3
"""A worker that holds files that have changed, or is dying, or fails to come up, may take a call."""
LONGEST_SOCKET_PATH = 100
"""Unix limits the path of a socket to about 107 bytes."""
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120


class Request(NamedTuple):
    """What a worker is asked to do."""

    command: str
    config: str
    """The run's `config.lock.yaml`."""
    phase: str
    generation: int
    job: int = 0
    rung: int | None = None
    chosen: int | None = None
    """Number of the worker that does it, where there are several; the job's if None."""

    @property
    def slot(self) -> int:
        """Number of the worker that does it, and of the GPU among those that it sees."""
        return self.job if self.chosen is None else self.chosen

    @property
    def worker(self) -> str:
        """Name of the worker that does it."""
        return WORKERS[self.command].format(slot=self.slot)

    @property
    def log_path(self) -> str:
        """Where that worker writes what it prints."""
        return f"{os.path.dirname(self.config)}/logs/resident-{self.worker}.log"  # noqa: PTH120

    @property
    def has_fallback(self) -> bool:
        """Whether the job does it itself if the worker fails, whatever the reason.

        All but an evaluation takes little longer there than a worker takes to start. What is wrong is
        raised there again, and shown.
        """
        return self.command != "evaluate"


def allow_workers(threads: int) -> None:
    """Have all jobs that are started from now on do their work by workers, with so many threads to evaluate.

    Not where jobs are those of a scheduler: it kills a process that outlives its job with it, or gives
    the GPU that the process holds to the next job. Workers change no result, so that a configuration
    with `resident: true` is good for a cluster too.
    """
    os.environ[SWITCH] = str(threads)


def dispatch(arguments: list[str]) -> int | None:
    """Have a worker do a command.

    Args:
        arguments: The command line, without the program's name.

    Returns:
        The exit status; None if this process has to do it: the workflow allows no workers, the command
        is another one or not written as the rules write it, or the worker could not do it.
    """
    request, threads = _read(arguments), os.environ.get(SWITCH, "")
    if request is None or not threads.isdecimal():
        return None
    with Terminal(arguments[1]) as terminal:
        log = print if request.command == "evaluate" else terminal.announce
        try:
            if request.command == "evaluate":
                request = _where_a_worker_is_free(request)
            call(request, log, threads=1 if request.has_fallback else int(threads))
        except TsugikiError as error:
            if request.has_fallback:
                return None
            terminal.complain(f"tsugiki: {error}")
            return 75 if isinstance(error, InfrastructureError) else 1
    return 0


def _read(arguments: list[str]) -> Request | None:
    """The request of a command line; None if it is not one of the rules'."""
    if len(arguments) < 4 or arguments[0] != "--log" or arguments[2] not in OPTIONS:
        return None
    command, config, options = arguments[2], arguments[3], arguments[4:]
    wanted = OPTIONS[command]
    if command == "evaluate" and options[-2:-1] == [RUNG]:
        wanted = (*wanted, RUNG)
    if tuple(options[::2]) != wanted:
        return None
    phase, *numbers = options[1::2]
    if not all(number.isdecimal() for number in numbers):
        return None
    return Request(command, config, phase, *map(int, numbers))


def _where_a_worker_is_free(request: Request) -> Request:
    """The evaluation for a worker that is at nothing; for the job's own if all of them are busy.

    Shards take unequal times, and stages are searched side by side: without it, two jobs of one number wait for
    one worker while another is idle. Two jobs that choose the same one at the same moment lose no more than that.
    """
    slots = (request._replace(chosen=number) for number in count())
    there = takewhile(lambda one: os.path.exists(socket_path(one)), slots)  # noqa: PTH110
    free = (
        one
        for one in chain([request], there)
        if not os.path.exists(busy_path(socket_path(one)))  # noqa: PTH110
    )
    return next(free, request)


def busy_path(path: str) -> str:
    """The file that says that the worker at a socket is at work; one that was killed leaves it to the next."""
    return f"{path}.busy"


def socket_path(request: Request) -> str:
    """The socket of the worker for a request.

    The same run, in another folder or by another installation of the package, has another socket.
    Whether the process behind it still holds what is on disk is for that process to know.

    Raises:
        InfrastructureError: the folder for sockets cannot be made, or another user has made it.
    """
    # no pathlib, which takes longer to import than all this to run
    config = os.path.abspath(request.config)  # noqa: PTH100
    where = [request.worker, config, os.getcwd(), PACKAGE, sys.executable]  # noqa: PTH109
    name = hashlib.sha256("\0".join(where).encode()).hexdigest()[:20]
    folder = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"tsugiki-{os.getuid()}")  # noqa: PTH118, S108
    if len(folder) + len(name) > LONGEST_SOCKET_PATH:
        folder = f"/tmp/tsugiki-{os.getuid()}"  # noqa: S108 - made with mode 0700 below
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        mine = os.stat(folder).st_uid == os.getuid()  # noqa: PTH116
        fault = None if mine else "it belongs to another user"
    except OSError as error:
        fault = str(error)
    if fault is not None:
        raise InfrastructureError(
            "the folder for the sockets of workers cannot be used",
            where=folder,
            got=fault,
            fix="set TMPDIR to a folder of your own, or `resident: false`",
        )
    return f"{folder}/{name}"


def call(request: Request, log: Callable[[str], None], *, threads: int) -> None:
    """Have a worker do a request, and wait for it; the job's own is started if need be.

    Raises:
        InfrastructureError: the worker died, or cannot be started.
        TsugikiError: what the work itself raised.
    """
    for _ in range(ATTEMPTS):
        connection = connect(socket_path(request))
        if connection is None:
            from tsugiki.workers.start import start_worker  # which imports more

            request = request._replace(chosen=None)  # a job starts no worker but its own
            connection = start_worker(request, threads)
        with connection:
            if ask(connection, request, log):
                return
    raise InfrastructureError(
        "the worker ended before its work began",
        where=request.command,
        fix=f"see {request.log_path}; the job is tried again",
    )


def connect(path: str) -> socket.socket | None:
    """A connection to the worker that listens on a socket; None if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def ask(connection: socket.socket, request: Request, log: Callable[[str], None]) -> bool:
    """Have a worker do a request, and wait for it.

    Returns:
        Whether it was done; False if the worker ended before it began.

    Raises:
        InfrastructureError: the worker died in the middle.
        TsugikiError: what the work itself raised.
    """
    begun = False
    for answer in _answers(connection, request):
        if "log" in answer:
            begun = True
            log(answer["log"])
        elif "error" in answer:
            kind = getattr(errors, answer["error"].pop("type"))
            raise kind(**answer["error"])
        else:
            return "done" in answer
    if begun:
        raise InfrastructureError(
            "the worker ended before its work was done",
            where=request.command,
            fix=f"see {request.log_path}; the job is tried again",
        )
    return False


def _answers(connection: socket.socket, request: Request) -> Iterator[dict[str, Any]]:
    """What the worker answers, for as long as it lives."""
    # it may be killed at any time, perhaps in the middle of a line
    with suppress(OSError, json.JSONDecodeError), connection.makefile(encoding="utf-8") as lines:
        connection.sendall(json.dumps(request._asdict()).encode() + b"\n")
        for line in lines:
            yield json.loads(line)
