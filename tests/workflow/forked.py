"""Commands in forks of one process that has imported what they need, as most of a small run's time is imports.

A run in a test starts some forty processes that each do a few milliseconds' work. Here the workflow, the
commands of its jobs and its workers are forks; what they are told, do, print and return is as ever. Runs
that a test interrupts, and those on a cluster, are made of processes of their own, as users' are; their
bytes are compared with those of forks, which all have the same seed of Python's hashes.

`python forked.py ADDRESS COMMAND...` has a command done and ends as it does: jobs call that by a function
of their shell's. So this file imports nothing large at its head.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence

TELL = 'tsugiki() {{ "{python}" -I -S "{file}" {address} tsugiki "$@"; }}\n'
"""For the shells of jobs, which read the file that BASH_ENV names."""


def ask(
    address: str,
    arguments: Sequence[str],
    files: Sequence[int],
    folder: str,
    environment: dict[str, str],
) -> socket.socket:
    """Have a command begun; returns a connection, on which its status will come.

    Args:
        address: Name of the abstract socket.
        arguments: The command line; `worker` begins that of a worker.
        files: Its standard input, output and error, and what it gets besides.
        folder: Its working folder.
        environment: All its variables.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(f"\0{address}")
    socket.send_fds(connection, [b"+"], files)
    request = {"arguments": [*arguments], "folder": folder, "environment": environment}
    connection.sendall(json.dumps(request).encode() + b"\n")
    return connection


def status(connection: socket.socket) -> int:
    """Wait for a command; returns its status."""
    with connection, connection.makefile() as stream:
        return int(stream.readline() or 1)


if __name__ == "__main__":
    command = ask(sys.argv[1], sys.argv[2:], (0, 1, 2), os.getcwd(), dict(os.environ))  # noqa: PTH109
    sys.exit(status(command))
