"""Numbers that are none are refused wherever a configuration has a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs_for_tests import raw_config
from tsugiki.config.load import read_config
from tsugiki.errors import ConfigError

Raw = dict[str, Any]
BASELINE = {"name": "x", "method": "ties", "parameters": {"weight": 1.0}}

PLACES: dict[str, Callable[[Raw, float], object]] = {
    "objective": lambda raw, x: raw["evaluation"]["objectives"][0].update(weight=x),
    "range": lambda raw, x: gene(raw).update(range=[0.0, x]),
    "start": lambda raw, x: gene(raw).update(start=x),
    "option": lambda raw, x: raw["stages"][0]["space"].update(options={"lambda": x}),
    "sigma": lambda raw, x: raw["stages"][0]["strategy"].update(sigma=x),
    "parameter": lambda raw, x: raw.update(baselines=[BASELINE | {"parameters": {"weight": x}}]),
    "grid": lambda raw, x: raw.update(baselines=[BASELINE | {"parameters": {"weight": [x]}}]),
    "baseline's option": lambda raw, x: raw.update(
        baselines=[BASELINE | {"options": {"lambda": x}}]
    ),
    "stack": lambda raw, x: raw.update(
        baselines=[{"kind": "stack", "name": "x", "random": 2, "longest": x}]
    ),
    "crossover": lambda raw, x: raw["stages"][0].update(
        strategy={"kind": "genetic", "eta_crossover": x}
    ),
    "memory": lambda raw, x: raw["evaluation"].update(vllm={"memory": x}),
}


def gene(raw: Raw) -> Raw:
    """A gene."""
    found: Raw = raw["stages"][0]["space"]["genes"]["weight"]
    return found


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("place", PLACES)
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, place: str, number: str) -> None:
    """As YAML spells it."""
    raw = raw_config(Path("models"), Path("tasks"), Path("results"))
    PLACES[place](raw, yaml.safe_load(number))
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=r"finite number|greater than|less than"):
        read_config(path)
