"""Vision-language models, of which the language model is merged and all else goes along."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from tsugiki.models.kinds.blocks import BEFORE_BLOCKS
from tsugiki.models.kinds.kind import Names
from tsugiki.models.kinds.text import Text, understood

PREFIXES = (
    ("language_model.", ""),
    ("model.language_model.", "model."),
    ("model.text_model.", "model."),
)
"""Where the language model is stored, and the prefix that it has by itself."""
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


class VisionLanguage(Text):
    """A language model with an image encoder and a projector."""

    name: str = "vision-language model"
    besides: str = "vision tower"
    sees: bool = True

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it has a section for the image encoder."""
        return "vision_config" in config

    def expressions(self, stored: Collection[str]) -> Names:
        """The language model has the names that it has by itself; the rest is not merged."""
        for prefix, alone in PREFIXES:
            if any(name.startswith(prefix) for name in stored):
                start = re.escape(prefix)
                return {rf"{start}(.+)": rf"{alone}\1", rf"(?!{start}|lm_head\.).+": None}
        # The language model is stored under its own names, and only the rest is told apart.
        rest = "|".join(expression.pattern for _, expression in BEFORE_BLOCKS)
        return {rf"(?=.*?(?:{rest})).+": None}

    def core_settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the language model, without what only matters for images."""
        full = understood(config)
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

    def loader(self) -> Any:
        """The whole of it, as it is used; texts go through it as well."""
        from transformers import AutoModelForImageTextToText

        return AutoModelForImageTextToText

    def classes(self) -> Any:
        """Transformers' models of images and text."""
        from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


VISION_LANGUAGE = VisionLanguage()
