"""Whether parents' layers can be stacked, told before anything large is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.parents.checkpoints import write_llama
from tests.runs_for_tests import raw_config
from tsugiki.config.load import parse_config
from tsugiki.parents.preflight import preflight

STACK = {"kind": "stack", "name": "stack", "random": 2}
DATAFLOW = {"kind": "dataflow"}


def faults(models: Path, baselines: list[Any], **stage: Any) -> list[str]:
    """What preflight finds in a run of these parents."""
    raw = raw_config(models, models, models / "results", baselines=baselines)
    raw["stages"][0] |= stage
    return [str(fault) for fault in preflight(parse_config(raw, where="test")).faults]


def write(folder: Path, **changes: Any) -> Path:
    """The three parents of a run."""
    for seed, name in enumerate(("base", "a", "b")):
        write_llama(folder / name, seed=seed, **changes)
    return folder


def test_a_llama_can_be_stacked(tmp_path: Path) -> None:
    """By a stage or a baseline; old buffers in its layers are no matter."""
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    models = write(tmp_path, extra=buffer)
    assert faults(models, [STACK]) == []
    assert faults(models, [], space=DATAFLOW) == []


def test_an_architecture_that_cannot_fold_is_a_fault_of_paths_only(tmp_path: Path) -> None:
    """The reason is told for a stage in data-flow space, and for a baseline; not without them."""
    models = write(tmp_path, model_type="olmo2")
    for found in (faults(models, [STACK]), faults(models, [], space=DATAFLOW)):
        assert any("olmo2" in fault and "without a norm" in fault for fault in found)
    assert not any("data-flow" in fault for fault in faults(models, []))


def test_a_tensor_of_unknown_part_is_a_fault(tmp_path: Path) -> None:
    """With its name."""
    models = write(tmp_path, extra={"model.layers.1.gate.weight": torch.ones(2)})
    assert any("model.layers.1.gate.weight" in fault for fault in faults(models, [STACK]))
    assert faults(models, []) == []
