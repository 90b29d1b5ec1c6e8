"""A Hub of our own for every test, and runs that merge two parents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from .hub_stand_in import Hub, running_hub


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Results without an absolute path are the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A stand-in of the Hub, with the real client pointed at it and an empty cache."""
    with running_hub() as running:
        point_client(monkeypatch, running.url, tmp_path / "hub-cache")
        yield running


def point_client(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Do in this process what HF_ENDPOINT and HF_HUB_CACHE do at the client's import."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
