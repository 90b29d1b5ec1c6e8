"""Runs programs that a model wrote where they can do no harm: bubblewrap, with limits.

A program sees the interpreter and the system's libraries, read-only, and an empty folder of its own in
memory. It has no network, none of the user's files and variables, sees no process but itself, and can start
none. Processor time, memory and what it writes are limited. See `man bwrap`, `man 2 seccomp`.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tsugiki.errors import ConfigError, InfrastructureError

MIB = 1024**2
PATIENCE = 10
"""A program may take so many times its processor time by the clock: it may sleep, or the machine be busy."""
FILES_MIB = 64
"""What a program may write."""
KEPT = 10_000
"""Verdicts of this process that are kept: many candidates write the same program."""
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache")

FIX = (
    "install bubblewrap (Debian's package `bubblewrap`), and allow user namespaces "
    "(`sysctl kernel.unprivileged_userns_clone=1`), on each machine that evaluates"
)

LOAD, JUMP_IF_EQUAL, JUMP_IF_GREATER_OR_EQUAL, JUMP_IF_ANY_BIT, RETURN = (
    0x20,
    0x15,
    0x35,
    0x45,
    0x06,
)
"""Operations of a filter; what follows are places in `struct seccomp_data`, and answers."""
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050000 | 11, 0x00050000 | 38
"""Go on; end the process; EAGAIN, as a limit on processes gives; ENOSYS."""
OTHER_ABI = 0x40000000
"""From here on, numbers of system calls are those of x32."""
CLONE3 = 435
THREAD = 0x00010000
"""The flag of clone that makes a thread."""
PROCESSORS = {
    "x86_64": (0xC000003E, 56, (57, 58)),
    "aarch64": (0xC00000B7, 220, ()),
}
"""What the kernel calls the architecture, and its numbers of clone, and of fork and vfork."""

DRIVER = """
import json, os, resource, sys
work = json.loads(sys.stdin.readline())
tell = os.dup(1)
nothing = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(nothing, number)
for name, limit in work["limits"].items():
    resource.setrlimit(getattr(resource, name), (limit, limit))
def run(work=work, tell=tell, write=os.write, dump=json.dumps):
    space = {"__name__": "__main__"}
    try:
        exec(compile(work["program"], "program", "exec"), space)
        exec(compile(work["tests"], "tests", "exec"), space)
        said = {"passed": work["token"]}
    except BaseException as error:
        said = {"passed": None, "error": f"{type(error).__name__}: {error}"[:500]}
    write(tell, dump(said).encode())
run()
os._exit(0)
"""
"""Runs inside. That a program ends with status 0 says nothing: it may have left before its tests."""


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    seconds: float
    """Processor time."""
    memory: int
    """MiB."""


@lru_cache(maxsize=KEPT)
def run_tests(program: str, tests: str, limits: Limits) -> str | None:
    """Run a program, and its tests in the same namespace.

    Args:
        program: Python code.
        tests: Python code that raises where the program is wrong.
        limits: What both may use together.

    Returns:
        None if it passed; else what went wrong, in one line.

    Raises:
        InfrastructureError: the sandbox could not be made.
    """
    token = secrets.token_hex(16)
    work = {
        "program": program,
        "tests": tests,
        "token": token,
        "limits": {
            "RLIMIT_CPU": max(1, round(limits.seconds)),
            "RLIMIT_AS": limits.memory * MIB,
            "RLIMIT_FSIZE": FILES_MIB * MIB,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0,
        },
    }
    reading, writing = os.pipe()
    try:
        os.write(writing, _no_processes())
        os.close(writing)
        done = subprocess.run(
            [*_command(), "--seccomp", str(reading), *_interpreter(), "-c", DRIVER],
            input=json.dumps(work) + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limits.seconds * PATIENCE,
            check=False,
            pass_fds=[reading],
        )
    except FileNotFoundError as error:
        raise InfrastructureError(
            "there is no sandbox for the code that models write",
            where=f"`bwrap` on {platform.node()}",
            fix=FIX,
        ) from error
    except subprocess.TimeoutExpired:
        return f"it took more than {limits.seconds * PATIENCE:g} s by the clock"
    finally:
        os.close(reading)
    if "bwrap:" in done.stderr:
        raise InfrastructureError(
            "a sandbox could not be made", where=platform.node(), got=done.stderr.strip()[:500]
        )
    try:
        said = json.loads(done.stdout)
    except ValueError:
        return (
            f"it ended before its tests, took more than {limits.seconds:g} s, or more than "
            f"{limits.memory} MiB (status {done.returncode})"
        )
    if said.get("passed") == token:
        return None
    return str(said.get("error", "its tests were not reached"))


def require_sandbox() -> None:
    """Refuse a machine on which programs cannot be run safely.

    Raises:
        ConfigError: bubblewrap is not installed, or may not make a sandbox.
    """
    try:
        failed = run_tests("x = 1", "assert x == 1", Limits(30.0, 512))
    except InfrastructureError as error:
        failed = error.got or "it is not installed"
    if failed is not None:
        raise ConfigError(
            "the sandbox for the code that models write does not work",
            where=f"`bwrap` on {platform.node()}",
            got=failed,
            fix=FIX,
        )


def interpreter() -> str:
    """What runs the programs, as part of a score's identity."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def _command() -> list[str]:
    """bubblewrap, without what it runs."""
    seen: list[str] = []
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            seen += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            seen += ["--ro-bind", str(path), str(path)]
    return [
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        *("--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),
        *("--clearenv", "--setenv", "PYTHONHASHSEED", "0", "--setenv", "PATH", "/usr/bin:/bin"),
        *seen,
        *("--ro-bind", sys.base_prefix, sys.base_prefix),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(FILES_MIB * MIB), "--tmpfs", "/tmp", "--chdir", "/tmp"),  # noqa: S108 - the sandbox's own
    ]


def _interpreter() -> list[str]:
    """This Python without the environment's packages."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return [str(Path(sys.base_prefix) / "bin" / version), "-IS"]


def _no_processes() -> bytes:
    """A seccomp filter by which no process can be started; threads can.

    RLIMIT_NPROC would not hold where the evaluating user is root. A list of `struct sock_filter`, as
    `man 2 seccomp` has it: 16 bits of operation, 8 and 8 of where to go on, 32 of operand.

    Raises:
        InfrastructureError: the processor's kind is not known here.
    """
    known = PROCESSORS.get(platform.machine())
    if known is None:
        raise InfrastructureError(
            "there is no sandbox for this kind of processor",
            where=platform.node(),
            expected=" or ".join(PROCESSORS),
            got=platform.machine(),
        )
    audited, clone, starting = known
    refuse = [(JUMP_IF_EQUAL, 0, 1, number) for number in starting]
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, audited),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_GREATER_OR_EQUAL, 0, 1, OTHER_ABI),
        (RETURN, 0, 0, KILL),
        *(step for test in refuse for step in (test, (RETURN, 0, 0, REFUSE))),
        (JUMP_IF_EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, UNKNOWN),  # the C library then takes clone, whose flags can be looked at
        (JUMP_IF_EQUAL, 0, 3, clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_IF_ANY_BIT, 1, 0, THREAD),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
