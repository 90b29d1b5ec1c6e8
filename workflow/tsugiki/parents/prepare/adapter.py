"""A LoRA adapter, and which tensors of its base it changes: from settings, names and shapes alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed
from tsugiki.models.headers import FLOATS, Tensors, read_header
from tsugiki.models.kinds.text import HEAD
from tsugiki.models.sidecar_files import check_encoding
from tsugiki.models.sources import ParentFiles
from tsugiki.models.vocabulary import TokenizerData, read_tokenizer

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
USED = {
    "alpha_pattern", "fan_in_fan_out", "lora_alpha", "lora_bias", "r", "rank_pattern",
    "trainable_token_indices", "use_dora", "use_rslora",
}  # fmt: skip
"""Settings that the merged weights depend on."""
NEUTRAL = {
    "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying",
    "eva_config", "exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config", "megatron_core",
    "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "revision",
    "runtime_config", "target_modules", "task_type",
}  # fmt: skip
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

    Errors are those of `files`.
    """
    missing = [file for file in (CONFIG, WEIGHTS) if file not in files.sizes]
    if missing:
        return None, [_no_adapter(name, files, missing)]
    where = f"{files.where}, {CONFIG}"
    try:
        settings = json.loads(files.read(CONFIG))
        faults = list(_refused(name, where, settings))
    except (ValueError, AttributeError, TypeError) as error:
        unread = Fault(
            f"the settings of adapter `{name}` cannot be read",
            where,
            expected="a JSON object, as peft writes it",
            got=str(error),
            fix="fetch or save the adapter again",
        )
        return None, [unread]
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
    fix = "merge it with peft's merge_and_unload(), and name the result"
    if (kind := settings.get("peft_type")) != "LORA":
        yield Fault(
            f"`{name}` is an adapter that cannot be merged",
            where,
            expected="peft_type LORA",
            got=f"peft_type {kind}",
            fix=fix,
        )
        return
    unknown = sorted(key for key in settings.keys() - USED - NEUTRAL if settings[key])
    start = settings.get("init_lora_weights")
    if not isinstance(start, bool | str | None) or start not in STARTS:
        unknown.append(f"init_lora_weights: {start} (it changes the base's weights)")
    if unknown or not settings.get("lora_alpha"):
        yield Fault(
            f"adapter `{name}` uses what tsugiki does not merge",
            where,
            expected="LoRA with rank-stabilised scaling, DoRA, patterns of ranks and alphas, "
            "whole modules, embeddings and rows of tokens at most",
            got=", ".join(unknown) or "no lora_alpha",
            fix=fix,
        )


def _pattern(settings: Mapping[str, Any], key: str, module: str, default: Any) -> Any:
    """The value of the first pattern that a module's name ends with, as peft matches them."""
    for pattern, value in (settings.get(key) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B"
    r"|lora_magnitude_vector)(?:\.default)?(?P<bias>\.weight|\.bias)?$"
)
ROWS = re.compile(r"(?P<module>.+)\.token_adapter\.trainable_tokens_delta(?:\.default)?$")
ROOT = "base_model.model."
WRAPPED = re.compile(r"(?:\.token_adapter)?\.base_layer\.")
INNER = ("model.", "transformer.")
"""What a model with a head puts before the names of one without."""


@dataclass
class Change:
    """What an adapter does to one module's weight: W + scaling · B·A, and perhaps DoRA."""

    scaling: float
    transposed: bool
    """Whether the weight is stored as (in, out)."""
    a: str = ""
    """Name of A, (r, in), in the adapter's file."""
    b: str = ""
    """Name of B, (out, r)."""
    magnitude: str | None = None
    """Name of DoRA's magnitudes, (out,)."""


@dataclass(frozen=True)
class Rows:
    """Rows of embeddings or head that an adapter has as a whole (`trainable_token_indices`)."""

    name: str
    """Name in the adapter's file: a tensor of shape (tokens, width)."""
    tokens: tuple[int, ...]
    """The rows that they replace, in order."""


@dataclass
class AdapterChanges:
    """All that an adapter does to its base, by the names of the base's tensors."""

    low_rank: dict[str, Change] = field(default_factory=dict)
    biases: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Biases of B, with what they are multiplied with; added to the base's."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Tensors that the adapter has as a whole (`modules_to_save`)."""
    rows: dict[str, Rows] = field(default_factory=dict)
    """Tensors of which it has some rows; a head that is tied to the embeddings gets theirs, too."""
    tied_head: str | None = None
    """An output head that the adapter has as a whole, for a base that ties it to its embeddings."""
    tied_rows: Rows | None = None
    """Rows of such a head."""

    @property
    def tensors(self) -> set[str]:
        """Names of all tensors that are changed."""
        return {*self.low_rank, *self.biases, *self.replaced, *self.rows}


def find_changes(adapter: Adapter, base: ModelFacts) -> tuple[AdapterChanges, list[Fault]]:
    """What an adapter changes in its base, and what about it does not fit."""
    changes = AdapterChanges()
    homeless: list[str] = []
    for name in sorted(adapter.tensors):
        plain = WRAPPED.sub(".", name.removeprefix(ROOT))
        target: str | None
        if some := ROWS.match(plain):
            target = _take_rows(changes, name, some["module"], adapter, base)
        elif part := PART.match(plain):
            target = _take_part(changes, name, part, adapter, base)
        elif HEAD.search(plain) and base.is_tied:
            target = changes.tied_head = name
        elif (target := _find(plain, base)) is not None:
            changes.replaced[target] = name
        if target is None:
            homeless.append(name)
    return changes, list(_faults(adapter, base, changes, homeless))


def _find(name: str, base: ModelFacts) -> str | None:
    shorter = [name.removeprefix(prefix) for prefix in INNER if name.startswith(prefix)]
    names = [name, *(prefix + name for prefix in INNER), *shorter]
    return next((found for found in names if found in base.tensors), None)


def _take_rows(
    changes: AdapterChanges, name: str, module: str, adapter: Adapter, base: ModelFacts
) -> str | None:
    rows = Rows(name, adapter.tokens(module) or ())
    if HEAD.search(f"{module}.weight") and base.is_tied:
        changes.tied_rows = rows
        return name
    target = _find(f"{module}.weight", base)
    if target is not None:
        changes.rows[target] = rows
    return target


def _take_part(
    changes: AdapterChanges, name: str, match: re.Match[str], adapter: Adapter, base: ModelFacts
) -> str | None:
    module, part = match["module"], match["part"]
    bias = match["bias"] == ".bias"
    target = _find(f"{module}.{'bias' if bias else 'weight'}", base)
    if target is None:
        return None
    scaling = adapter.scaling(module)
    if bias:
        changes.biases[target] = (name, scaling)
        return target
    transposed = "embedding" in part or bool(adapter.settings.get("fan_in_fan_out"))
    change = changes.low_rank.setdefault(target, Change(scaling, transposed))
    if part.endswith("_A"):
        change.a = name
    elif part.endswith("_B"):
        change.b = name
    else:
        change.magnitude = name
    return target


def _faults(
    adapter: Adapter, base: ModelFacts, changes: AdapterChanges, homeless: list[str]
) -> Iterator[Fault]:
    if not base.whole:
        return  # what the base lacks is said of the base
    where = f"{adapter.where}, {WEIGHTS}"
    both = f"{where} and {base.where}"
    fix = f"name the parent that `{adapter.name}` was trained on as its `adapter_of`"
    if not adapter.tensors:
        yield Fault(f"adapter `{adapter.name}` has no tensors", where, fix="save it again")
    if homeless:
        yield Fault(
            f"adapter `{adapter.name}` changes tensors that `{base.name}` does not have",
            both,
            expected=f"modules of `{base.name}`",
            got=listed(homeless),
            fix=fix,
        )
    if wrong := [*_wrong_shapes(adapter, base, changes), *_wrong_rows(adapter, base, changes)]:
        yield Fault(
            f"adapter `{adapter.name}` does not fit `{base.name}`",
            both,
            expected="A of shape (r, in) and B of shape (out, r) for a weight of shape (out, in)",
            got=listed(wrong),
            fix=fix,
        )
    formats = {name: entry.dtype for name, entry in adapter.tensors.items()}
    if packed := [f"{name} ({dtype})" for name, dtype in formats.items() if dtype not in FLOATS]:
        yield Fault(
            f"adapter `{adapter.name}` is quantised",
            where,
            expected="tensors in float32, bfloat16 or float16",
            got=listed(packed),
            fix="use the adapter that it was quantised from",
        )
    yield from _tied(adapter, base, changes)


def _wrong_shapes(adapter: Adapter, base: ModelFacts, changes: AdapterChanges) -> Iterator[str]:
    tensors = adapter.tensors
    for target, change in changes.low_rank.items():
        weight = base.tensors[target].shape
        if not change.a or not change.b:
            yield f"{target}: no {'A' if not change.a else 'B'}"
            continue
        a, b = tensors[change.a].shape, tensors[change.b].shape
        rank = adapter.rank(target.removesuffix(".weight"))
        out, into = (weight[::-1] if change.transposed else weight) if len(weight) == 2 else (0, 0)
        if a != (rank, into) or b != (out, rank):
            yield f"{target}: r {rank}, A {list(a)}, B {list(b)}, weight {list(weight)}"
        elif change.magnitude and tensors[change.magnitude].shape != (out,):
            yield f"{target}: magnitudes {list(tensors[change.magnitude].shape)}, not {[out]}"
    for target, (name, _) in changes.biases.items():
        if tensors[name].shape != base.tensors[target].shape:
            yield f"{target}: {list(tensors[name].shape)}"
    rows = {base.embeddings, base.head}
    for target, name in changes.replaced.items():
        mine, theirs = tensors[name].shape, base.tensors[target].shape
        if mine != theirs and not (target in rows and mine[1:] == theirs[1:]):
            yield f"{target}: {list(mine)} instead of {list(theirs)}"


def _wrong_rows(adapter: Adapter, base: ModelFacts, changes: AdapterChanges) -> Iterator[str]:
    for target, some in changes.rows.items():
        replaced = changes.replaced.get(target)
        whole = adapter.tensors[replaced] if replaced else base.tensors[target]
        shape, tokens = adapter.tensors[some.name].shape, set(some.tokens)
        if not tokens or shape != (len(some.tokens), *whole.shape[1:]):
            yield f"{target}: {list(shape)} for rows {list(some.tokens)} of {list(whole.shape)}"
        elif len(tokens) != len(some.tokens) or not tokens <= set(range(whole.shape[0])):
            yield f"{target}: rows {list(some.tokens)} instead of each once, below {whole.shape[0]}"


def _tied(adapter: Adapter, base: ModelFacts, changes: AdapterChanges) -> Iterator[Fault]:
    """A head that is tied to the embeddings stays so, or the adapter is refused."""
    if not base.is_tied or base.embeddings is None:
        return
    trained = changes.low_rank.keys() & {base.embeddings, base.head}
    saved = tuple(adapter.settings.get("modules_to_save") or ())
    copied = base.embeddings.removesuffix(".weight").endswith(saved) or "lm_head".endswith(saved)
    both = base.embeddings in changes.replaced and changes.tied_head is not None
    head_alone = changes.tied_head is not None and not both
    rows, theirs = changes.rows.get(base.embeddings), changes.tied_rows
    head_alone |= theirs is not None and (rows is None or rows.tokens != theirs.tokens)
    if trained or head_alone or (copied and not both):
        yield Fault(
            f"adapter `{adapter.name}` trained embeddings or head apart from each other, "
            f"which `{base.name}` ties",
            adapter.where,
            expected="embeddings and output head that are still one",
            fix="untie the base first (tie_word_embeddings: false, with the head stored), or "
            "merge the adapter with peft",
        )
