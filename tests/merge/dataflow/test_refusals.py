"""Paths that make no model are refused from headers, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from tests.merge.dataflow.paths_for_tests import (
    LAYERS,
    SIZES,
    identity,
    live_of,
    loaded,
    path_recipe,
    save_parent,
    save_parents,
    winding,
)
from tests.merge.models_for_tests import digest_of, digests_of, save_tokenizer
from tsugiki.contracts.recipe import ParentRef
from tsugiki.errors import LineageError, ParentError, RecipeError
from tsugiki.merge.write import write_merge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.parents.between import check_merged


def parents(root: Path, **changes: Any) -> dict[str, Path]:
    """A llama, and another one that differs by `changes`."""
    return {
        "a": save_parent(root / "a", attention_bias=False, mlp_bias=False),
        "b": save_parent(
            root / "b", seed=1, **{"attention_bias": False, "mlp_bias": False} | changes
        ),
    }


def refused(folders: dict[str, Path], recipe: Any, error: type[Exception], message: str) -> None:
    """The path is refused in memory and on disk, where nothing is left."""
    with pytest.raises(error, match=message):
        live_of(folders).assemble(recipe)
    out = folders["a"].parent / "out"
    with pytest.raises(error, match=message):
        write_merge(recipe, folders, digests_of(folders), out)
    assert not out.exists()


def test_a_post_norm_architecture_is_refused_with_the_reason(tmp_path: Path) -> None:
    """OLMo 2 reads the hidden state without a norm."""
    config = AutoConfig.for_model("olmo2", **SIZES)
    for name in ("a", "b"):
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        save_tokenizer(tmp_path / name)
    folders = {name: tmp_path / name for name in ("a", "b")}
    refused(folders, winding(), ParentError, "read the hidden state without a norm")


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    """The supported ones are listed."""
    folders = save_parents(tmp_path)
    path = folders["a"] / "config.json"
    path.write_text(path.read_text().replace('"llama"', '"granite"'))
    refused(folders, identity(), ParentError, "granite: not known")


@pytest.mark.parametrize("setting", ["hidden_size", "intermediate_size"])
def test_parents_of_other_sizes_are_refused(setting: str, tmp_path: Path) -> None:
    """The one configuration of the model cannot be right for both."""
    refused(parents(tmp_path, **{setting: 32}), winding(), ParentError, setting)


def test_settings_that_were_accepted_to_differ_are_the_owners(tmp_path: Path) -> None:
    """Whoever did not accept them is told before any merge, as in parameter space."""
    rope = {"rope_type": "default", "rope_theta": 5e5}
    folders = parents(tmp_path, rope_parameters=rope)
    faults = check_merged([Checkpoint(name, folders[name]).facts for name in ("a", "b")])
    assert ["rope_theta" in str(fault) for fault in faults] == [True]
    write_merge(path_recipe([("b", 0), ("a", 1)]), folders, digests_of(folders), tmp_path / "out")
    assert loaded(tmp_path / "out").config.rope_parameters["rope_theta"] == 10_000


def test_parents_may_differ_in_what_only_the_owner_gives(tmp_path: Path) -> None:
    """Number of layers, vocabulary, context length."""
    folders = parents(tmp_path, num_hidden_layers=6, vocab_size=50, max_position_embeddings=32)
    write_merge(path_recipe([("a", 0), ("b", 5)]), folders, digests_of(folders), tmp_path / "out")
    config = loaded(tmp_path / "out").config
    assert (config.num_hidden_layers, config.vocab_size) == (2, SIZES["vocab_size"])
    assert config.max_position_embeddings == SIZES["max_position_embeddings"]


def test_parents_of_two_architectures_are_refused(tmp_path: Path) -> None:
    """Even where their tensors have the same names."""
    folders = parents(tmp_path)
    save_parent(folders["b"], "mistral", sliding_window=None)
    refused(folders, winding(), ParentError, "model_type: llama / mistral")


def test_a_layer_out_of_range_is_the_recipes_fault(tmp_path: Path) -> None:
    """The hop and the range are named."""
    recipe = path_recipe([("a", 0), ("b", LAYERS)])
    refused(save_parents(tmp_path), recipe, RecipeError, "hop 1(.|\n)*0 to 3 of `b`")


def test_a_factor_of_an_unknown_tensor_is_the_recipes_fault(tmp_path: Path) -> None:
    """A name within the layer is meant."""
    recipe = path_recipe([("a", 0, 1.0, {"o_proj.weight": 0.5})])
    refused(save_parents(tmp_path), recipe, RecipeError, "self_attn.o_proj.weight(.|\n)*o_proj")


def test_a_tensor_of_unknown_use_is_refused(tmp_path: Path) -> None:
    """What it does with the hidden state's scale is not known."""
    folders = save_parents(tmp_path)
    file = folders["a"] / "model.safetensors"
    tensors = load_file(file) | {"model.layers.0.self_attn.gate.weight": torch.ones(3)}
    save_file(tensors, file, metadata={"format": "pt"})
    refused(folders, identity(), ParentError, r"model\.layers\.0\.self_attn\.gate\.weight")


def test_a_missing_layer_is_refused(tmp_path: Path) -> None:
    """The configuration declares four."""
    folders = save_parents(tmp_path)
    file = folders["a"] / "model.safetensors"
    kept = {name: values for name, values in load_file(file).items() if ".layers.3." not in name}
    save_file(kept, file, metadata={"format": "pt"})
    refused(folders, path_recipe([("a", 0)]), ParentError, "layers 0 to 3")


def test_anothers_head_does_not_replace_a_tied_one(tmp_path: Path) -> None:
    """Its own embeddings are the head."""
    folders = {
        "a": save_parent(tmp_path / "a", tie_word_embeddings=True),
        "b": save_parent(tmp_path / "b", seed=1),
    }
    recipe = path_recipe([("a", 0), ("b", 3)], head="b")
    refused(folders, recipe, ParentError, "cannot take its final norm and head")


def test_other_files_than_the_recipes_are_refused(tmp_path: Path) -> None:
    """By the parents' digests."""
    recipe = identity(parents=(ParentRef(name="a", digest="0" * 64),))
    refused(save_parents(tmp_path), recipe, LineageError, digest_of("a"))


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    """In a layer that the path takes; others are not read."""
    folders = save_parents(tmp_path)
    file = folders["b"] / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.2.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})
    live_of(folders).assemble(path_recipe([("a", 0), ("b", 1)]))
    refused(folders, path_recipe([("a", 0), ("b", 2)]), ParentError, "not finite")
