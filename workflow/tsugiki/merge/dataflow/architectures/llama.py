"""Llama and those with its layers: Mistral, Qwen2, and Qwen3 with norms of queries and keys."""

from __future__ import annotations

from tsugiki.merge.dataflow.architecture import architecture

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
