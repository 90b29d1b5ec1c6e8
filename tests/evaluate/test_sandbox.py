"""Programs in the sandbox: what passes, what fails, and what they cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluate.sandboxes import needs_sandbox
from tsugiki.errors import ConfigError
from tsugiki.evaluate.sandbox import Limits, require_sandbox, run_tests

LIMITS = Limits(seconds=2.0, memory=256)

pytestmark = needs_sandbox


def test_a_right_program_passes_and_a_wrong_one_does_not() -> None:
    """Tests see what the program defines."""
    tests = "assert double(4) == 8"
    assert run_tests("def double(x):\n    return 2 * x", tests, LIMITS) is None
    wrong = run_tests("def double(x):\n    return x", tests, LIMITS)
    assert wrong is not None
    assert "AssertionError" in wrong


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "import os; os.execv('/bin/true', ['true'])",
        "def (:",
    ],
)
def test_a_program_that_ends_before_its_tests_has_not_passed(program: str) -> None:
    """Even with status 0."""
    assert run_tests(program, "assert True", LIMITS) is not None


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 1), 1)",
        "import socket; socket.getaddrinfo('localhost', 80); raise OSError",
        "open('/etc/passwd')",
        f"open({str(Path(__file__))!r})",
        "open('/usr/new', 'w')",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import os; os.environ['HOME']",
        "import os; os.kill(1, 9); raise OSError",
    ],
)
def test_a_program_reaches_nothing_of_the_users(program: str) -> None:
    """No network, no files, no variables, no other process."""
    assert run_tests(program, "", LIMITS) is not None


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "x = 'x' * 10**9",
        "open('/tmp/a', 'w').write('x' * (100 << 20))",
        "for n in range(20): open(f'/tmp/{n}', 'w').write('x' * (10 << 20))",
    ],
)
def test_limits_hold(program: str) -> None:
    """On time, memory and files."""
    assert run_tests(program, "", LIMITS) is not None


def test_threads_and_files_of_its_own_are_a_programs_right() -> None:
    """They are what some problems ask for."""
    program = (
        "import threading\nfound = []\nt = threading.Thread(target=found.append, args=(1,))\n"
        "t.start(); t.join()\nopen('/tmp/note', 'w').write('a')\nprint('x' * 10**6)\n"
    )
    assert (
        run_tests(program, "assert found == [1] and open('/tmp/note').read() == 'a'", LIMITS)
        is None
    )


def test_without_bubblewrap_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package to install: code is never run outside the sandbox."""
    monkeypatch.setenv("PATH", "/nowhere")
    run_tests.cache_clear()
    with pytest.raises(ConfigError, match="sandbox") as caught:
        require_sandbox()
    assert "bubblewrap" in str(caught.value)
    run_tests.cache_clear()
