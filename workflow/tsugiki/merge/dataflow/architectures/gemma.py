"""Gemma: norms multiply by `1 + w`, and from the second on there are norms behind each branch.

The factor on the embeddings comes before the first layer and is no matter of the layers. A norm
behind a branch makes what the branch adds, so that its weight is divided and the projection kept.
"""

from __future__ import annotations

from tsugiki.merge.dataflow.architecture import architecture
from tsugiki.merge.dataflow.architectures.llama import INTO, NORMS, OUT_OF

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
