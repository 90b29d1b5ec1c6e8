"""Names and shapes of tensors, compared between the models of a merge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tsugiki.models.checks.numbers import NUMBER, check_numbers
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed

Shapes = Mapping[str, tuple[int, ...]]


def check_shapes(reference: ModelFacts, other: ModelFacts) -> Iterator[Fault]:
    """Both models have the same tensors, with the same shapes. All differences are reported.

    Different numbers of embedding rows are a fault of their own: rows belong to tokens.
    """
    if not (_readable(reference) and _readable(other)):
        return
    mine, theirs = _shapes(reference), _shapes(other)
    if prefix := _prefix(mine, theirs):
        yield _prefixed(reference, other, prefix)
        return
    yield from _rows(reference, other, mine, theirs)
    kind = reference.kind
    rows = {
        name for name in mine.keys() | theirs.keys() if kind.use(name) in {"embeddings", "head"}
    }
    different = [
        name
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name)
        and not (name in rows and _only_rows(mine.get(name), theirs.get(name)))
    ]
    if different:
        yield Fault(
            f"`{reference.name}` and `{other.name}` do not have the same tensors",
            f"{reference.where} and {other.where}",
            expected=f"the names and shapes of `{reference.name}`",
            got="; ".join(_grouped(different, mine, theirs)),
            fix="merge models that were fine-tuned from the same base",
        )


def _readable(model: ModelFacts) -> bool:
    return model.whole and not any(check_numbers(model))


def _shapes(model: ModelFacts) -> Shapes:
    return {name: tensor.shape for name, tensor in model.planned.items()}


def _rows(
    reference: ModelFacts, other: ModelFacts, mine: Shapes, theirs: Shapes
) -> Iterator[Fault]:
    common = mine.keys() & theirs.keys()
    name = next((name for name in common if reference.kind.use(name) == "embeddings"), None)
    if name is None or mine[name][0] == theirs[name][0]:
        return
    yield Fault(
        f"`{reference.name}` and `{other.name}` have different numbers of embedding rows",
        f"{reference.where} and {other.where}, {name}",
        expected=f"one number of rows; `{reference.name}` has {mine[name][0]}",
        got=f"`{other.name}` has {theirs[name][0]}{_extra_tokens(reference, other)}",
        fix=f"give the models one vocabulary, whose rows are matched by token, never by index: "
        f"vocabulary: {{kind: union, of: {reference.name}}} in a run's configuration (see docs/parents.md)",
    )


def _extra_tokens(reference: ModelFacts, other: ModelFacts) -> str:
    mine, theirs = reference.vocabulary or {}, other.vocabulary or {}
    parts = [
        f"only `{model.name}` has {listed([repr(token) for token in sorted(tokens)])}"
        for model, tokens in (
            (reference, mine.keys() - theirs.keys()),
            (other, theirs.keys() - mine.keys()),
        )
        if tokens
    ]
    return "; " + "; ".join(parts) if parts and mine and theirs else ""


def _only_rows(mine: tuple[int, ...] | None, theirs: tuple[int, ...] | None) -> bool:
    return mine is not None and theirs is not None and mine[1:] == theirs[1:]


def _grouped(names: list[str], mine: Shapes, theirs: Shapes) -> list[str]:
    """One entry for all blocks that differ in the same way."""
    counts: dict[str, int] = {}
    for name in names:
        shapes = f"{_text(mine.get(name))} / {_text(theirs.get(name))}"
        entry = f"{NUMBER.sub('*', name)}: {shapes}"
        counts[entry] = counts.get(entry, 0) + 1
    return [
        entry if count == 1 else f"{entry} ({count} of them)" for entry, count in counts.items()
    ]


def _text(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def _prefix(mine: Shapes, theirs: Shapes) -> str | None:
    """The prefix under which one model holds all tensors of the other, if there is one."""
    small, large = sorted((mine, theirs), key=len)
    if small.keys() & large.keys():
        return None
    first = min(small, default="")
    for name in large:
        prefix = name.removesuffix(first)
        if prefix not in {"", name} and all(prefix + other in large for other in small):
            return prefix
    return None


def _prefixed(reference: ModelFacts, other: ModelFacts, prefix: str) -> Fault:
    has, lacks = (
        (reference, other)
        if any(name.startswith(prefix) for name in reference.merged)
        else (other, reference)
    )
    rest = len(has.merged) - len(lacks.merged)
    start = re.escape(prefix)
    others = f" and '(?!{start}).+': null" if rest else ""
    return Fault(
        f"`{has.name}` holds the tensors of `{lacks.name}` under the prefix `{prefix}`",
        f"{has.where} and {lacks.where}",
        expected="the same names in both",
        got=f"{prefix}… in `{has.name}`, besides {rest} tensors that `{lacks.name}` lacks",
        fix=f"if these are the same, add `names` to parent `{has.name}`: "
        f"'{start}(.+)': '\\1'{others}",
    )
