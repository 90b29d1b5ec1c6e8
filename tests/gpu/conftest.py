"""Tests that need a GPU; without one they are skipped, and say so."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU here that torch can use")
