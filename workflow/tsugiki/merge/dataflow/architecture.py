"""What folding has to know of an architecture: which of a layer's tensors does what."""

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
