"""Image generators as models: which of their components are merged, in which groups, and what goes along."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.parents.checkpoints import write_llama
from tests.pipelines import (
    COMPONENTS,
    UNET,
    WEIGHTS,
    digests_of,
    needs_diffusers,
    write_json,
    write_pipeline,
)
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.errors import ParentError
from tsugiki.merge.marker import difference
from tsugiki.merge.write import write_merge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.checks.components import check_components
from tsugiki.models.files import digest_folder, needed
from tsugiki.models.grouping import groups
from tsugiki.models.kinds.diffusion import DIFFUSION
from tsugiki.models.kinds.kind import Names

BOTH: Names = {r"(?!unet\.|text_encoder\.).+": None}


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    """Two models of the same components."""
    return {name: write_pipeline(tmp_path / name, seed) for seed, name in enumerate("ab")}


def merge_of(
    folders: Mapping[str, Path],
    weights: Mapping[str, float],
    out: Path,
    names: Names | None = None,
) -> Path:
    """A weight of `a` for each group, the rest of `b`, whose other components the merge gets."""
    digests = digests_of(folders)
    values = {"a": dict(weights), "b": {name: 1 - value for name, value in weights.items()}}
    recipe = Recipe(
        method="linear",
        parents=tuple(
            ParentRef(name=name, digest=digests[name], names=dict(names or {})) for name in folders
        ),
        parameters={"weight": Parameter(grouping="block", values=values)},
        dtype="float32",
        owner="b",
    )
    weights_written = write_merge(recipe, folders, digests, out)
    assert weights_written
    assert difference(out) is None
    return out


def refusal(folders: Mapping[str, Path], out: Path) -> str:
    """Why two models are not merged; nothing has been written then."""
    with pytest.raises(ParentError) as caught:
        merge_of(folders, {"input": 1.0}, out)
    assert not out.exists()
    return str(caught.value)


GROUPS = {"input": 0.1, "down.0": 0.2, "mid": 0.4, "up.0": 0.6, "output": 0.9}


def test_each_block_of_a_unet_is_merged_with_its_own_weight(
    pair: dict[str, Path], tmp_path: Path
) -> None:
    """Down, middle and up blocks, and what is before and behind them."""
    out = merge_of(pair, GROUPS, tmp_path / "out")
    merged, a, b = (load_file(folder / "unet" / WEIGHTS) for folder in (out, *pair.values()))
    expected = dict(zip(UNET, [0.1, 0.2, 0.2, 0.2, 0.4, 0.6, 0.9], strict=True))
    assert merged.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(merged[name], weight * a[name] + (1 - weight) * b[name])


def test_all_else_is_the_owners_byte_for_byte(pair: dict[str, Path], tmp_path: Path) -> None:
    """Other components' weights, all settings and the tokenizer, but for what is merged."""
    out = merge_of(pair, GROUPS, tmp_path / "out")
    names = {file.name for file in digest_folder(pair["b"])}
    assert {file.name for file in digest_folder(out)} == names
    same = {name for name in names if (out / name).read_bytes() == (pair["b"] / name).read_bytes()}
    assert names - same == {f"unet/{WEIGHTS}"}


def test_components_that_are_named_are_merged_too(pair: dict[str, Path], tmp_path: Path) -> None:
    """With a group of their own; the VAE still goes along."""
    out = merge_of(pair, {**GROUPS, "text_encoder": 0.7}, tmp_path / "out", BOTH)
    file = "text_encoder/model.safetensors"
    merged, a, b = (load_file(folder / file) for folder in (out, *pair.values()))
    for name in COMPONENTS["text_encoder"][4]:
        torch.testing.assert_close(merged[name], 0.7 * a[name] + 0.3 * b[name])
    assert (out / "vae" / WEIGHTS).read_bytes() == (pair["b"] / "vae" / WEIGHTS).read_bytes()


def test_a_merge_can_be_a_parent(pair: dict[str, Path], tmp_path: Path) -> None:
    """It is laid out as its parents are."""
    out = merge_of(pair, GROUPS, tmp_path / "out")
    again = merge_of({"a": out, "b": pair["b"]}, dict.fromkeys(GROUPS, 1.0), tmp_path / "again")
    merged = load_file(out / "unet" / WEIGHTS)
    for name, values in load_file(again / "unet" / WEIGHTS).items():
        assert torch.equal(values, merged[name])


def test_groups_are_in_the_order_of_the_data(pair: dict[str, Path]) -> None:
    """From the prompt to the picture."""
    headers = Checkpoint("a", pair["a"], BOTH).headers
    order = ["text_encoder", "input", "down.0", "mid", "up.0", "output"]
    assert groups(headers, "block", DIFFUSION) == order
    assert groups(headers, "block_part", DIFFUSION) == [
        "text_encoder",
        "input",
        *("down.0.attention", "down.0.resnet", "down.0.sampler"),
        "mid.resnet",
        "up.0.resnet",
        "output",
    ]


def test_blocks_of_a_transformer_are_groups() -> None:
    """Those of two streams come before those of one; numbers are ordered as numbers."""
    names = [
        "transformer.pos_embed.proj.weight",
        "transformer.transformer_blocks.2.attn1.to_q.weight",
        "transformer.transformer_blocks.10.ff.net.0.proj.weight",
        "transformer.single_transformer_blocks.0.proj_mlp.weight",
        "transformer.norm_out.linear.weight",
        "transformer.proj_out.weight",
        "transformer.scale_shift_table",
    ]
    assert groups(names, "block", DIFFUSION) == [
        "input",
        "block.2",
        "block.10",
        "single.0",
        "output",
    ]
    assert [one.part for name in names if (one := DIFFUSION.place(name)) and one.in_block] == [
        "attention",
        "mlp",
        "mlp",
    ]


LAYOUTS: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "AuraFlowTransformer2DModel": (
        {"num_mmdit_layers": 2, "num_single_dit_layers": 1},
        ("block.0", "block.1", "single.0"),
    ),
    "CogView4Transformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "DiTTransformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "Flux2Transformer2DModel": (
        {"num_layers": 1, "num_single_layers": 2},
        ("block.0", "single.0", "single.1"),
    ),
    "FluxTransformer2DModel": (
        {"num_layers": 1, "num_single_layers": 2},
        ("block.0", "single.0", "single.1"),
    ),
    "Lumina2Transformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "PixArtTransformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "QwenImageTransformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "SD3Transformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "SanaTransformer2DModel": ({"num_layers": 2}, ("block.0", "block.1")),
    "ZImageTransformer2DModel": ({"n_layers": 2}, ("block.0", "block.1")),
}
"""Settings of diffusers' transformers, and the blocks that these make."""
A_LIST = re.compile(r"transformer\.\w*(?:blocks|layers)\.\d")


@needs_diffusers
@pytest.mark.parametrize("made_by", LAYOUTS)
def test_every_block_that_diffusers_makes_is_a_group(made_by: str) -> None:
    """By the names that its own classes give, and none of a list of blocks is before or behind them."""
    import diffusers

    settings, blocks = LAYOUTS[made_by]
    with torch.device("meta"):
        model = getattr(diffusers, made_by)(**settings)
    names = [f"transformer.{name}" for name in model.state_dict()]
    assert groups(names, "block", DIFFUSION) == ["input", *blocks, "output"]
    assert {one.rpartition(".")[2] for one in groups(names, "block_part", DIFFUSION)[1:-1]} <= {
        "attention",
        "mlp",
        "norm",
    }
    places = {name: DIFFUSION.place(name) for name in names}
    outside = [name for name, place in places.items() if place is None or not place.in_block]
    assert [name for name in outside if A_LIST.match(name)] == []


def test_weights_in_several_files_are_read(pair: dict[str, Path], tmp_path: Path) -> None:
    """By the index in the component's folder."""
    whole = merge_of(pair, GROUPS, tmp_path / "whole")
    digests = digests_of(pair)
    recipe = Recipe.model_validate_json((whole / "recipe.json").read_bytes())
    write_merge(recipe, pair, digests, tmp_path / "sharded", shard_bytes=100)
    folder = tmp_path / "sharded" / "unet"
    assert len(list(folder.glob("diffusion_pytorch_model-*-of-00007.safetensors"))) == len(UNET)
    sharded = Checkpoint("s", tmp_path / "sharded")
    merged = load_file(whole / "unet" / WEIGHTS)
    assert {name.removeprefix("unet.") for name in sharded.headers} == merged.keys()
    for name, values in merged.items():
        assert torch.equal(sharded.tensor(f"unet.{name}"), values)


def test_only_what_diffusers_loads_is_needed() -> None:
    """No copies in other formats or for other programs, and nothing that lies deeper."""
    wanted = [
        "model_index.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "unet/config.json",
        "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.json",
    ]
    besides = [
        "sd_xl_base_1.0.safetensors",
        ".cache/huggingface.json",
        "unet/.hidden.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "text_encoder/flax_model.msgpack",
        "text_encoder/model.fp16-00001-of-00002.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "text_encoder/pytorch_model.bin.index.json",
        "text_encoder/onnx/config.json",
    ]
    assert needed([*wanted, *besides]) == wanted


def test_a_missing_component_is_one_error(pair: dict[str, Path], tmp_path: Path) -> None:
    """It says which, and of what class."""
    shutil.rmtree(pair["a"] / "vae")
    text = refusal(pair, tmp_path / "out")
    assert "components that a model lists are missing" in text
    assert "vae (AutoencoderKL)" in text


def test_a_component_without_weights_is_one_error(pair: dict[str, Path], tmp_path: Path) -> None:
    """Weights in another number format alone do not count: a loader has to be told of them."""
    folder = pair["a"] / "unet"
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.fp16.safetensors")
    (pair["a"] / "vae" / WEIGHTS).rename(pair["a"] / "vae" / "diffusion_pytorch_model.bin")
    text = refusal(pair, tmp_path / "out")
    assert "`a` has weights of unet, vae as a variant only" in text
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in text
    assert 'variant="fp16"' in text


def test_other_components_are_one_error(pair: dict[str, Path], tmp_path: Path) -> None:
    """Whatever their settings and tensors differ in besides."""
    index = json.loads((pair["a"] / "model_index.json").read_text())
    index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
    write_json(pair["a"] / "model_index.json", index)
    shutil.copytree(pair["a"] / "text_encoder", pair["a"] / "text_encoder_2")
    text = refusal(pair, tmp_path / "out")
    assert "have other components" in text
    assert "no text_encoder_2" in text


def test_a_text_model_is_no_parent_of_an_image_generator(
    pair: dict[str, Path], tmp_path: Path
) -> None:
    """Told as such, not as tensors that differ."""
    write_llama(tmp_path / "llama", seed=0)
    text = refusal({"a": tmp_path / "llama", "b": pair["b"]}, tmp_path / "out")
    assert "models of different kinds" in text
    assert "image generator" in text


@pytest.mark.parametrize(
    ("component", "changed"),
    [
        ("unet", {"cross_attention_dim": 16}),
        ("vae", {"latent_channels": 16}),
        ("scheduler", {"prediction_type": "v_prediction"}),
    ],
)
def test_settings_that_weights_depend_on_have_to_agree(
    component: str, changed: dict[str, int | str], tmp_path: Path
) -> None:
    """Of components that are not merged too: a U-Net is trained for its latent space and schedule."""
    folders = {
        "a": write_pipeline(tmp_path / "a", 0),
        "b": write_pipeline(tmp_path / "b", 1, **{component: changed}),
    }
    assert f"differ in {component}.{next(iter(changed))}" in refusal(folders, tmp_path / "out")


def test_how_to_sample_is_the_owners_affair(tmp_path: Path) -> None:
    """What older files do not state is what it has always been."""
    settings = {"steps_offset": 1, "prediction_type": "epsilon"}
    folders = {
        "a": write_pipeline(tmp_path / "a", 0),
        "b": write_pipeline(tmp_path / "b", 1, scheduler=settings),
    }
    out = merge_of(folders, GROUPS, tmp_path / "out")
    written = json.loads((out / "scheduler" / "scheduler_config.json").read_text())
    assert written["steps_offset"] == 1


def test_a_model_without_a_denoiser_is_told(pair: dict[str, Path]) -> None:
    """Unless the user names what is merged."""
    (pair["a"] / "unet").rename(pair["a"] / "prior")
    index = json.loads((pair["a"] / "model_index.json").read_text())
    index["prior"] = index.pop("unet")
    write_json(pair["a"] / "model_index.json", index)
    (fault,) = check_components(Checkpoint("a", pair["a"]).facts)
    assert "nothing of `a` would be merged" in str(fault)
    named = Checkpoint("a", pair["a"], {r"(?!prior\.).+": None})
    assert list(check_components(named.facts)) == []
    assert len(named.headers) == len(UNET)
