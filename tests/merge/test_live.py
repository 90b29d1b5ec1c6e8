"""Putting stored tensors in their places in a live model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    MixtralConfig,
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)
from transformers.core_model_loading import MergeModulelist

from tests.merge.models_for_tests import digests_of, recipe_of, save_tokenizer
from tests.merge.vision_models import TEXT
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import SINGLE

Folders = dict[str, Path]
EXPERTS = 3
CONFIGS: dict[str, Any] = {
    "mixtral": MixtralConfig(**TEXT, num_local_experts=EXPERTS),
    "qwen2_moe": Qwen2MoeConfig(
        **TEXT, num_experts=EXPERTS, num_experts_per_tok=2, moe_intermediate_size=8
    ),
    "qwen3_moe": Qwen3MoeConfig(
        **TEXT, num_experts=EXPERTS, num_experts_per_tok=2, moe_intermediate_size=8, head_dim=8
    ),
}


@pytest.fixture(params=list(CONFIGS))
def experts(request: pytest.FixtureRequest, tmp_path: Path) -> Folders:
    """A base and two models, random mixtures of experts."""
    folders = {}
    for seed, name in enumerate(("base", "a", "b")):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(CONFIGS[request.param]).save_pretrained(tmp_path / name)
        save_tokenizer(tmp_path / name)
        folders[name] = tmp_path / name
    return folders


def live_and_written(folders: Folders, out: Path) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A merge in memory, over another one's weights, and the same on disk, loaded."""
    recipe = recipe_of("ties", values={"density": 0.5, "weight": (0.4, 0.9)})
    merger = InPlaceMerger(folders, digests_of(folders))
    live = AutoModelForCausalLM.from_pretrained(folders["base"], dtype=torch.float32)
    places = {name: values.data_ptr() for name, values in live.state_dict().items()}
    merger.load_into(recipe_of("linear", base=None), live)
    digest = merger.load_into(recipe, live, threads=3)
    assert digest == write_merge(recipe, folders, digests_of(folders), out)
    assert places == {name: values.data_ptr() for name, values in live.state_dict().items()}
    return live, AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)


def same_logits(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models say the same, to the bit."""
    tokens = torch.arange(12).view(2, 6)
    return torch.equal(one.eval()(tokens).logits, other.eval()(tokens).logits)


def test_fused_experts_are_merged_in_place(experts: Folders, tmp_path: Path) -> None:
    """Alive as on disk: weights and logits; and the files have the parents' names."""
    live, written = live_and_written(experts, tmp_path / "out")
    assert written.state_dict().keys() == live.state_dict().keys()
    for name, values in written.state_dict().items():
        assert torch.equal(values, live.state_dict()[name]), name
    assert same_logits(live, written)
    names = load_file(tmp_path / "out" / SINGLE).keys()
    assert names == load_file(experts["a"] / SINGLE).keys()
    assert sum(".experts." in name for name in names) == 3 * EXPERTS * 2


def test_what_is_no_view_is_loaded_as_transformers_loads_it(
    experts: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way back that copies leads nowhere: the candidate is loaded as a whole, and is the same."""
    back = MergeModulelist.reverse_op

    def copying(self: MergeModulelist) -> Any:
        operation = back.fget(self)  # type: ignore[attr-defined]
        convert = operation.convert

        def copied(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
            return {name: values.clone() for name, values in convert(*args, **kwargs).items()}

        operation.convert = copied
        return operation

    monkeypatch.setattr(MergeModulelist, "reverse_op", property(copying))
    live, written = live_and_written(experts, tmp_path / "out")
    assert same_logits(live, written)
