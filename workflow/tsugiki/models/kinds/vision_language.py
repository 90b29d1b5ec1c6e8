"""Vision-language models, of which the language model is merged and all else goes along."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from tsugiki.errors import ParentError
from tsugiki.models.kinds.kind import Names
from tsugiki.models.kinds.text import BEFORE_BLOCKS, Text, is_encoder, understood

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

    name = "vision-language model"
    besides = "vision tower"
    sees = True

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether it has a section for the image encoder."""
        return "vision_config" in config

    def expressions(self, stored: Collection[str]) -> Names:
        """The language model has the names that it has by itself; the rest is not merged.

        Raises:
            ParentError: parts of the image encoder or the projector are stored as if they were the
                language model's. Loaders pass them over, and fill the encoder with random numbers.
        """
        for prefix, alone in PREFIXES:
            if any(name.startswith(prefix) for name in stored):
                _require_apart(prefix, stored)
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

    def with_core(self, config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """In the language model's section; older ones of Qwen state its settings at the top."""
        section = config.get("text_config")
        if not isinstance(section, Mapping):
            return {**config, **changes}
        return {**config, "text_config": {**section, **changes}}

    def layers_as_in(self, config: Mapping[str, Any]) -> str | None:
        """Those of its language model by itself."""
        try:
            return str(self.core_settings(config)["model_type"])
        except (ValueError, KeyError):
            return None

    def loader(self) -> Any:
        """The whole of it, as it is used; texts go through it as well."""
        from transformers import AutoModelForImageTextToText

        return AutoModelForImageTextToText

    def classes(self) -> Any:
        """Transformers' models of images and text."""
        from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def _require_apart(prefix: str, stored: Collection[str]) -> None:
    within = sorted(
        name for name in stored if name.startswith(prefix) and is_encoder(name.removeprefix(prefix))
    )
    if within:
        raise ParentError(
            "a vision tower or projector is stored under the prefix of the language model, where no loader "
            "looks for it",
            where=within[0] + (f", and {len(within) - 1} more" if len(within) > 1 else ""),
            expected=f"tensors of the tower outside `{prefix}`",
            got=f"{len(within)} tensors of it there",
            fix="rename them as the model was published, or save it again with the transformers that it "
            "was trained with",
        )


VISION_LANGUAGE = VisionLanguage()
