"""A resident process: takes one request at a time on a socket, and ends when left idle."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError, InfrastructureError, TsugikiError
from tsugiki.quick_imports import quick_imports
from tsugiki.resident.conversation import as_data
from tsugiki.resident.kept import Kept, code_stamp

POLITE = 10
"""How far the tracker's process stands back from those that evaluate (see nice(2))."""
IDLE_SECONDS = float(os.environ.get("TSUGIKI_RESIDENT_IDLE", "45"))


class Worker:
    """What the process can do, and what it keeps between requests."""

    def __init__(self) -> None:
        self._code = code_stamp()
        self._kept: Kept | None = None
        self._evaluators: dict[int, Any] = {}

    def keeps_what_is_there(self, request: dict[str, Any]) -> bool:
        """Whether all that is in memory is still what is on disk."""
        if self._kept is None:
            self._kept = Kept(RunFiles(Path(request["run"])), self._code)
        return self._kept.is_current()

    def work(
        self, request: dict[str, Any], say: Callable[[str], None], go_on: Callable[[], bool]
    ) -> None:
        """Do one request, after `keeps_what_is_there`."""
        assert self._kept is not None
        files, config = RunFiles(Path(request["run"])), self._kept.config
        series, generation, job = request["series"], request["generation"], request["job"]
        match request["command"]:
            case "rank":
                from tsugiki.steps.evolution import write_ranked

                write_ranked(files, config, series, generation, say=say)
            case "select":
                from tsugiki.steps.evolution import write_next

                stage = config.stage(series)
                if stage is None:
                    raise ConfigError(f"there is no stage {series!r}", where=str(files.config))
                write_next(files, config, stage, generation)
            case "track":
                os.nice(max(0, POLITE - os.nice(0)))  # candidates come first
                from tsugiki.tracking.projection import track_generation

                track_generation(files, series, generation, config, say=say)
            case "evaluate":
                self._evaluator(files, config, job).evaluate(
                    series, generation, rung=request.get("rung"), say=say, go_on=go_on
                )

    def _evaluator(self, files: RunFiles, config: RunConfig, job: int) -> Any:
        if job not in self._evaluators:
            from tsugiki.evaluate.vllm_backend.engine import see_one_gpu

            see_one_gpu(config.evaluation, job)
            with quick_imports():
                from tsugiki.evaluate.batch import Evaluator

            self._evaluators[job] = Evaluator(files, config, job=job)
        return self._evaluators[job]


def serve(path: Path, listener: socket.socket) -> None:
    """Answer who connects to a socket, until nobody has for a while.

    Args:
        path: Where clients find the socket; removed at the end.
        listener: It listens already (see `tsugiki.resident.client.listen`).
    """
    with listener:
        worker = Worker()
        try:
            while (connection := _accept(listener, path)) is not None:
                with connection:
                    if not _answer(worker, connection, lambda: _leave(listener, path)):
                        return
        finally:
            _leave(listener, path)


def _accept(listener: socket.socket, path: Path) -> socket.socket | None:
    """The next client; None when none has come for a while."""
    listener.settimeout(IDLE_SECONDS)
    try:
        return listener.accept()[0]
    except TimeoutError:
        pass
    # clients connect while they hold this lock: none can come between the last look and the end
    with path.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        listener.setblocking(False)
        try:
            return listener.accept()[0]
        except BlockingIOError:
            _leave(listener, path)
            return None


def _leave(listener: socket.socket, path: Path) -> None:
    """Take the socket away, once: another process may be listening there a moment later."""
    if listener.fileno() >= 0:
        path.unlink(missing_ok=True)
        listener.close()


def _answer(worker: Worker, connection: socket.socket, leave: Callable[[], None]) -> bool:
    """Do the work of one connection; say whether the process may go on."""
    connection.settimeout(None)
    stream = connection.makefile("rw", encoding="utf-8")
    try:
        return _converse(worker, connection, stream, leave)
    finally:
        # it holds the connection open, and something that was scored may refer to it for long
        with suppress(OSError):
            stream.close()


def _converse(
    worker: Worker, connection: socket.socket, stream: TextIO, leave: Callable[[], None]
) -> bool:
    """Read a request, do it, and send what comes of it."""

    def send(message: dict[str, Any]) -> None:
        try:
            stream.write(json.dumps(message, ensure_ascii=False) + "\n")
            stream.flush()
        except OSError:
            pass  # the client is gone; `go_on` stops the work

    line = stream.readline()
    if not line.endswith("\n"):
        return True  # the client is gone before it has said what it wants
    request = json.loads(line)
    try:
        if not worker.keeps_what_is_there(request):
            leave()
            send({"stale": True})
            return False
        worker.work(
            request,
            lambda text: send({"say": text}),
            lambda: _connected(connection),
        )
    except TsugikiError as error:
        send({"error": as_data(error)})
        # after a fault of the machine this process may be damaged (a CUDA context never heals)
        return not isinstance(error, InfrastructureError)
    except Exception:  # noqa: BLE001 - reported to the client, which fails
        traceback.print_exc()
        send(
            {
                "error": {
                    "type": "TsugikiError",
                    "what": "a resident process met an unexpected error",
                    "got": traceback.format_exc(),
                }
            }
        )
        return False
    send({"done": True})
    return True


def _connected(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def main() -> None:
    """Serve on the socket that a client has handed over: its path, and its number in this process."""
    listener = socket.socket(fileno=int(sys.argv[2]))
    listener.set_inheritable(False)  # a program that outlives this process must not keep it open
    serve(Path(sys.argv[1]), listener)


if __name__ == "__main__":
    main()
