"""A resident process: takes one request at a time on a socket, and ends when left idle."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsugiki.config.load import read_config
from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.lineage.layout import RunFiles

POLITE = 10
"""How far the tracker's process stands back from those that evaluate (see nice(2))."""
IDLE_SECONDS = float(os.environ.get("TSUGIKI_RESIDENT_IDLE", "45"))


class Worker:
    """What the process can do, and what it keeps between requests."""

    def __init__(self) -> None:
        self._evaluators: dict[int, Any] = {}

    def work(
        self, request: dict[str, Any], say: Callable[[str], None], go_on: Callable[[], bool]
    ) -> None:
        """Do one request."""
        files = RunFiles(Path(request["run"]))
        config = read_config(files.config)
        if request["command"] == "track":
            os.nice(max(0, POLITE - os.nice(0)))  # candidates come first
            from tsugiki.lineage.mlflow_projection import track_generation

            track_generation(files, request["series"], request["generation"], config)
            return
        from tsugiki.evaluate.vllm_backend.gpu import see_one_gpu

        job = request["job"]
        see_one_gpu(config.evaluation, job)
        from tsugiki.evaluate.batch import Evaluator

        if job not in self._evaluators:
            self._evaluators[job] = Evaluator(files, config, job=job)
        self._evaluators[job].evaluate(
            request["series"], request["generation"], say=say, go_on=go_on
        )


def serve(path: Path) -> None:
    """Listen on a socket until no request comes for a while."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(IDLE_SECONDS)
        worker = Worker()
        try:
            while (connection := _accept(listener, path)) is not None:
                with connection:
                    if not _answer(worker, connection):
                        return
        finally:
            path.unlink(missing_ok=True)


def _accept(listener: socket.socket, path: Path) -> socket.socket | None:
    """The next client; None when none has come for a while."""
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
            path.unlink(missing_ok=True)
            return None
        finally:
            listener.settimeout(IDLE_SECONDS)


def _answer(worker: Worker, connection: socket.socket) -> bool:
    """Do the work of one connection; say whether the process may go on."""
    connection.settimeout(None)
    stream = connection.makefile("rw", encoding="utf-8")

    def send(message: dict[str, Any]) -> None:
        try:
            stream.write(json.dumps(message, ensure_ascii=False) + "\n")
            stream.flush()
        except OSError:
            pass  # the client is gone; `go_on` stops the work

    line = stream.readline()
    if not line:
        return True
    try:
        worker.work(
            json.loads(line),
            lambda text: send({"say": text}),
            lambda: _connected(connection),
        )
    except TsugikiError as error:
        send({"error": _as_data(error)})
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


def _as_data(error: TsugikiError) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "got": error.got,
        "fix": error.fix,
    }


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
