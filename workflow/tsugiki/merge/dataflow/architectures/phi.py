"""Phi: the first two have one LayerNorm and both branches beside each other, the third is a llama.

Side by side or one after the other, each branch is added to the same scaled hidden state, and
LayerNorm, like RMSNorm, keeps only the sign of a scale.
"""

from __future__ import annotations

from tsugiki.merge.dataflow.architecture import architecture
from tsugiki.merge.dataflow.architectures.llama import NORMS, OUT_OF

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
