"""Text models: language models by themselves, as transformers stores and loads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from tsugiki.models.kinds.kind import Agreement, Kind, Layout, Place, SidecarFiles, Use
from tsugiki.models.kinds.layers import STACKABLE, UNSTACKABLE

SINGLE = "model.safetensors"
DERIVED = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(?:masked_)?bias$")
"""Buffers of old checkpoints that models compute from their configuration."""
HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.weight$")
HEAD_BIAS = re.compile(HEAD.pattern.replace("weight", "bias"))
EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$")
USES: dict[Use, re.Pattern[str]] = {"embeddings": EMBEDDINGS, "head": HEAD, "derived": DERIVED}
DRAFT = re.compile(r"(?:^|\.)mtp(?:_\w+)?\.")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.([^.]+)")
BEFORE_BLOCKS = (
    ("vision", re.compile(r"(?:^|\.)(?:vision_tower|vision_model|visual|image_encoder)\.")),
    ("projector", re.compile(r"(?:^|\.)(?:multi_modal_projector|mm_projector|connector)\.")),
)
OUTSIDE_BLOCKS = (
    (
        "embeddings",
        re.compile(r"(?:^|\.)(?:embed_tokens|wte|wpe|embed_in|word_embeddings|embed_positions)\."),
    ),
    (
        "head",
        re.compile(
            r"(?:^|\.)"
            r"(?:lm_head|embed_out|norm|ln_f|final_norm|final_layernorm|final_layer_norm)\."
        ),
    ),
)
PARTS = (
    ("norm", re.compile(r"norm|^ln")),  # before attention: `post_attention_layernorm` is a norm
    ("attention", re.compile(r"attn|attention")),
    ("mlp", re.compile(r"mlp|ffn|feed_?forward|experts|moe|^fc\d|router")),
)
BEFORE = ("vision", "projector", "embeddings")
AFTER = ("head",)

LAYOUT = Layout(config="config.json", weights=SINGLE)
TOKENIZER = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Any of these holds a vocabulary."""
OTHERS = (
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "generation_config.json",
    "merges.txt", "preprocessor_config.json", "processor_config.json", "special_tokens_map.json",
    "tokenizer_config.json", "video_preprocessor_config.json",
)  # fmt: skip
"""A folder may hold those of a processor, whatever its model reads; they are taken along."""

FIXED = frozenset({
    "architectures", "head_dim", "hidden_size", "intermediate_size", "model_type",
    "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "tie_word_embeddings",
    "vocab_size",
})  # fmt: skip
TRAINING = frozenset({
    "_attn_implementation_autoset", "_model_name_or_path", "_name_or_path", "architectures",
    "attention_dropout", "attn_implementation", "attn_pdrop", "auto_map", "dtype", "embd_pdrop",
    "hidden_dropout", "initializer_range", "js_config", "output_router_logits", "pretraining_tp",
    "resid_pdrop", "router_aux_loss_coef", "torch_dtype", "transformers_version", "unsloth_fixed",
    "unsloth_version", "use_cache",
})  # fmt: skip
"""Of training, of what wrote or loads the files, or of another program: `transformers.js_config`, say."""
ELSEWHERE = frozenset({"vocab_size", "quantization_config"})
"""Checked with the embeddings and the numbers."""
CHOICES = frozenset({"max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"})


class Text(Kind):
    """A language model by itself."""

    name = "text model"
    core = "language model"
    output: Literal["text", "images"] = "text"
    layout = LAYOUT
    before = BEFORE
    after = AFTER
    type_key = "model_type"
    sidecar = SidecarFiles(TOKENIZER, OTHERS, ("additional_chat_templates",))
    agreement = Agreement(fixed=FIXED, ignored=TRAINING | ELSEWHERE, free=CHOICES)
    stackable = STACKABLE
    unstackable = UNSTACKABLE

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Any configuration: what is nothing else is taken for a text model."""
        del config
        return True

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
        return _place(name)

    def blocks(self, names: Iterable[str]) -> list[str]:
        """As many as the largest number says."""
        numbers = (number for one in names if (number := block_of(one)) is not None)
        return [f"block.{number}" for number in range(1 + max(numbers, default=-1))]

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """As transformers understands it."""
        return dict(understood(config).to_dict())

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
def _place(tensor: str) -> Place | None:
    """Where a tensor stands; None if its name says nothing of that."""
    if (group := _first(BEFORE_BLOCKS, tensor)) is not None:
        return Place(group)
    if (number := block_of(tensor)) is not None:
        found = BLOCK.search(tensor)
        assert found is not None, "it has a number"
        return Place(f"block.{number}", in_block=True, part=_first(PARTS, found[2]))
    group = _first(OUTSIDE_BLOCKS, tensor)
    return None if group is None else Place(group)


def is_encoder(tensor: str) -> bool:
    """Whether a tensor is one of an image encoder, whose blocks are others, or of a projector."""
    return _first(BEFORE_BLOCKS, tensor) is not None


def block_of(tensor: str) -> int | None:
    """Number of the block that a tensor lies in; None outside the language model's blocks."""
    found = None if is_encoder(tensor) else BLOCK.search(tensor)
    return int(found[1]) if found else None


def _first(table: Iterable[tuple[str, re.Pattern[str]]], text: str) -> str | None:
    return next((name for name, pattern in table if pattern.search(text)), None)


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
