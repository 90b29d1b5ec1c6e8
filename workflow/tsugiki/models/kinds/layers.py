"""Layers of language models that can be stacked in data-flow space: what each tensor does there.

An architecture is known by its `model_type`: llama and those with its layers (Mistral, Qwen2, and Qwen3
with norms of queries and keys), Gemma and Phi. What it does before the first layer and after the last
one is no matter of the layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Rule = Literal["kept", "signed", "divided"]
"""`kept`: the tensor sees only what a norm has made of the hidden state, so that its scale is gone.
`signed`: the weight of a norm that reads the hidden state; it takes the sign of the scale.
`divided`: it makes what the layer adds to the hidden state; it is divided by the scale."""


@dataclass(frozen=True)
class Role:
    """What a tensor is in its layer."""

    rule: Rule
    offset: float = 0.0
    """The tensor holds the weight less this number: 1 for norms that multiply by `1 + w`."""


@dataclass(frozen=True)
class Layers:
    """The layers of a pre-norm residual transformer, and what follows them.

    Attributes:
        roles: Of every tensor that a layer may have, by its name within the layer. A layer with
            any other tensor is refused.
        final: Roles of the final norm's tensors, by whole name.
        head: Whole names of the output head's tensors.
        prefix: What the names of the layers' tensors begin with, before the number.
        count: The setting that says how many layers there are.
        per_layer: Settings of the configuration that are lists with an entry for each layer.
    """

    roles: Mapping[str, Role]
    final: Mapping[str, Role]
    head: tuple[str, ...] = ("lm_head.weight", "lm_head.bias")
    prefix: str = "model.layers"
    count: str = "num_hidden_layers"
    per_layer: tuple[str, ...] = ()

    def within(self, name: str) -> tuple[int, str] | None:
        """Number of a tensor's layer, and its name there; None outside the layers."""
        start = f"{self.prefix}."
        number, _, rest = name.removeprefix(start).partition(".")
        return (int(number), rest) if name.startswith(start) and number.isdigit() else None

    def knows(self, name: str) -> bool:
        """Whether it is known what a tensor of the layers, or behind them, does."""
        if (place := self.within(name)) is not None:
            return place[1] in self.roles
        return name in self.head or name in self.final


def layers(
    *,
    kept: Sequence[str],
    signed: Sequence[str],
    divided: Sequence[str],
    norm: str = "model.norm",
    norm_offset: float = 0.0,
    per_layer: tuple[str, ...] = (),
) -> Layers:
    """Layers by the names of their modules; each may have a weight and a bias.

    Args:
        kept: Modules behind a norm: projections into attention and MLP, norms of queries and keys.
        signed: Norms of the hidden state.
        divided: Projections out of attention and MLP, or the norms behind them.
        norm: The final norm.
        norm_offset: What norms add to their weight.
        per_layer: Settings that are lists with an entry for each layer.
    """
    roles: dict[str, Role] = {}
    for module in kept:
        roles |= _both(module, Role("kept"), Role("kept"))
    for module in signed:
        # A bias is added after the sign has been lost; it stays.
        roles |= _both(module, Role("signed", norm_offset), Role("kept"))
    for module in divided:
        offset = norm_offset if "norm" in module else 0.0
        roles |= _both(module, Role("divided", offset), Role("divided"))
    return Layers(
        roles=roles,
        final=_both(norm, Role("signed", norm_offset), Role("kept")),
        per_layer=per_layer,
    )


def _both(module: str, weight: Role, bias: Role) -> dict[str, Role]:
    return {f"{module}.weight": weight, f"{module}.bias": bias}


INTO = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
)
OUT_OF = ("self_attn.o_proj", "mlp.down_proj")
NORMS = ("input_layernorm", "post_attention_layernorm")

LLAMA = layers(kept=INTO, signed=NORMS, divided=OUT_OF)
QWEN2 = layers(kept=INTO, signed=NORMS, divided=OUT_OF, per_layer=("layer_types",))
QWEN3 = layers(
    kept=(*INTO, "self_attn.q_norm", "self_attn.k_norm"),
    signed=NORMS,
    divided=OUT_OF,
    per_layer=("layer_types",),
)

# Gemma's norms multiply by `1 + w`, and from the second on there are norms behind each branch. Such a norm
# makes what the branch adds, so that its weight is divided and the projection kept.
SANDWICHED = (*INTO, *OUT_OF)
BEFORE = ("input_layernorm", "pre_feedforward_layernorm")
BEHIND = ("post_attention_layernorm", "post_feedforward_layernorm")

GEMMA = layers(kept=INTO, signed=NORMS, divided=OUT_OF, norm_offset=1.0)
GEMMA2 = layers(
    kept=SANDWICHED,
    signed=BEFORE,
    divided=BEHIND,
    norm_offset=1.0,
    per_layer=("layer_types",),
)
GEMMA3 = layers(
    kept=(*SANDWICHED, "self_attn.q_norm", "self_attn.k_norm"),
    signed=BEFORE,
    divided=BEHIND,
    norm_offset=1.0,
    per_layer=("layer_types",),
)

# Phi: one LayerNorm, and both branches beside each other; the third is a llama. Side by side or one after the
# other, each branch is added to the same scaled hidden state, and LayerNorm, like RMSNorm, keeps only the
# sign of a scale.
PHI = layers(
    kept=(
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.q_layernorm",
        "self_attn.k_layernorm",
        "mlp.fc1",
    ),
    signed=("input_layernorm",),
    divided=("self_attn.dense", "mlp.fc2"),
    norm="model.final_layernorm",
)
PHI3 = layers(
    kept=("self_attn.qkv_proj", "mlp.gate_up_proj"),
    signed=NORMS,
    divided=OUT_OF,
)

STACKABLE: dict[str, Layers] = {
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA3,
    "llama": LLAMA,
    "mistral": LLAMA,
    "phi": PHI,
    "phi3": PHI3,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
}
POST_NORM = (
    "its layers read the hidden state without a norm, so that a scale of it changes what attention "
    "and MLP compute and cannot be moved into the weights"
)
UNSTACKABLE = {"olmo2": POST_NORM, "olmo3": POST_NORM}
OWNERS = frozenset({"max_window_layers", "num_hidden_layers", "tie_word_embeddings", "vocab_size"})
"""Settings that do not change what a layer computes; a model made of several parents' layers gets those
of its owner."""
