"""Image generators: folders of diffusers, of which the denoiser is merged and all else goes along.

The denoiser is a U-Net or a diffusion transformer. Beside it lie text encoders, a VAE, a scheduler and
tokenizers; model_index.json says which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from tsugiki.models.kinds.kind import Agreement, Kind, Layout, Names, Place, SidecarFiles

DENOISERS = ("unet", "transformer")
"""Components that are merged unless the user says otherwise."""
BEFORE = ("image_encoder", "text_encoder", "text_encoder_2", "text_encoder_3")
AFTER = ("vae",)
ONE_FILE = re.compile(
    r"(?:model\.diffusion_model|first_stage_model|cond_stage_model|conditioner|double_blocks|joint_blocks)\."
)
"""How tensors are called in files that hold a whole image generator, or its denoiser, as other programs do."""
UNCOMPARED = ("safety_checker",)
"""Components that have no influence on what is drawn."""

WAYS = {
    "down_blocks": "down",
    "mid_block": "mid",
    "blocks": "block",
    "joint_transformer_blocks": "block",
    "layers": "block",
    "transformer_blocks": "block",
    "visual_transformer_blocks": "block",
    "single_transformer_blocks": "single",
    "up_blocks": "up",
}
"""What blocks are called in groups, in the order of the data's way. No denoiser has two lists of one kind."""
BLOCK = re.compile(rf"({'|'.join(WAYS)})\.(\d+)\.")
OUTPUT = re.compile(
    r"(?:conv_norm_out|conv_out|norm_out|norm_final|proj_out(?:_\d)?|(?:all_)?final_layer|out_layer)\.|"
    r"final_(?:norm|linear)\.|scale_shift_table$"
)
PARTS = (
    ("resnet", re.compile(r"resnets\.")),
    ("sampler", re.compile(r"(?:down|up)samplers\.")),
    ("norm", re.compile(r"norm|attention_norm|ffn_norm|(?:img|txt)_mod\b|adaLN|scale_shift_table")),
    ("attention", re.compile(r"attentions?\.|attn|(?:self|cross)_attention\.")),
    (
        "mlp",
        re.compile(
            r"ff|feed_forward|(?:img_|txt_)?mlp|proj_mlp|proj_out|(?:text|visual)_modulation"
        ),
    ),
)

FIXED = frozenset({
    "_class_name", "block_out_channels", "cross_attention_dim", "down_block_types", "hidden_size",
    "in_channels", "latent_channels", "layers_per_block", "model_type", "norm_num_groups",
    "num_layers", "out_channels", "patch_size", "prediction_type", "up_block_types",
})  # fmt: skip
DECIDING = FIXED | {
    "act_fn", "attention_head_dim", "beta_end", "beta_schedule", "beta_start", "flip_sin_to_cos",
    "freq_shift", "norm_eps", "num_attention_heads", "num_train_timesteps", "projection_dim",
    "scaling_factor",
}  # fmt: skip
"""Settings that the weights depend on, which every version of the library has written. Those that later
versions added have defaults that mean what there was before."""
SCHEDULES = {"beta_end", "beta_schedule", "beta_start", "num_train_timesteps", "prediction_type"}
"""Of a scheduler, what training depends on. How to sample is the owner's affair."""
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "scheduler": {"prediction_type": "epsilon"},
    "vae": {"scaling_factor": 0.18215},
}
"""What settings mean that older files do not state."""


class Diffusion(Kind):
    """A diffusion model with the components that turn a prompt into a picture."""

    name = "image generator"
    core = "merged components"
    output: Literal["text", "images"] = "images"
    layout = Layout(
        config="model_index.json",
        weights="diffusion_pytorch_model.safetensors",
        parts=(
            Layout("config.json", "diffusion_pytorch_model.safetensors"),
            Layout("config.json", "model.safetensors"),
            Layout("scheduler_config.json", ""),
            Layout("tokenizer_config.json", ""),
            Layout("preprocessor_config.json", ""),
            Layout("processor_config.json", ""),
        ),
    )
    before = (*BEFORE, "input")
    after = ("output", *AFTER)
    type_key = "_class_name"
    sidecar = SidecarFiles((), ())
    agreement = Agreement(fixed=FIXED, ignored=frozenset(), free=frozenset())

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it has components, each with its library (see `models.components`)."""
        return any(isinstance(entry, Mapping) and "_library" in entry for entry in config.values())

    def expressions(self, stored: Collection[str]) -> Names:
        """The denoiser is merged."""
        del stored
        return {rf"(?!(?:{'|'.join(DENOISERS)})\.).+": None}

    def place(self, name: str) -> Place | None:
        """Blocks of the denoiser, what is before and behind them, and each other component as a whole."""
        return _place(name)

    def blocks(self, names: Iterable[str]) -> list[str]:
        """Down, middle, up; of a transformer, its blocks."""
        found = {place.group for one in names if (place := _place(one)) and place.in_block}
        order = list(WAYS.values())

        def rank(group: str) -> tuple[int, int]:
            way, _, number = group.partition(".")
            return order.index(way), int(number or 0)

        return sorted(found, key=rank)

    def core_settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Of all components what weights depend on: the denoiser is trained for its encoders and VAE."""
        found: dict[str, Any] = {}
        for component, entry in config.items():
            if not isinstance(entry, Mapping) or component in UNCOMPARED:
                continue
            given = {**DEFAULTS.get(component, {}), **entry}
            deciding = SCHEDULES if component == "scheduler" else DECIDING
            found[component] = {key: given[key] for key in sorted(deciding & given.keys())}
        return found

    def loader(self) -> Any:
        """Diffusers' pipeline of the class that model_index.json names."""
        from diffusers import DiffusionPipeline

        return DiffusionPipeline


@lru_cache(maxsize=65536)
def _place(name: str) -> Place | None:
    component, _, rest = name.partition(".")
    if component not in DENOISERS:
        return Place(component) if component in {*BEFORE, *AFTER} else None
    if (block := BLOCK.match(rest)) is not None:
        group, inner = f"{WAYS[block[1]]}.{block[2]}", rest[block.end() :]
    elif rest.startswith("mid_block."):
        group, inner = WAYS["mid_block"], rest.removeprefix("mid_block.")
    else:
        return Place("output" if OUTPUT.match(rest) else "input")
    part = next((part for part, pattern in PARTS if pattern.match(inner)), None)
    return Place(group, in_block=True, part=part)


DIFFUSION = Diffusion()
