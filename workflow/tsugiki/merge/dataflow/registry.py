"""The architectures whose layers can be stacked, by `model_type`, and why others cannot."""

from __future__ import annotations

from tsugiki.errors import ParentError
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.dataflow.architecture import Architecture
from tsugiki.merge.dataflow.architectures.gemma import GEMMA, GEMMA2, GEMMA3
from tsugiki.merge.dataflow.architectures.llama import LLAMA, QWEN2, QWEN3
from tsugiki.merge.dataflow.architectures.phi import PHI, PHI3

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
