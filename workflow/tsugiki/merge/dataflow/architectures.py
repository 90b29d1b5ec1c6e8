"""The architectures whose layers can be stacked, by `model_type`, and why others cannot.

What folding has to know of an architecture: which of a layer's tensors does what.

Llama and those with its layers: Mistral, Qwen2, and Qwen3 with norms of queries and keys.

Gemma: norms multiply by `1 + w`, and from the second on there are norms behind each branch.

The factor on the embeddings comes before the first layer and is no matter of the layers. A norm
behind a branch makes what the branch adds, so that its weight is divided and the projection kept.

Phi: the first two have one LayerNorm and both branches beside each other, the third is a llama.

Side by side or one after the other, each branch is added to the same scaled hidden state, and
LayerNorm, like RMSNorm, keeps only the sign of a scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint

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
class Architecture:
    """A pre-norm residual transformer.

    Attributes:
        roles: Of every tensor that a layer may have, by its name within the layer. A layer with
            any other tensor is refused.
        final: Roles of the final norm's tensors, by whole name.
        layers: What the names of the layers' tensors begin with, before the number.
        per_layer: Settings of the configuration that are lists with an entry for each layer.
    """

    roles: Mapping[str, Role]
    final: Mapping[str, Role]
    layers: str = "model.layers"
    per_layer: tuple[str, ...] = ()


def architecture(
    *,
    kept: Sequence[str],
    signed: Sequence[str],
    divided: Sequence[str],
    norm: str = "model.norm",
    norm_offset: float = 0.0,
    per_layer: tuple[str, ...] = (),
) -> Architecture:
    """An architecture from the names of its layers' modules; each may have a weight and a bias.

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
    return Architecture(
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

LLAMA = architecture(kept=INTO, signed=NORMS, divided=OUT_OF)
QWEN2 = architecture(kept=INTO, signed=NORMS, divided=OUT_OF, per_layer=("layer_types",))
QWEN3 = architecture(
    kept=(*INTO, "self_attn.q_norm", "self_attn.k_norm"),
    signed=NORMS,
    divided=OUT_OF,
    per_layer=("layer_types",),
)


SANDWICHED = (*INTO, *OUT_OF)
BEFORE = ("input_layernorm", "pre_feedforward_layernorm")
BEHIND = ("post_attention_layernorm", "post_feedforward_layernorm")

GEMMA = architecture(kept=INTO, signed=NORMS, divided=OUT_OF, norm_offset=1.0)
GEMMA2 = architecture(
    kept=SANDWICHED,
    signed=BEFORE,
    divided=BEHIND,
    norm_offset=1.0,
    per_layer=("layer_types",),
)
GEMMA3 = architecture(
    kept=(*SANDWICHED, "self_attn.q_norm", "self_attn.k_norm"),
    signed=BEFORE,
    divided=BEHIND,
    norm_offset=1.0,
    per_layer=("layer_types",),
)


PHI = architecture(
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
PHI3 = architecture(
    kept=("self_attn.qkv_proj", "mlp.gate_up_proj"),
    signed=NORMS,
    divided=OUT_OF,
)


ARCHITECTURES: dict[str, Architecture] = {
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
REFUSED = {"olmo2": POST_NORM, "olmo3": POST_NORM}


def reason(kind: str) -> str:
    """Why layers of a `model_type` that is not among `ARCHITECTURES` cannot be stacked."""
    return REFUSED.get(kind, "not known how its layers use the hidden state")


def architecture_of(model: Checkpoint) -> Architecture:
    """The architecture of a parent.

    Raises:
        ParentError: its layers cannot be stacked.
    """
    kind = str(model.config.get("model_type"))
    if kind in ARCHITECTURES:
        return ARCHITECTURES[kind]
    raise ParentError(
        f"the layers of parent `{model.name}` cannot be merged in data-flow space",
        where=str(model.folder / "config.json"),
        expected="model_type " + ", ".join(sorted(ARCHITECTURES)),
        got=f"{kind}: {reason(kind)}",
        fix="merge it in parameter space, or see docs/dataflow.md for how to add an architecture",
    )
