"""Residents are for one machine."""

from __future__ import annotations

import pytest

from tsugiki.resident.switch import SWITCH, forbid_residents, residents_allowed


def test_residents_are_allowed_until_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment carries it to jobs on other nodes."""
    monkeypatch.delenv(SWITCH, raising=False)
    assert residents_allowed()
    monkeypatch.setenv(SWITCH, "yes")
    assert residents_allowed()
    forbid_residents(unless=True)
    assert residents_allowed()
    forbid_residents(unless=False)
    assert not residents_allowed()
