"""Real image generators are recognised, and checked, from headers and settings alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.pipelines import WEIGHTS, needs_diffusers, write_json, write_pipeline
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.grouping import groups
from tsugiki.parents.hub import cached_snapshot
from tsugiki.parents.locate import locate
from tsugiki.parents.preflight import Report, preflight, render
from tsugiki.parents.resolve import lock_parents

from .hub_stand_in import Hub
from .runs import run_of

SCORES = """
def bright(model, documents):
    return [0.0 for _ in documents]


def documents():
    return [{"n": n} for n in range(30)]
"""
CLIP = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "projection_dim": 768,
}
BIG_CLIP = {
    **CLIP,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
T5 = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
ACROSS = "CrossAttnDownBlock2D"
BACK = "CrossAttnUpBlock2D"
Shapes = dict[str, list[int]]
Components = Mapping[str, tuple[str, str, Mapping[str, Any]]]
SD15: Components = {
    "unet": (
        "diffusers",
        "UNet2DConditionModel",
        {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    ),
    "text_encoder": ("transformers", "CLIPTextModel", CLIP),
    "vae": ("diffusers", "AutoencoderKL", VAE),
}
"""Settings as in the repositories, where they are not the class's defaults."""
SDXL: Components = {
    "unet": (
        "diffusers",
        "UNet2DConditionModel",
        {
            "sample_size": 128,
            "block_out_channels": [320, 640, 1280],
            "down_block_types": ["DownBlock2D", ACROSS, ACROSS],
            "up_block_types": [BACK, BACK, "UpBlock2D"],
            "transformer_layers_per_block": [1, 2, 10],
            "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            "use_linear_projection": True,
        },
    ),
    "text_encoder": ("transformers", "CLIPTextModel", CLIP),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection", BIG_CLIP),
    "vae": ("diffusers", "AutoencoderKL", VAE | {"scaling_factor": 0.13025}),
}
T5_SMALL = T5 | {"d_model": 64, "d_ff": 64, "num_layers": 1}
"""For those whose text encoder is not looked at."""
SD3: Components = {
    "transformer": (
        "diffusers",
        "SD3Transformer2DModel",
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 192,
        },
    ),
    "text_encoder": ("transformers", "CLIPTextModelWithProjection", CLIP),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection", BIG_CLIP),
    "text_encoder_3": ("transformers", "T5EncoderModel", T5_SMALL),
    "vae": ("diffusers", "AutoencoderKL", VAE | {"latent_channels": 16, "scaling_factor": 1.5305}),
}
FLUX: Components = {
    "transformer": ("diffusers", "FluxTransformer2DModel", {"guidance_embeds": True}),
    "text_encoder": ("transformers", "CLIPTextModel", CLIP),
    "text_encoder_2": ("transformers", "T5EncoderModel", T5_SMALL),
    "vae": ("diffusers", "AutoencoderKL", VAE | {"latent_channels": 16, "scaling_factor": 0.3611}),
}
"""FLUX.1's 12 billion; those of SD 3 are the 2 billion of its medium size, with a table of places."""
DIT: Components = {
    "transformer": (
        "diffusers",
        "DiTTransformer2DModel",
        {"num_layers": 28, "attention_head_dim": 72, "in_channels": 4, "out_channels": 8},
    ),
    "vae": ("diffusers", "AutoencoderKL", VAE),
}
"""DiT-XL/2's 675 million, and 27 more copies of what embeds time and class, which diffusers gives each block."""
PIXART: Components = {
    "transformer": (
        "diffusers",
        "PixArtTransformer2DModel",
        {"sample_size": 128, "caption_channels": 4096, "use_additional_conditions": True},
    ),
    "text_encoder": ("transformers", "T5EncoderModel", T5),
    "vae": ("diffusers", "AutoencoderKL", VAE),
}


def write_headers(folder: Path, components: Components, *, wider: bool = False) -> None:
    """Write a model's settings and the headers of its files, whose tensors are holes.

    Args:
        folder: Where.
        components: Library, class and settings of each component.
        wider: Whether headers are longer than need be, which tells files apart.
    """
    index: dict[str, Any] = {"_class_name": "APipeline", "_diffusers_version": "0.42.1"}
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "scheduler").mkdir(parents=True)
    write_json(folder / "scheduler" / "scheduler_config.json", {"beta_schedule": "scaled_linear"})
    for name, (library, made_by, settings) in components.items():
        index[name] = [library, made_by]
        (folder / name).mkdir()
        made, content = _made(library, made_by, json.dumps(settings))
        write_json(folder / name / "config.json", content)
        file = WEIGHTS if library == "diffusers" else "model.safetensors"
        _write_header(folder / name / file, made, padding=64 * wider)
    write_json(folder / "model_index.json", index)


@cache
def _made(library: str, made_by: str, written: str) -> tuple[Shapes, dict[str, Any]]:
    """Tensors of a component, which is made without content, and its settings as they are saved."""
    settings = json.loads(written)
    if library == "diffusers":
        import diffusers

        with torch.device("meta"):
            made = getattr(diffusers, made_by)(**settings)
        return _shapes(made), settings
    import transformers

    kind = getattr(transformers, made_by)
    config = kind.config_class(**settings)
    with torch.device("meta"):
        return _shapes(kind(config)), json.loads(config.to_json_string())


def _shapes(model: torch.nn.Module) -> Shapes:
    return {name: list(tensor.shape) for name, tensor in sorted(model.state_dict().items())}


def _write_header(path: Path, tensors: Shapes, padding: int) -> None:
    header: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + padding)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def config_of(folder: Path, **objective: Any) -> RunConfig:
    """A run that merges `a` and `b`, which lie in a folder."""
    (folder / "scores.py").write_text(SCORES)
    function = {"name": "bright", "function": f"{folder}/scores.py:bright"}
    genes = {"weight": {"range": [0.0, 1.0], "grouping": "block"}}
    raw = {
        "name": "pictures",
        "results": str(folder / "results"),
        "parents": {name: {"path": str(folder / name)} for name in "ab"},
        "stages": [
            {
                "name": "ps",
                "parents": ["a", "b"],
                "space": {"method": "linear", "dtype": "float16", "genes": genes},
                "strategy": {"kind": "cma_es", "population": 4},
                "budget": {"generations": 2},
            }
        ],
        "evaluation": {
            "objectives": [objective or function],
            "items": {"search": 8, "validation": 5, "test": 6},
        },
        "rivals": [],
    }
    return parse_config(raw, where="test")


def checked(folder: Path) -> Report:
    """What `tsugiki check` says of them."""
    return preflight(config_of(folder))


@needs_diffusers
@pytest.mark.parametrize(
    ("components", "millions", "blocks"),
    [
        (SD15, 860, [*(f"down.{n}" for n in range(4)), "mid", *(f"up.{n}" for n in range(4))]),
        (SDXL, 2567, [*(f"down.{n}" for n in range(3)), "mid", *(f"up.{n}" for n in range(3))]),
        (PIXART, 611, [f"block.{n}" for n in range(28)]),
        (DIT, 750, [f"block.{n}" for n in range(28)]),
        (SD3, 2085, [f"block.{n}" for n in range(24)]),
        (
            FLUX,
            11901,
            [*(f"block.{n}" for n in range(19)), *(f"single.{n}" for n in range(38))],
        ),
    ],
    ids=["SD 1.5", "SDXL", "PixArt-alpha", "DiT-XL/2", "SD 3", "FLUX.1"],
)
def test_a_real_image_generator_is_recognised_from_headers(
    components: Components, millions: int, blocks: list[str], tmp_path: Path
) -> None:
    """Its denoiser has as many weights as its authors say, and the groups of its blocks."""
    write_headers(tmp_path / "a", components)
    write_headers(tmp_path / "b", components, wider=True)
    report = checked(tmp_path)
    assert report.faults == []
    merged = report.tensors["ps"]
    assert merged.kind.name == "image generator"
    assert round(sum(merged.elements.values()) / 1e6) == millions
    assert groups(merged.elements, "block", merged.kind) == ["input", *blocks, "output"]
    assert "tensors of a outside its merged components are copied as they are" in render(report)


@needs_diffusers
def test_parents_of_other_components_are_one_fault(tmp_path: Path) -> None:
    """SD 1.5 and SDXL differ in hundreds of tensors, and it is said once why."""
    write_headers(tmp_path / "a", SD15)
    write_headers(tmp_path / "b", SDXL)
    (fault,) = checked(tmp_path).faults
    assert "have other components" in str(fault)
    assert "text_encoder_2 (CLIPTextModelWithProjection)" in str(fault)


def of_another_class(folder: Path) -> None:
    """A text encoder with a projection."""
    index = json.loads((folder / "model_index.json").read_text())
    index["text_encoder"][1] = "CLIPTextModelWithProjection"
    write_json(folder / "model_index.json", index)


def of_another_latent_space(folder: Path) -> None:
    """A VAE of 16 channels, and a U-Net for that."""
    write_json(folder / "vae" / "config.json", {"latent_channels": 16})
    settings = {"in_channels": 16, "out_channels": 16, "cross_attention_dim": 8}
    write_json(folder / "unet" / "config.json", settings)
    weights = load_file(folder / "unet" / WEIGHTS)
    weights["conv_in.weight"] = torch.zeros(4, 16)
    save_file(weights, folder / "unet" / WEIGHTS)


def of_another_schedule(folder: Path) -> None:
    """Trained to predict velocities."""
    settings = {"prediction_type": "v_prediction"}
    write_json(folder / "scheduler" / "scheduler_config.json", settings)


def in_half_precision(folder: Path) -> None:
    """Variants alone."""
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))


def in_pickles(folder: Path) -> None:
    """No safetensors at all."""
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".bin"))


def without_a_component(folder: Path) -> None:
    """As after a broken download."""
    shutil.rmtree(folder / "vae")


def in_one_file(folder: Path) -> None:
    """As Stable Diffusion 1.5 was published, with the names that its authors gave."""
    shutil.rmtree(folder)
    folder.mkdir()
    names = (
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
        "first_stage_model.decoder.conv_in.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
    )
    save_file({name: torch.zeros(4, 4) for name in names}, folder / "v1-5-pruned.safetensors")


def a_file(folder: Path) -> None:
    """The path names it, and no folder."""
    in_one_file(folder)
    file = (folder / "v1-5-pruned.safetensors").rename(folder.with_suffix(".safetensors"))
    folder.rmdir()
    file.rename(folder)


def one_component(folder: Path) -> None:
    """The folder of the U-Net."""
    (folder / "unet").rename(folder.with_suffix(".unet"))
    settings = {"_class_name": "UNet2DConditionModel", "in_channels": 4}
    write_json(folder.with_suffix(".unet") / "config.json", settings)
    shutil.rmtree(folder)
    folder.with_suffix(".unet").rename(folder)


@needs_diffusers
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_a_component, "components that a model lists are missing"),
        (of_another_class, "`a` and `b` have other components"),
        (of_another_latent_space, "differ in unet.in_channels, unet.out_channels, vae.latent"),
        (of_another_schedule, "differ in scheduler.prediction_type"),
        (in_half_precision, "`b` has weights of unet, text_encoder, vae as a variant only"),
        (in_pickles, "`b` has weights of unet, text_encoder, vae as pickle files"),
        (in_one_file, "`b` is an image generator in one file"),
        (a_file, "`b` is a file, and not a model's folder"),
        (one_component, "it is one component of an image generator"),
    ],
)
def test_what_cannot_be_merged_is_one_fault(
    spoil: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    """From headers and settings, with the way out."""
    for seed, name in enumerate("ab"):
        settings = {"in_channels": 4, "out_channels": 4}
        write_pipeline(tmp_path / name, seed, unet=settings, scheduler={"beta_start": 0.1})
    assert checked(tmp_path).faults == []
    spoil(tmp_path / "b")
    (fault,) = checked(tmp_path).faults
    assert words in str(fault)
    assert fault.fix


@needs_diffusers
def test_another_sampler_is_no_fault_but_told(tmp_path: Path) -> None:
    """With whose the merged model gets."""
    for seed, name in enumerate("ab"):
        write_pipeline(tmp_path / name, seed)
    index = json.loads((tmp_path / "b" / "model_index.json").read_text())
    index["scheduler"][1] = "EulerDiscreteScheduler"
    write_json(tmp_path / "b" / "model_index.json", index)
    report = checked(tmp_path)
    assert report.faults == []
    assert "scheduler: a has DDIMScheduler, b has EulerDiscreteScheduler" in render(report)


@needs_diffusers
def test_paths_through_layers_are_refused_by_name(tmp_path: Path) -> None:
    """Each parent is told to be an image generator."""
    for seed, name in enumerate("ab"):
        write_pipeline(tmp_path / name, seed)
    config = config_of(tmp_path)
    raw = config.model_dump(mode="json", exclude_unset=True)
    raw["stages"][0] |= {"space": {"kind": "dataflow"}, "strategy": {"kind": "bit_cma"}}
    faults = preflight(parse_config(raw, where="test")).faults
    assert [one.what.partition(":")[0] for one in faults] == [
        "`a` is an image generator",
        "`b` is an image generator",
    ]


@needs_diffusers
def test_weights_that_the_settings_do_not_promise_are_a_fault(tmp_path: Path) -> None:
    """As diffusers would make the component."""
    write_headers(tmp_path / "a", SD15)
    write_headers(tmp_path / "b", SD15, wider=True)
    for name in "ab":
        write_json(tmp_path / name / "unet" / "config.json", {"cross_attention_dim": 1024})
    faults = checked(tmp_path).faults
    assert len(faults) == 2
    assert "are not those that its configuration promises" in str(faults[0])
    assert "attn2.to_k.weight [320, 1024]" in str(faults[0])


def test_of_a_repository_only_the_components_are_fetched(hub: Hub, tmp_path: Path) -> None:
    """Not the same weights in one file, nor copies in other formats; and they are found again offline."""
    folder = write_pipeline(tmp_path / "model", 0)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    besides = {
        "sd_xl_base.safetensors": b"x",
        "unet/diffusion_pytorch_model.fp16.safetensors": b"x",
        "vae/diffusion_pytorch_model.bin": b"x",
    }
    hub.repo("someone/model").push(files | besides)
    config = run_of({"one": {"hub": "someone/model"}})
    lock = lock_parents(config, tmp_path / "lock.json", log=lambda _line: None)
    assert {file.name for file in lock.parents["one"].files} == files.keys()
    asked = "\n".join(hub.requests)
    assert not [name for name in besides if f"/{name}" in asked]
    (place,) = locate(config, lock).values()
    assert Checkpoint("one", place).kind.name == "image generator"
    hub.repos.clear()
    assert cached_snapshot("someone/model", "main", code=False) == place
