"""The declared set of output tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.merge.models_for_tests import save_model
from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.kinds.text import SINGLE
from tsugiki.models.plan import TensorPlan, make_plan


def plan_of(*folders: Path) -> TensorPlan:
    """Plan a merge of models in these folders."""
    return make_plan([Checkpoint(f"m{index}", folder) for index, folder in enumerate(folders)])


def names_of(*folders: Path) -> set[str]:
    """Names of the tensors that a merge of these models has."""
    return {tensor.name for tensor in plan_of(*folders).tensors}


def changed(folder: Path, copy: Path, **tensors: torch.Tensor) -> Path:
    """A copy of a model with tensors added or replaced; `__` stands for a dot."""
    shutil.copytree(folder, copy)
    content = load_file(copy / SINGLE)
    content.update({name.replace("__", "."): values for name, values in tensors.items()})
    save_file(content, copy / SINGLE)
    return copy


def test_every_tensor_is_planned(trio: dict[str, Path]) -> None:
    """No tensor is lost, none is added."""
    assert names_of(*trio.values()) == load_file(trio["a"] / SINGLE).keys()


def test_biases_are_planned(tmp_path: Path) -> None:
    """A llama with biases has more tensors than the architecture's usual ones."""
    folder = save_model(tmp_path / "m", attention_bias=True, mlp_bias=True)
    assert len(plan_of(folder, folder).tensors) == 21 + 2 * 7


def test_a_tied_head_is_not_planned(tied: dict[str, Path], tmp_path: Path) -> None:
    """Neither if it is left out of the file, nor if it is stored again with equal values."""
    values = load_file(tied["a"] / SINGLE)["model.embed_tokens.weight"]
    twice = changed(tied["a"], tmp_path / "twice", lm_head__weight=values.clone())
    assert "lm_head.weight" not in names_of(tied["base"], tied["a"])
    assert names_of(tied["base"], twice) == names_of(tied["base"], tied["a"])


def test_a_tied_head_with_other_values_is_refused(tied: dict[str, Path], tmp_path: Path) -> None:
    """A loader would silently keep one of the two."""
    values = load_file(tied["a"] / SINGLE)["model.embed_tokens.weight"]
    folder = changed(tied["a"], tmp_path / "twice", lm_head__weight=values + 1)
    with pytest.raises(ParentError, match="ties its output head"):
        plan_of(tied["base"], folder)


def test_a_tie_that_is_the_architectures_default_counts(
    tied: dict[str, Path], tmp_path: Path
) -> None:
    """config.json leaves out what has its default; GPT-2's head is tied by default."""
    values = load_file(tied["a"] / SINGLE)["model.embed_tokens.weight"]
    folder = changed(tied["a"], tmp_path / "twice", lm_head__weight=values + 1)
    config = json.loads((folder / "config.json").read_text())
    del config["tie_word_embeddings"]
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gemma"}))
    with pytest.raises(ParentError, match="ties its output head"):
        plan_of(folder)


def test_tied_and_untied_models_do_not_mix(trio: dict[str, Path], tied: dict[str, Path]) -> None:
    """The head of one has no counterpart in the other."""
    with pytest.raises(ParentError, match="differ in tie_word_embeddings"):
        plan_of(tied["base"], trio["a"])


@pytest.mark.parametrize(
    "changes", [{"intermediate_size": 32}, {"num_hidden_layers": 4}, {"num_key_value_heads": 2}]
)
def test_settings_that_decide_what_weights_mean_have_to_agree(
    trio: dict[str, Path], tmp_path: Path, changes: dict[str, int]
) -> None:
    """The setting is named, with both values."""
    [(key, value)] = changes.items()
    mine = json.loads((trio["base"] / "config.json").read_text())[key]
    with pytest.raises(ParentError, match=f"differ in {key}(.|\n)*{mine}(.|\n)*{value}"):
        plan_of(trio["base"], save_model(tmp_path / "m", **changes))


def test_a_default_that_is_left_out_is_no_difference(trio: dict[str, Path], tmp_path: Path) -> None:
    """One configuration states it, the other one does not."""
    folder = changed(trio["a"], tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("head_dim") == config["hidden_size"] // config["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(config))
    assert plan_of(trio["base"], folder) == plan_of(trio["base"])


def test_all_tensors_that_differ_are_reported_at_once(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Those of all layers in one entry."""
    folder = save_model(tmp_path / "m", intermediate_size=32, mlp_bias=True)
    shutil.copyfile(trio["a"] / "config.json", folder / "config.json")
    with pytest.raises(ParentError) as caught:
        plan_of(trio["base"], folder)
    for part in (
        "model.layers.*.mlp.up_proj.weight: [24, 16] / [32, 16] (2 of them)",
        "model.layers.*.mlp.down_proj.bias: absent / [16] (2 of them)",
    ):
        assert part in str(caught.value)


def test_a_tensor_that_only_one_model_has_is_refused(trio: dict[str, Path], tmp_path: Path) -> None:
    """It is neither dropped nor copied in silence."""
    folder = changed(trio["a"], tmp_path / "m", extra__weight=torch.ones(3))
    with pytest.raises(ParentError, match=r"extra\.weight: absent / \[3\]"):
        plan_of(trio["base"], folder)


def test_whole_numbers_are_copied_if_equal_and_refused_if_not(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """They cannot be averaged."""
    one = changed(trio["a"], tmp_path / "one", position__ids=torch.arange(4))
    two = changed(trio["b"], tmp_path / "two", position__ids=torch.arange(4))
    odd = changed(trio["b"], tmp_path / "odd", position__ids=torch.arange(1, 5))
    plan = {tensor.name: tensor for tensor in plan_of(one, two).tensors}
    assert not plan["position.ids"].merged
    with pytest.raises(ParentError, match=r"position\.ids"):
        plan_of(one, odd)


def test_buffers_that_follow_from_the_configuration_are_left_out(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Old llama checkpoints store rotary frequencies, which models compute anew."""
    name = "model__layers__0__self_attn__rotary_emb__inv_freq"
    folder = changed(trio["a"], tmp_path / "m", **{name: torch.ones(4)})
    assert names_of(trio["base"], folder) == names_of(trio["base"])
