"""How a job and a resident process talk: lines of JSON on a socket.

A job sends one request. The process answers with `say` (a line of progress) as often as it likes, and
at last with `done`, `error`, or `stale`: it holds files in memory that have changed since, has done
nothing, and ends.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from tsugiki.errors import InfrastructureError, TsugikiError


def connect(path: str) -> socket.socket | None:
    """A connection to the process that listens; None if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def ask(
    connection: socket.socket, request: dict[str, Any], say: Callable[[str], None], *, log: str
) -> bool:
    """Have a process do a request, and wait for it.

    Args:
        connection: To the process.
        request: JSON data for `tsugiki.resident.server`.
        say: Takes each line of progress.
        log: Where the process writes what it prints, for messages.

    Returns:
        Whether it was done; False if the process ended before it began.

    Raises:
        InfrastructureError: the process died in the middle.
        TsugikiError: what the work itself raised.
    """
    begun = False
    for message in _messages(connection, request):
        if "say" in message:
            begun = True
            say(message["say"])
        elif "error" in message:
            raise _error(message["error"])
        elif "stale" in message:
            return False
        elif "done" in message:
            return True
    if begun:
        raise InfrastructureError(
            "the resident process ended before its work was done",
            where=str(request["command"]),
            fix=f"see {log}; the job is tried again",
        )
    return False


def _messages(connection: socket.socket, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the process answers, for as long as it lives."""
    with (
        suppress(OSError, json.JSONDecodeError),  # it was killed, perhaps in the middle of a line
        connection.makefile("rw", encoding="utf-8") as stream,
    ):
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        for line in stream:
            yield json.loads(line)


def as_data(error: TsugikiError) -> dict[str, Any]:
    """An error, as it is sent."""
    return {
        "type": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "got": error.got,
        "fix": error.fix,
    }


def _error(message: dict[str, Any]) -> TsugikiError:
    from tsugiki import errors

    kind = getattr(errors, message.pop("type"), TsugikiError)
    error: TsugikiError = kind(message.pop("what"), **message)
    return error
