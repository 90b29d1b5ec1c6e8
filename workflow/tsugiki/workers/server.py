"""A worker: takes one request at a time on a socket, and ends when left idle."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tsugiki.config.load import read_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError, InfrastructureError, TsugikiError
from tsugiki.quick_imports import quick_imports
from tsugiki.steps.plan import Plan
from tsugiki.workers.dispatch import Request, busy_path

POLITE = 10
"""How far the tracker's process stands back from those that evaluate (see nice(2))."""
IDLE_SECONDS = float(os.environ.get("TSUGIKI_RESIDENT_IDLE", "45"))

PACKAGE = Path(__file__).parent.parent

Stamp = tuple[int, int, int]
"""Time in nanoseconds, size and inode of a file, which tell whether it has changed."""


def stamps(files: RunFiles, config: RunConfig) -> dict[Path, Stamp | None]:
    """The stamps of a run's configuration, parents, items and local tasks."""
    tasks = map(Path, Plan(files, config).task_files())
    return {one: stamp_of(one) for one in (files.config, files.parents, files.items, *tasks)}


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def code_stamp() -> int:
    """Newest modification of the package, in nanoseconds."""
    return max(path.stat().st_mtime_ns for path in PACKAGE.rglob("*.py"))


class HeldRun:
    """A run, as a worker holds it between requests.

    Raises:
        ConfigError: the run's configuration cannot be read.
    """

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        before = stamp_of(files.config)
        self._config = read_config(files.config)
        self._held = {**stamps(files, self._config), files.config: before}
        self._evaluator: Any = None

    def is_current(self) -> bool:
        """Whether the files that are held are the same still."""
        return stamps(self._files, self._config) == self._held

    def do(
        self, request: Request, log: Callable[[str], None], should_continue: Callable[[], bool]
    ) -> None:
        """Do one request; the work is left as it is when it should not continue."""
        files, config = self._files, self._config
        phase, generation = request.phase, request.generation
        match request.command:
            case "rank":
                from tsugiki.steps.evolution import write_ranked

                write_ranked(files, config, phase, generation, log=log)
            case "select":
                from tsugiki.steps.evolution import write_next

                stage = config.stage(phase)
                if stage is None:
                    raise ConfigError(f"there is no stage {phase!r}", where=str(files.config))
                write_next(files, config, stage, generation)
            case "track":
                os.nice(max(0, POLITE - os.nice(0)))  # candidates come first
                from tsugiki.tracking.projection import track_generation

                track_generation(files, phase, generation, config, log=log)
            case "evaluate":
                if self._evaluator is None:
                    self._evaluator = self._open_evaluator(request.slot)
                self._evaluator.evaluate(
                    phase,
                    generation,
                    job=request.job,
                    rung=request.rung,
                    log=log,
                    should_continue=should_continue,
                )

    def _open_evaluator(self, slot: int) -> Any:
        from tsugiki.evaluate.vllm_backend.engine import see_one_gpu

        see_one_gpu(self._config.evaluation, slot)
        with quick_imports():
            from tsugiki.evaluate.batch import ShardEvaluator

        return ShardEvaluator(self._files, self._config, job=slot)


class Worker:
    """Answers requests, all of them about the same run."""

    def __init__(self) -> None:
        self._code = code_stamp()
        self._run: HeldRun | None = None
        self.usable = True
        """Whether another request may be made of this process."""

    def answer(
        self, request: Request, log: Callable[[str], None], should_continue: Callable[[], bool]
    ) -> dict[str, Any]:
        """Do one request; returns the last line for the client."""
        try:
            if self._run is None:
                self._run = HeldRun(RunFiles(Path(request.config).parent))
            if code_stamp() != self._code or not self._run.is_current():
                self.usable = False
                return {"stale": True}
            self._run.do(request, log, should_continue)
        except TsugikiError as error:
            # after a fault of the machine this process may be damaged (a CUDA context never heals)
            self.usable = not isinstance(error, InfrastructureError)
            return {"error": {"type": type(error).__name__, **vars(error)}}
        except Exception:  # noqa: BLE001 - reported to the client, which fails
            self.usable = False
            traceback.print_exc()
            fault = TsugikiError("a worker met an unexpected error", got=traceback.format_exc())
            return {"error": {"type": "TsugikiError", **vars(fault)}}
        return {"done": True}


def serve(path: Path, listener: socket.socket) -> None:
    """Answer who connects to a socket, until nobody has for a while.

    Who connects at the last moment and is not answered asks again, and finds no socket.

    Args:
        path: Where clients find the socket; removed at the end.
        listener: It listens already.
    """
    worker = Worker()
    busy = Path(busy_path(str(path)))
    busy.unlink(missing_ok=True)
    with suppress(TimeoutError), ExitStack() as listening:
        listening.enter_context(listener)
        listening.callback(path.unlink, missing_ok=True)
        while worker.usable:
            listener.settimeout(IDLE_SECONDS)
            with listener.accept()[0] as connection:
                _converse(worker, connection, busy, listening.close)


def _converse(
    worker: Worker, connection: socket.socket, busy: Path, leave: Callable[[], None]
) -> None:
    """Read a request, do it, and send what comes of it; a file says so meanwhile."""

    def send(message: dict[str, Any]) -> None:
        with suppress(OSError):  # the client is gone: `should_continue` stops the work
            connection.sendall(json.dumps(message).encode() + b"\n")

    with connection.makefile(encoding="utf-8") as stream:
        line = stream.readline()
    if not line.endswith("\n"):
        return  # the client is gone before it has said what it wants
    gone = select.poll()  # a client says nothing after its request
    gone.register(connection, select.POLLIN)
    busy.touch()
    last = worker.answer(
        Request(**json.loads(line)), lambda text: send({"log": text}), lambda: not gone.poll(0)
    )
    busy.unlink(missing_ok=True)
    if not worker.usable:
        leave()  # before the client is told, and starts another worker
    send(last)


def main() -> None:
    """Serve on the socket that a client has handed over: its path, and its number in this process."""
    listener = socket.socket(fileno=int(sys.argv[2]))
    listener.set_inheritable(False)  # a program that outlives this process must not keep it open
    serve(Path(sys.argv[1]), listener)


if __name__ == "__main__":
    main()
