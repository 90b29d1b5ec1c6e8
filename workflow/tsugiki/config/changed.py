"""The keys in which two configurations of a run differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tsugiki.config.run import RunConfig

SPREADS_WORK = frozenset(f"evaluation.{key}" for key in ("jobs", "threads", "storage", "resident"))
"""Keys that say how work is done. Other threads on a processor are found by the scores' identity."""


def changed_keys(before: RunConfig, after: RunConfig) -> dict[str, tuple[str, str]]:
    """Both values, as JSON, of each key that results may depend on and that differs.

    A key is written as in `stages[ps].budget.generations`, with entries of lists by their names.
    """
    old, new = (_flat("", one.model_dump(mode="json")) for one in (before, after))
    return {
        key: (old.get(key, "absent"), new.get(key, "absent"))
        for key in {**old, **new}
        if old.get(key) != new.get(key) and key not in SPREADS_WORK
    }


def _flat(key: str, value: Any) -> dict[str, str]:
    """Every value by its key; entries of a list that have names, by these."""
    if isinstance(value, Mapping):
        inner = {f"{key}.{name}" if key else name: one for name, one in value.items()}
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        inner = {f"{key}[{one.get('name', place)}]": one for place, one in enumerate(value)}
    else:
        return {key: json.dumps(value, ensure_ascii=False)}
    return {name: text for place, one in inner.items() for name, text in _flat(place, one).items()}
