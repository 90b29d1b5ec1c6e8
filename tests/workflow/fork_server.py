"""The process whose forks do the commands of small runs (see forked.py)."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.workflow.forked import TELL, ask, status

REPOSITORY = Path(__file__).parents[2]
LAZY = (
    "mlflow.store.tracking.sqlalchemy_store",
    "snakemake.cli",
    "transformers.models.llama.modeling_llama",
)
"""What commands import besides the package and what it imports."""
LOOK = 5.0
"""Seconds between two looks at whether the tests still run."""

_started: list[subprocess.Popen[bytes]] = []


def done(
    arguments: list[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Do a command in a fork, and wait for it.

    Args:
        arguments: `snakemake` or `tsugiki`, and what follows.
        folder: Its working folder.
        environment: Its variables.
    """
    address = running()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
        tempfile.NamedTemporaryFile("w", encoding="utf-8") as shell,
        Path(os.devnull).open("rb") as nothing,
    ):
        file = REPOSITORY / "tests/workflow/forked.py"
        shell.write(TELL.format(python=sys.executable, file=file, address=address))
        shell.flush()
        variables = {**environment, "BASH_ENV": shell.name}
        files = [one.fileno() for one in (nothing, out, err)]
        code = status(ask(address, arguments, files, str(folder), variables))
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def running() -> str:
    """The address of the server of these tests, started if need be: one for all their processes."""
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    address = f"tsugiki-tests-{owner}"
    while True:
        with socket.socket(socket.AF_UNIX) as known, suppress(ConnectionRefusedError):
            known.connect(f"\0{address}")
            return address
        # another process of the tests may be quicker: then it has the address
        with socket.socket(socket.AF_UNIX) as listener, suppress(OSError):
            listener.bind(f"\0{address}")
            listener.listen(64)
            number = listener.fileno()
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(number), str(owner), address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=REPOSITORY,
                pass_fds=(number,),
                start_new_session=True,
            )
            _started.append(process)


def serve(listener: socket.socket, owner: int) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for everyone who asks.

    Args:
        listener: It listens already.
        owner: Number of the process that the server ends after.

    Returns:
        In a fork: what it is to do, and its files. In the server, in the end: None.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    waiting: dict[int, socket.socket] = {}
    while Path(f"/proc/{owner}").exists():
        ready, _, _ = select.select([listener, woken], [], [], LOOK)
        if woken in ready:
            os.read(woken, 4096)
        for child in [*waiting]:
            ended, how = os.waitpid(child, os.WNOHANG)
            if ended:
                with waiting.pop(child) as client, suppress(OSError):
                    client.sendall(b"%d\n" % os.waitstatus_to_exitcode(how))
        if listener not in ready:
            continue
        client = listener.accept()[0]
        files = socket.recv_fds(client, 1, 8)[1]
        with client.makefile(encoding="utf-8") as stream:
            line = stream.readline()
        if not line:
            client.close()  # it only wanted to know whether anybody is here
            continue
        if (child := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (listener, client, *waiting.values()):
                one.close()
            return json.loads(line), files
        waiting[child] = client
        for one in files:
            os.close(one)
    return None


def do(request: dict[str, Any], files: list[int]) -> None:
    """Do a command in this process."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    kind, *arguments = sys.argv = request["arguments"]
    if kind == "worker":
        from tsugiki.workers import server

        os.setsid()
        server.IDLE_SECONDS = float(os.environ["TSUGIKI_RESIDENT_IDLE"])
        server.serve(Path(arguments[0]), socket.socket(fileno=files[3]))
        return
    main = importlib.import_module(f"{kind}.cli").main
    sys.exit(main(arguments))


def start_worker(address: str) -> Any:
    """What starts a worker as a fork, in place of `subprocess.Popen`."""

    def start(command: list[str], *, stdout: Any, env: Any, pass_fds: Any, **_: Any) -> None:
        path = command[command.index("tsugiki.workers.server") + 1]
        with Path(os.devnull).open("rb") as nothing:
            files = (nothing.fileno(), stdout.fileno(), stdout.fileno(), *pass_fds)
            ask(address, ["worker", path], files, str(Path.cwd()), env).close()

    return start


def main() -> None:
    """Import everything, and serve on a socket: its number in this process, the owner, its address."""
    number, owner, address = sys.argv[1:]
    gc.disable()
    import tsugiki

    for found in pkgutil.walk_packages(tsugiki.__path__, "tsugiki."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in LAZY:
        importlib.import_module(name)
    from tsugiki.workers import start

    start.subprocess = SimpleNamespace(Popen=start_worker(address), DEVNULL=subprocess.DEVNULL)
    gc.freeze()
    gc.enable()
    assert threading.active_count() == 1, "threads are lost in a fork"
    if (asked := serve(socket.socket(fileno=int(number)), int(owner))) is not None:
        do(*asked)


if __name__ == "__main__":
    main()
