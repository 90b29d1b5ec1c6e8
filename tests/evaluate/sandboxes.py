"""Whether this machine has the sandbox that some tests need."""

from __future__ import annotations

import os

import pytest

from tsugiki.errors import ConfigError
from tsugiki.evaluate.sandbox import require_sandbox


def _missing() -> bool:
    try:
        require_sandbox()
    except ConfigError:
        return True
    return False


needs_sandbox = pytest.mark.skipif(
    "CI" not in os.environ and _missing(), reason="bubblewrap is not installed, or may not be used"
)
"""Skips a test where there is no sandbox, but for continuous integration, where there has to be one."""
