"""Which tensors of its base an adapter changes, from names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed
from tsugiki.models.headers import FLOATS
from tsugiki.models.kinds.text import HEAD
from tsugiki.parents.prepare.adapter import WEIGHTS, Adapter

PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B"
    r"|lora_magnitude_vector)(?:\.default)?(?P<bias>\.weight|\.bias)?$"
)
ROWS = re.compile(r"(?P<module>.+)\.token_adapter\.trainable_tokens_delta(?:\.default)?$")
ROOT = "base_model.model."
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
class Changes:
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


def find_changes(adapter: Adapter, base: ModelFacts) -> tuple[Changes, list[Fault]]:
    """What an adapter changes in its base, and what about it does not fit."""
    changes = Changes()
    homeless: list[str] = []
    for name in sorted(adapter.tensors):
        plain = name.removeprefix(ROOT).replace(".token_adapter.base_layer.", ".")
        plain = plain.replace(".base_layer.", ".")
        match = PART.match(plain)
        target: str | None
        if (some := ROWS.match(plain)) is not None:
            target = _take_rows(changes, name, some["module"], adapter, base)
        elif match is None and HEAD.search(plain) and base.is_tied:
            target = changes.tied_head = name
        elif match is None:
            target = _find(plain, base)
            if target is not None:
                changes.replaced[target] = name
        else:
            target = _place(changes, name, match, adapter, base)
        if target is None:
            homeless.append(name)
    faults = list(_faults(adapter, base, changes, homeless))
    return changes, faults


def _find(name: str, base: ModelFacts) -> str | None:
    shorter = [name.removeprefix(prefix) for prefix in INNER if name.startswith(prefix)]
    names = [name, *(prefix + name for prefix in INNER), *shorter]
    return next((found for found in names if found in base.tensors), None)


def _take_rows(
    changes: Changes, name: str, module: str, adapter: Adapter, base: ModelFacts
) -> str | None:
    rows = Rows(name, adapter.tokens(module) or ())
    if HEAD.search(f"{module}.weight") and base.is_tied:
        changes.tied_rows = rows
        return name
    target = _find(f"{module}.weight", base)
    if target is not None:
        changes.rows[target] = rows
    return target


def _place(
    changes: Changes, name: str, match: re.Match[str], adapter: Adapter, base: ModelFacts
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
    adapter: Adapter, base: ModelFacts, changes: Changes, homeless: list[str]
) -> Iterator[Fault]:
    if not base.whole:
        return  # what the base lacks is said of the base
    where = f"{adapter.where}, {WEIGHTS}"
    fix = f"name the parent that `{adapter.name}` was trained on as its `adapter_of`"
    if not adapter.tensors:
        yield Fault(f"adapter `{adapter.name}` has no tensors", where, fix="save it again")
    if homeless:
        yield Fault(
            f"adapter `{adapter.name}` changes tensors that `{base.name}` does not have",
            f"{where} and {base.where}",
            expected=f"modules of `{base.name}`",
            got=listed(homeless),
            fix=fix,
        )
    wrong = [*_wrong_shapes(adapter, base, changes), *_wrong_rows(adapter, base, changes)]
    if wrong:
        yield Fault(
            f"adapter `{adapter.name}` does not fit `{base.name}`",
            f"{where} and {base.where}",
            expected="A of shape (r, in) and B of shape (out, r) for a weight of shape (out, in)",
            got=listed(wrong),
            fix=fix,
        )
    packed = [f"{name} ({entry.dtype})" for name, entry in adapter.tensors.items()]
    packed = [text for text in packed if text.rpartition("(")[2][:-1] not in FLOATS]
    if packed:
        yield Fault(
            f"adapter `{adapter.name}` is quantised",
            where,
            expected="tensors in float32, bfloat16 or float16",
            got=listed(packed),
            fix="use the adapter that it was quantised from",
        )
    yield from _tied(adapter, base, changes)


def _wrong_shapes(adapter: Adapter, base: ModelFacts, changes: Changes) -> Iterator[str]:
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


def _wrong_rows(adapter: Adapter, base: ModelFacts, changes: Changes) -> Iterator[str]:
    for target, some in changes.rows.items():
        replaced = changes.replaced.get(target)
        whole = adapter.tensors[replaced] if replaced else base.tensors[target]
        shape, tokens = adapter.tensors[some.name].shape, set(some.tokens)
        if not tokens or shape != (len(some.tokens), *whole.shape[1:]):
            yield f"{target}: {list(shape)} for rows {list(some.tokens)} of {list(whole.shape)}"
        elif len(tokens) != len(some.tokens) or not tokens <= set(range(whole.shape[0])):
            yield f"{target}: rows {list(some.tokens)} instead of each once, below {whole.shape[0]}"


def _tied(adapter: Adapter, base: ModelFacts, changes: Changes) -> Iterator[Fault]:
    """A head that is tied to the embeddings stays so, or the adapter is refused."""
    if not base.is_tied or base.embeddings is None:
        return
    trained = [name for name in changes.low_rank if name in {base.embeddings, base.head}]
    saved = adapter.settings.get("modules_to_save") or []
    copied = [name for name in (base.embeddings, "lm_head") if _listed(name, saved)]
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


def _listed(tensor: str, modules: list[str]) -> bool:
    return any(tensor.removesuffix(".weight").endswith(module) for module in modules)
