"""Where a resident process listens: a socket named after everything that it keeps in memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tsugiki.canonical import digest, digest_file
from tsugiki.errors import InfrastructureError

LONGEST_SOCKET_PATH = 100
"""Unix limits the path of a socket to about 107 bytes."""


def socket_path(role: str, keeps: list[Path]) -> Path:
    """The socket of a role.

    Args:
        role: What it does, job number included.
        keeps: Files whose content it keeps in memory; another content means another process.

    Raises:
        InfrastructureError: another user has made the folder for sockets.
    """
    name = digest(
        [role, str(Path.cwd()), code_stamp(), *[_content(path) for path in sorted(keeps)]]
    )[:20]
    folder = Path(tempfile.gettempdir()) / f"tsugiki-{os.getuid()}"
    if len(str(folder)) + len(name) > LONGEST_SOCKET_PATH:
        folder = Path(f"/tmp/tsugiki-{os.getuid()}")  # noqa: S108 - made with mode 0700 below
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InfrastructureError(
            "the folder for the sockets of resident processes belongs to another user",
            where=str(folder),
            fix="set TMPDIR to a folder of your own, or `resident: false`",
        )
    return folder / name


def code_stamp() -> int:
    """Newest modification of the package, in nanoseconds: edited code starts a new process."""
    package = Path(__file__).parent.parent
    return max(path.stat().st_mtime_ns for path in package.rglob("*.py"))


def _content(path: Path) -> str:
    return digest_file(path) if path.is_file() else ""
