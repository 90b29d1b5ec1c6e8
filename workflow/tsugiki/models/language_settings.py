"""The settings of a model's language model, whether it stands alone or within another model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALONE = {
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe_text": "qwen3_moe",
}
"""What a language model is called by itself, where transformers gives it another name within a
vision-language model. With text alone the two compute the same."""
OF_IMAGES = ("mrope_section", "mrope_interleaved")
"""Settings of the language model's positions that only matter for images."""


def has_vision(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a vision-language model."""
    return "vision_config" in config


def language_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a model's language model, all defaults filled in.

    Raises:
        ValueError: transformers does not know the architecture, or refuses a value.
        StrictDataclassError: likewise.
    """
    from transformers import AutoConfig

    given = {key: value for key, value in config.items() if key != "quantization_config"}
    full = AutoConfig.for_model(**given)
    if not has_vision(config):
        return dict(full.to_dict())
    found: dict[str, Any] = full.get_text_config().to_dict()
    found["tie_word_embeddings"] = full.tie_word_embeddings
    model_type = str(found.get("model_type"))
    rope = found.get("rope_parameters")
    if isinstance(rope, dict):
        found["rope_parameters"] = {
            key: "default" if value == "mrope" else value
            for key, value in rope.items()
            if key not in OF_IMAGES
        }
    return found | {"model_type": ALONE.get(model_type, model_type)}
