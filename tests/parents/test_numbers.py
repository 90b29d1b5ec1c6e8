"""What stands for weights without being floating-point numbers is told from headers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.parents.checkpoints import write_llama
from tsugiki.parents.preflight import preflight

from .runs import run_of

LAYER = "model.layers.0"
FLOAT8 = torch.ones(16, 16).to(torch.float8_e4m3fn)
PACKED: dict[str, dict[str, torch.Tensor]] = {
    "mxfp4": {
        f"{LAYER}.mlp.experts.down_proj_blocks": torch.zeros(4, 16, 1, 16, dtype=torch.uint8),
        f"{LAYER}.mlp.experts.down_proj_scales": torch.zeros(4, 16, 1, dtype=torch.uint8),
    },
    "gptq": {f"{LAYER}.mlp.down_proj.qweight": torch.zeros(4, 16, dtype=torch.int32)},
    "hqq": {f"{LAYER}.mlp.down_proj.W_q": torch.zeros(16, 16, dtype=torch.uint8)},
    "flat": {f"{LAYER}.mlp.experts.codes": torch.zeros(512, dtype=torch.uint8)},
    "column": {f"{LAYER}.mlp.experts.codes": torch.zeros(512, 1, dtype=torch.int8)},
    "signs": {f"{LAYER}.mlp.experts.signs": torch.zeros(32, 16, dtype=torch.bool)},
    "float8": {f"{LAYER}.mlp.experts.down": FLOAT8},
    "scales in float8": {f"{LAYER}.mlp.experts.block_sizes": torch.ones(3).to(torch.float8_e5m2)},
}
BUFFERS: dict[str, torch.Tensor] = {
    "model.embeddings.position_ids": torch.arange(512)[None],
    "model.embeddings.token_type_ids": torch.zeros(1, 512, dtype=torch.int64),
    "model.position_ids": torch.arange(60, dtype=torch.int32)[None],
    "model.norm.num_batches_tracked": torch.tensor(7),
    f"{LAYER}.attn.bias": torch.ones(1, 1, 128, 128, dtype=torch.uint8).tril(),
    f"{LAYER}.attention.bias": torch.ones(1, 1, 128, 128, dtype=torch.bool).tril(),
    f"{LAYER}.attn.causal_mask": torch.ones(128, 128, dtype=torch.bool).tril(),
    f"{LAYER}.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.int64),
    f"{LAYER}.mlp.gate.experts_of_tokens": torch.zeros(64, 2, dtype=torch.int64),
}


@pytest.mark.parametrize("extra", PACKED.values(), ids=PACKED.keys())
def test_packed_weights_are_refused(tmp_path: Path, extra: dict[str, torch.Tensor]) -> None:
    """Each tensor is named, with no word of it in the configuration."""
    write_llama(tmp_path / "a", extra=extra)
    [fault] = preflight(run_of({"a": {"path": str(tmp_path / "a")}})).faults
    assert "`a` is quantised" in fault.what
    for name in extra:
        assert name in str(fault)


@pytest.mark.parametrize("name", BUFFERS)
def test_whole_numbers_that_are_no_weights_are_taken(tmp_path: Path, name: str) -> None:
    """Positions, counters, masks and tables."""
    write_llama(tmp_path / "a", extra={name: BUFFERS[name]})
    assert preflight(run_of({"a": {"path": str(tmp_path / "a")}})).faults == []
