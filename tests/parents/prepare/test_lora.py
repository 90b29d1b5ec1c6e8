"""Adapters merged into their base: the formulas, and peft as a peer."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tsugiki.models.facts import read_model
from tsugiki.models.sources import FolderFiles
from tsugiki.parents.prepare.adapter import find_changes, read_adapter
from tsugiki.parents.prepare.tensors import (
    adapted_weights,
    merged_bias,
    merged_weight,
    stored_weights,
)

from .adapters import PEFT

CASES = sorted(path.parent.name for path in PEFT.glob("*/merged.safetensors"))


def test_a_weight_gets_the_scaled_product() -> None:
    """W + s·B·A, by hand."""
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    a, b = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[2.0], [3.0]])
    expected = torch.tensor([[2.0, 2.0, 2.0], [5.5, 5.0, 4.5]])
    assert torch.equal(merged_weight(weight, a, b, 0.5), expected)
    transposed = merged_weight(weight.t().contiguous(), a, b, 0.5, transposed=True)
    assert torch.equal(transposed, expected.t())


def test_dora_scales_the_row_of_each_output_to_its_magnitude() -> None:
    """M · (W + B·A) / ‖W + B·A‖: rows (3, 4) and (0, 2) with magnitudes 10 and 1."""
    weight = torch.tensor([[3.0, 3.0], [0.0, 2.0]])
    a, b = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0], [0.0]])
    merged = merged_weight(weight, a, b, 1.0, magnitude=torch.tensor([10.0, 1.0]))
    assert torch.equal(merged, torch.tensor([[6.0, 8.0], [0.0, 1.0]]))


def test_a_weight_is_cast_once() -> None:
    """A bfloat16 weight of 256 plus 1 + 1 is 258; adding in bfloat16 would stay at 256."""
    weight = torch.full((1, 1), 256.0, dtype=torch.bfloat16)
    a, b = torch.full((2, 1), 1.0), torch.ones(1, 2)
    assert merged_weight(weight, a, b, 1.0).item() == 258.0
    bias = torch.full((1,), 256.0, dtype=torch.bfloat16)
    assert merged_bias(bias, torch.tensor([4.0]), 0.5).item() == 258.0


def test_large_weights_are_merged_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks change nothing, transposed or not."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 5, generator=generator)
    a, b = torch.randn(2, 5, generator=generator), torch.randn(7, 2, generator=generator)
    m = torch.rand(7, generator=generator)
    whole = merged_weight(weight, a, b, 0.3, magnitude=m)
    monkeypatch.setattr("tsugiki.parents.prepare.tensors.BLOCK", 10)
    torch.testing.assert_close(merged_weight(weight, a, b, 0.3, magnitude=m), whole)


@pytest.mark.parametrize("case", CASES)
def test_an_adapter_is_merged_as_peft_does(case: str) -> None:
    """All tensors are those of peft's merge_and_unload, recorded by make_peft_cases.py."""
    base_folder = PEFT / "bases" / (PEFT / case / "base.txt").read_text().strip()
    base, _ = read_model("base", FolderFiles(base_folder), trusted=False)
    adapter, faults = read_adapter("a", "base", FolderFiles(PEFT / case))
    assert adapter is not None
    assert faults == []
    changes, faults = find_changes(adapter, base)
    assert faults == []
    stored = stored_weights("base", base_folder)
    adapted = adapted_weights("a", PEFT / case, stored, changes, base.embeddings)
    expected = load_file(PEFT / case / "merged.safetensors")
    changed = 0
    for name in base.tensors:
        torch.testing.assert_close(adapted(name), expected[name], rtol=1e-5, atol=1e-6)
        changed += not torch.equal(adapted(name), stored(name))
    assert changed == len(changes.tensors)


def test_all_kinds_of_adapters_are_compared_with_peft() -> None:
    """The recorded cases are there."""
    assert len(CASES) == 15
