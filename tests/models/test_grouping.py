"""Which tensors share a value."""

from __future__ import annotations

import pytest

from tsugiki.errors import RecipeError
from tsugiki.models.grouping import group_of, groups
from tsugiki.models.kinds.text import TEXT

NAMES = [
    ("model.embed_tokens.weight", "embeddings", "embeddings"),
    ("model.layers.0.self_attn.q_proj.weight", "block.0", "block.0.attention"),
    ("model.layers.3.self_attn.q_norm.weight", "block.3", "block.3.attention"),
    ("model.layers.11.mlp.down_proj.weight", "block.11", "block.11.mlp"),
    ("model.layers.2.mlp.experts.7.up_proj.weight", "block.2", "block.2.mlp"),
    ("model.layers.2.block_sparse_moe.gate.weight", "block.2", "block.2.mlp"),
    ("model.layers.0.input_layernorm.weight", "block.0", "block.0.norm"),
    ("model.layers.0.post_attention_layernorm.weight", "block.0", "block.0.norm"),
    ("model.layers.0.pre_feedforward_layernorm.weight", "block.0", "block.0.norm"),
    ("model.norm.weight", "head", "head"),
    ("lm_head.weight", "head", "head"),
    ("transformer.wte.weight", "embeddings", "embeddings"),
    ("wpe.weight", "embeddings", "embeddings"),
    ("transformer.h.5.attn.c_attn.weight", "block.5", "block.5.attention"),
    ("h.5.ln_1.bias", "block.5", "block.5.norm"),
    ("h.5.mlp.c_fc.weight", "block.5", "block.5.mlp"),
    ("ln_f.weight", "head", "head"),
    ("model.layers.1.mlp.fc1.bias", "block.1", "block.1.mlp"),
    ("model.final_layernorm.weight", "head", "head"),
    ("language_model.model.layers.4.mlp.up_proj.weight", "block.4", "block.4.mlp"),
    ("model.language_model.embed_tokens.weight", "embeddings", "embeddings"),
    ("vision_tower.vision_model.encoder.layers.4.mlp.fc1.weight", "vision", "vision"),
    ("model.visual.blocks.0.attn.qkv.weight", "vision", "vision"),
    ("multi_modal_projector.linear_1.weight", "projector", "projector"),
]


@pytest.mark.parametrize(("tensor", "block", "part"), NAMES)
def test_names_of_real_architectures(tensor: str, block: str, part: str) -> None:
    """Llama, Mistral, Qwen2, Gemma, Phi, GPT-2, mixtures of experts, vision-language models."""
    assert group_of(tensor, "model", TEXT) == "model"
    assert group_of(tensor, "block", TEXT) == block
    assert group_of(tensor, "block_part", TEXT) == part


def test_groups_go_from_embeddings_through_blocks_by_number_to_head() -> None:
    """Block 10 comes after block 2, and the order of the tensors does not matter."""
    tensors = ["lm_head.weight", "model.layers.10.mlp.up_proj.weight"]
    tensors += ["model.layers.2.mlp.up_proj.weight", "model.embed_tokens.weight"]
    expected = ["embeddings", "block.2", "block.10", "head"]
    assert groups(tensors, "block", TEXT) == expected
    assert groups(reversed(tensors), "block", TEXT) == expected


def test_a_mapping_names_groups_by_expression() -> None:
    """Each tensor belongs to the one expression found in its name."""
    grouping = {"rest": "embed|norm|head", "attention": "self_attn", "mlp": r"\.mlp\."}
    tensors = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"]
    assert groups([*tensors, "lm_head.weight"], grouping, TEXT) == ["attention", "mlp", "rest"]
    assert group_of(tensors[0], grouping, TEXT) == "attention"


def test_a_tensor_without_group_is_named() -> None:
    """An unknown name is refused, not put somewhere."""
    with pytest.raises(RecipeError, match=r"strange\.weight"):
        group_of("strange.weight", "block", TEXT)
    with pytest.raises(RecipeError, match=r"model\.layers\.0\.strange"):
        group_of("model.layers.0.strange.weight", "block_part", TEXT)
    with pytest.raises(RecipeError, match=r"lm_head\.weight"):
        group_of("lm_head.weight", {"attention": "attn"}, TEXT)


def test_a_tensor_of_two_groups_is_refused() -> None:
    """A stored mapping has no order, so that the first match means nothing."""
    with pytest.raises(RecipeError, match="several groups") as caught:
        group_of("model.layers.0.mlp.up_proj.weight", {"all": "", "mlp": "mlp"}, TEXT)
    assert caught.value.got == "all, mlp"
