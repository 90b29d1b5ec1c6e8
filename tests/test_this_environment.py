"""The environment that this Python belongs to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tsugiki.this_environment import use_this_environment


def test_rules_find_the_command_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands first on the path; once is enough."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    use_this_environment()
    use_this_environment()
    here = str(Path(sys.executable).parent)
    assert os.environ["PATH"] == f"{here}:/usr/bin:/bin"
