"""Hand a job's work to the resident process that waits for it, before anything else is imported.

A job's own process would import for half a second what the resident has in memory. Where no process
waits, the command goes its usual way, and starts one.
"""

from __future__ import annotations

import os
from typing import Any

from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.resident.address import socket_path
from tsugiki.resident.conversation import ask, connect
from tsugiki.resident.requests import ANNOUNCED, HERE_TOO, OPTIONS, RUNG, request_for, role_of
from tsugiki.resident.switch import residents_allowed
from tsugiki.terminal import Terminal


def hand_over(arguments: list[str]) -> int | None:
    """Have a resident process do a command.

    Args:
        arguments: The command line, without the program's name.

    Returns:
        The exit status; None if this process has to do it: the command is another one or not written
        as the rules write it, no process waits, or the one that did could not do it.
    """
    found = _read(arguments)
    if found is None or not residents_allowed():
        return None
    log, config, request = found
    command = request["command"]
    try:
        path = socket_path(role_of(command, request["job"]), config)
    except (InfrastructureError, OSError):
        return None  # the same is raised, and shown, where a process would be started
    connection = connect(path)
    if connection is None:
        return None
    with connection, Terminal(log) as terminal:
        say = terminal.announce if command in ANNOUNCED else print
        try:
            return 0 if ask(connection, request, say, log=log) else None
        except TsugikiError as error:
            if command in HERE_TOO:
                return None  # and is raised, and shown, here
            terminal.complain(f"tsugiki: {error}")
            return 75 if isinstance(error, InfrastructureError) else 1


def _read(arguments: list[str]) -> tuple[str, str, dict[str, Any]] | None:
    """Log, configuration and request of a command line; None if it is not one of the rules'."""
    if len(arguments) < 4 or arguments[0] != "--log" or arguments[2] not in OPTIONS:
        return None
    log, command, config, options = arguments[1], arguments[2], arguments[3], arguments[4:]
    rung = None
    if command == "evaluate" and options[-2:-1] == [RUNG]:
        *options, _, rung = options
    if tuple(options[::2]) != OPTIONS[command]:
        return None
    series, generation, job = [*options[1::2], "0"][:3]
    if not all(number.isdecimal() for number in (generation, job, rung or "0")):
        return None
    run = os.path.dirname(config)  # noqa: PTH120 - pathlib takes longer to import than this to run
    return (
        log,
        config,
        request_for(
            command, run, series, int(generation), int(job), None if rung is None else int(rung)
        ),
    )
