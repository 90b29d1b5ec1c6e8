"""Where a resident process listens.

This and what it imports is all that a job loads before it hands its work over, and therefore needs
nothing but small modules of the standard library.
"""

from __future__ import annotations

import hashlib
import os
import sys

from tsugiki.errors import InfrastructureError

LONGEST_SOCKET_PATH = 100
"""Unix limits the path of a socket to about 107 bytes."""
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120


def socket_path(role: str, config: str) -> str:
    """The socket of a role in the run whose `config.lock.yaml` is `config`.

    The same run, in another folder or by another installation of the package, has another socket.
    Whether the process behind it still holds what is on disk is for that process to know.

    Raises:
        InfrastructureError: another user has made the folder for sockets.
    """
    where = [role, os.path.abspath(config), os.getcwd(), PACKAGE, sys.executable]  # noqa: PTH100, PTH109
    name = hashlib.sha256("\0".join(where).encode()).hexdigest()[:20]
    folder = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"tsugiki-{os.getuid()}")  # noqa: PTH118, S108
    if len(folder) + len(name) > LONGEST_SOCKET_PATH:
        folder = f"/tmp/tsugiki-{os.getuid()}"  # noqa: S108 - made with mode 0700 below
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
    if os.stat(folder).st_uid != os.getuid():  # noqa: PTH116
        raise InfrastructureError(
            "the folder for the sockets of resident processes belongs to another user",
            where=folder,
            fix="set TMPDIR to a folder of your own, or `resident: false`",
        )
    return f"{folder}/{name}"
