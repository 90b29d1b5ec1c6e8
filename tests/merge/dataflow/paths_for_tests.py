"""Tiny random parents of every architecture, and paths through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.merge.models_for_tests import VOCABULARY, digest_of, digests_of, save_tokenizer
from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.models import OpenModels

LAYERS = 4
EXACT = 1e-12
"""An epsilon of the norms that is negligible."""
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": None,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8, "tie_word_embeddings": True},
    "gemma2": {"head_dim": 8, "sliding_window": 4, "tie_word_embeddings": True},
    "gemma3_text": {"head_dim": 8, "sliding_window": 4, "sliding_window_pattern": 2},
    "phi": {"num_key_value_heads": 2, "qk_layernorm": True},
    "phi3": {},
}
IDS = torch.tensor(
    [[3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32], [2, 7, 18, 28, 18, 28, 4, 5, 9, 0, 4, 5]]
)
SCALES = (1.0, -1.1, 2.0, 0.05, 1.3, -0.7, -0.9)


def save_parent(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    epsilon: float = EXACT,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Path:
    """Save a random model, no weight of which is 0 or 1."""
    epsilons = {"layer_norm_eps": epsilon} if kind == "phi" else {"rms_norm_eps": epsilon}
    config = AutoConfig.for_model(kind, **(SIZES | epsilons | KINDS.get(kind, {}) | changes))
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if "norm" in name and "bias" not in name else 0.0
            parameter.copy_(around + 0.3 * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_parents(root: Path, kind: str = "llama", **fields: Any) -> dict[str, Path]:
    """Two random parents, `a` and `b`."""
    return {
        name: save_parent(root / name, kind, seed=seed, **fields)
        for seed, name in enumerate(("a", "b"))
    }


def path_recipe(hops: Iterable[tuple[Any, ...]], **fields: Any) -> DataflowRecipe:
    """A recipe of hops (parent, layer, scale, factors), owned by `a`, float32."""
    names = ("parent", "layer", "scale", "factors")
    return DataflowRecipe(
        **{
            "parents": tuple(ParentRef(name=name, digest=digest_of(name)) for name in ("a", "b")),
            "owner": "a",
            "path": tuple(Hop(**dict(zip(names, hop, strict=False))) for hop in hops),
            "dtype": "float32",
            **fields,
        }
    )


def identity(**fields: Any) -> DataflowRecipe:
    """The owner's own layers in their order."""
    return path_recipe([("a", layer) for layer in range(LAYERS)], **fields)


def winding(scales: Iterable[float] = SCALES, **fields: Any) -> DataflowRecipe:
    """A path that repeats, skips and mixes layers of both parents."""
    steps = [("a", 0), ("b", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 3), ("a", 3)]
    return path_recipe(
        [(*step, scale) for step, scale in zip(steps, scales, strict=True)], **fields
    )


def live_of(folders: Mapping[str, Path]) -> LiveDataflow:
    """The parents, held in memory."""
    return LiveDataflow(OpenModels(folders, digests_of(folders)), torch.device("cpu"))


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    """Logits of every position; shape (2, 12, 40)."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).logits
    return found


def generated(model: Any) -> torch.Tensor:
    """Eight greedy tokens, made with the key/value cache."""
    made: torch.Tensor = model.generate(
        input_ids=IDS,
        attention_mask=torch.ones_like(IDS),
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=0,
        use_cache=True,
    )
    return made


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A checkpoint, as stock transformers loads it."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return model.eval()
