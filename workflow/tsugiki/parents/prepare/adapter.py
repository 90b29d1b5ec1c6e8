"""A LoRA adapter: its settings and the headers of its tensors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tsugiki.models.fault import Fault
from tsugiki.models.headers import Tensors, read_header
from tsugiki.models.sidecar_files import check_encoding
from tsugiki.models.sources import ParentFiles
from tsugiki.models.vocabulary import TokenizerData, read_tokenizer

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
USED = {
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_alpha",
    "lora_bias",
    "r",
    "rank_pattern",
    "trainable_token_indices",
    "use_dora",
    "use_rslora",
}
"""Settings that the merged weights depend on."""
NEUTRAL = {
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
}
"""Settings of training and loading, or that show in the names of the tensors."""
STARTS = {None, True, False, "gaussian", "orthogonal", "eva"}
"""Initialisations that leave the base's weights alone."""


@dataclass(frozen=True)
class Adapter:
    """An adapter, as far as it could be read without its weights."""

    name: str
    where: str
    base: str
    """Name of the parent that it belongs to."""
    sizes: Mapping[str, int]
    """Bytes of every file."""
    settings: Mapping[str, Any]
    """adapter_config.json."""
    tensors: Tensors
    tokenizer: TokenizerData
    """Its own, if it comes with one."""

    def rank(self, module: str) -> int:
        """R of a module."""
        return int(_pattern(self.settings, "rank_pattern", module, self.settings.get("r", 8)))

    def scaling(self, module: str) -> float:
        """What B·A is multiplied with: alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA.

        Source: Hu et al. 2021, section 4.1 (arXiv 2106.09685); Kalajdzievski 2023 (arXiv
        2312.03732).
        """
        alpha = float(_pattern(self.settings, "alpha_pattern", module, self.settings["lora_alpha"]))
        rank = self.rank(module)
        return alpha / (math.sqrt(rank) if self.settings.get("use_rslora") else rank)

    def tokens(self, module: str) -> tuple[int, ...] | None:
        """The rows that a module's `trainable_tokens_delta` replaces; None if it is not said which.

        One list is for the input embeddings, whatever they are called; with several, each key is the
        end of its module's name.
        """
        given = self.settings.get("trainable_token_indices")
        lists = [given] if isinstance(given, list) else []
        if isinstance(given, dict):
            lists = [rows for end, rows in given.items() if module.endswith(end)]
        return tuple(lists[0]) if len(lists) == 1 else None


def read_adapter(name: str, base: str, files: ParentFiles) -> tuple[Adapter | None, list[Fault]]:
    """Read an adapter's settings and headers; refuse what cannot be merged to the letter.

    Raises:
        ParentError: the Hub refuses access.
        InfrastructureError: the Hub has become unreachable, or its cache cannot be written.
    """
    missing = [file for file in (CONFIG, WEIGHTS) if file not in files.sizes]
    if missing:
        return None, [_no_adapter(name, files, missing)]
    try:
        settings = json.loads(files.read(CONFIG))
        faults = list(_refused(name, files.where, settings))
    except (ValueError, AttributeError, TypeError) as error:
        return None, [
            Fault(
                f"the settings of adapter `{name}` cannot be read",
                f"{files.where}, {CONFIG}",
                expected="a JSON object, as peft writes it",
                got=str(error),
                fix="fetch or save the adapter again",
            )
        ]
    header = read_header(name, files, WEIGHTS)
    if isinstance(header, Fault):
        return None, [*faults, header]
    tokenizer, broken = read_tokenizer(name, files)
    adapter = Adapter(name, files.where, base, files.sizes, settings, header, tokenizer)
    return adapter, [*faults, *broken, *check_encoding(name, files)]


def _no_adapter(name: str, files: ParentFiles, missing: list[str]) -> Fault:
    old = "adapter_model.bin" in files.sizes
    return Fault(
        f"the weights of adapter `{name}` are a pickle file, which can run code when it is opened"
        if old
        else f"`{name}` is no LoRA adapter, although it has `adapter_of`",
        files.where,
        expected=f"{CONFIG} and {WEIGHTS}",
        got=f"no {' and no '.join(missing)}",
        fix="save it again from a source that you trust: peft's save_pretrained() writes "
        "safetensors files"
        if old
        else "remove `adapter_of` if it is a whole model",
    )


def _refused(name: str, where: str, settings: Mapping[str, Any]) -> Iterator[Fault]:
    kind = settings.get("peft_type")
    if kind != "LORA":
        yield Fault(
            f"`{name}` is an adapter that cannot be merged",
            f"{where}, {CONFIG}",
            expected="peft_type LORA",
            got=f"peft_type {kind}",
            fix="merge it with peft's merge_and_unload(), and name the result",
        )
        return
    unknown = sorted(key for key in settings.keys() - USED - NEUTRAL if settings[key])
    start = settings.get("init_lora_weights")
    if not isinstance(start, bool | str | None) or start not in STARTS:
        unknown.append(f"init_lora_weights: {start} (it changes the base's weights)")
    if unknown or not settings.get("lora_alpha"):
        yield Fault(
            f"adapter `{name}` uses what tsugiki does not merge",
            f"{where}, {CONFIG}",
            expected="LoRA with rank-stabilised scaling, DoRA, patterns of ranks and alphas, "
            "whole modules, embeddings and rows of tokens at most",
            got=", ".join(unknown) or "no lora_alpha",
            fix="merge it with peft's merge_and_unload(), and name the result",
        )


def _pattern(settings: Mapping[str, Any], key: str, module: str, default: Any) -> Any:
    """The value of the first pattern that a module's name ends with, as peft matches them."""
    for pattern, value in (settings.get(key) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
