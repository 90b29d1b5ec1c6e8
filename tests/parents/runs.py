"""Run configurations for tests of parents."""

from __future__ import annotations

from typing import Any

from tsugiki.config.run import RunConfig


def run_of(
    parents: dict[str, dict[str, Any]],
    *,
    merged: list[str] | None = None,
    base: str | None = None,
    method: str = "linear",
    **space: Any,
) -> RunConfig:
    """A run with one stage that merges `merged` (all parents but the base, if absent)."""
    names = [name for name in parents if name != base] if merged is None else merged
    stage = {
        "name": "ps",
        "parents": names,
        "base": base,
        "space": {"method": method, "genes": {"weight": {"range": [0.0, 1.0]}}, **space},
        "budget": {"generations": 1},
    }
    objective = {"name": "accuracy", "task": "demo", "metric": "acc,none"}
    return RunConfig.model_validate(
        {
            "name": "test",
            "parents": parents,
            "stages": [stage],
            "rivals": [],
            "evaluation": {"objectives": [objective]},
        }
    )
