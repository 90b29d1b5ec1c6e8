"""Text models: language models by themselves, as transformers stores and loads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from tsugiki.models.kinds import blocks
from tsugiki.models.kinds.kind import Agreement, Layout, Names, Place, SidecarFiles, Use
from tsugiki.models.kinds.layers import STACKABLE, UNSTACKABLE, Layers

SINGLE = "model.safetensors"
DERIVED = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(?:masked_)?bias$")
"""Buffers of old checkpoints that models compute from their configuration."""
HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.weight$")
HEAD_BIAS = re.compile(HEAD.pattern.replace("weight", "bias"))
EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$")
USES: dict[Use, re.Pattern[str]] = {"embeddings": EMBEDDINGS, "head": HEAD, "derived": DERIVED}
DRAFT = re.compile(r"(?:^|\.)mtp(?:_\w+)?\.")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")

LAYOUT = Layout(config="config.json", weights=SINGLE)
INDEX = LAYOUT.index
TOKENIZER = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Any of these holds a vocabulary."""
OTHERS = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)
"""A folder may hold those of a processor, whatever its model reads; they are taken along."""

FIXED = frozenset(
    {
        "architectures",
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "model_type",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "tie_word_embeddings",
        "vocab_size",
    }
)
TRAINING = frozenset(
    {
        "_name_or_path",
        "architectures",
        "attention_dropout",
        "attn_implementation",
        "attn_pdrop",
        "auto_map",
        "dtype",
        "embd_pdrop",
        "hidden_dropout",
        "initializer_range",
        "pretraining_tp",
        "resid_pdrop",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
ELSEWHERE = frozenset({"vocab_size", "quantization_config"})
"""Checked with the embeddings and the numbers."""
CHOICES = frozenset({"max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"})


class Text:
    """A language model by itself."""

    name: str = "text model"
    core: str = "language model"
    besides: str = ""
    sees: bool = False
    layout: Layout = LAYOUT
    before: tuple[str, ...] = blocks.BEFORE
    after: tuple[str, ...] = blocks.AFTER
    type_key: str = "model_type"
    sidecar: SidecarFiles = SidecarFiles(TOKENIZER, OTHERS, ("additional_chat_templates",))
    agreement: Agreement = Agreement(fixed=FIXED, ignored=TRAINING | ELSEWHERE, free=CHOICES)
    stackable: Mapping[str, Layers] = STACKABLE
    unstackable: Mapping[str, str] = UNSTACKABLE

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Any configuration: what is nothing else is taken for a text model."""
        del config
        return True

    def expressions(self, stored: Collection[str]) -> Names:
        """All tensors keep their names."""
        del stored
        return {}

    def is_unused(self, name: str, config: Mapping[str, Any]) -> bool:
        """Draft layers, which only guess tokens ahead of the model (MTP); no loader reads them."""
        if DRAFT.search(name):
            return True
        language = self.language_section(config)
        layers, drafts = (
            language.get(key) for key in ("num_hidden_layers", "num_nextn_predict_layers")
        )
        layer = LAYER.search(name)
        if layer is None or not isinstance(layers, int) or not isinstance(drafts, int):
            return False
        return layers <= int(layer[1]) < layers + drafts

    def use(self, name: str) -> Use | None:
        """By its name; derived are rotary frequencies and causal masks."""
        return _use(name)

    def place(self, name: str) -> Place | None:
        """Embeddings, numbered blocks with attention, MLP and norms, and a head with the final norm."""
        return blocks.place(name)

    def blocks(self, names: Iterable[str]) -> list[str]:
        """As many as the largest number says."""
        return [f"block.{number}" for number in range(blocks.count(names))]

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """As transformers understands it."""
        return dict(understood(config).to_dict())

    def core_settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """All of them."""
        return self.settings(config)

    def with_core(self, config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """All stand at the top."""
        return {**config, **changes}

    def layers_as_in(self, config: Mapping[str, Any]) -> str | None:
        """Its own."""
        name = config.get(self.type_key)
        return None if name is None else str(name)

    def rows(self, config: Mapping[str, Any]) -> int | None:
        """The size of the vocabulary, padding included."""
        return self.language_section(config).get("vocab_size")

    def needs_head(self, config: Mapping[str, Any]) -> bool:
        """Whether it is to generate text."""
        named = config.get("architectures") or []
        return any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in named)

    def loader(self) -> Any:
        """Transformers' own choice among its language models."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM

    def classes(self) -> Any:
        """Transformers' language models."""
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

        return MODEL_FOR_CAUSAL_LM_MAPPING

    def language_section(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings of the language model, wherever the configuration states them."""
        section = config.get("text_config")
        return section if isinstance(section, Mapping) else config


@lru_cache(maxsize=65536)
def _use(name: str) -> Use | None:
    return next((use for use, pattern in USES.items() if pattern.search(name)), None)


def understood(config: Mapping[str, Any]) -> Any:
    """A configuration as transformers understands it, all defaults filled in.

    Raises:
        ValueError: transformers does not know the architecture, or refuses a value.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    given = {key: value for key, value in config.items() if key != "quantization_config"}
    try:
        return AutoConfig.for_model(**given)
    except StrictDataclassError as error:
        raise ValueError(str(error)) from error


TEXT = Text()
