"""Vocabularies, compared by token."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.parents.fault import Fault, listed
from tsugiki.parents.model import Model
from tsugiki.parents.vocabulary import Vocabulary


def check_tokenizers(reference: Model, other: Model) -> Iterator[Fault]:
    """No row is that of a token in one model, and of another token, or of none, in the other.

    Else rows of different tokens would be mixed, or a token's row with padding.
    """
    mine, theirs = reference.vocabulary, other.vocabulary
    if mine is None or theirs is None or mine == theirs:
        return
    if conflicts := _conflicts(mine, theirs):
        yield Fault(
            f"the tokenizers of `{reference.name}` and `{other.name}` contradict each other",
            f"{reference.where} and {other.where}",
            expected="the same id for a token in both",
            got=f"{len(conflicts)} differences: {listed(conflicts)} "
            f"(`{reference.name}` / `{other.name}`)",
            fix="give the models one vocabulary, whose rows are matched by token: "
            f"vocabulary: {{kind: union, of: {reference.name}}} in a run's configuration (see docs/parents.md)",
        )
    else:
        for has, lacks in ((reference, other), (other, reference)):
            yield from _tokens_in_padding(has, lacks)


def _tokens_in_padding(has: Model, lacks: Model) -> Iterator[Fault]:
    """Tokens of one model whose rows stand for no token in the other, which has these rows."""
    mine, theirs = has.vocabulary or {}, lacks.vocabulary or {}
    lacking = sorted(mine.keys() - theirs.keys(), key=lambda token: mine[token])
    found = [token for token in lacking if not has.rows or mine[token] < has.rows]
    if not found or has.rows != lacks.rows:  # other rows, and tokens beyond them, are other faults
        return
    owner = lacks if all(token in has.added for token in found) else has
    yield Fault(
        f"`{has.name}` has tokens whose rows are padding in `{lacks.name}`",
        f"{has.where} and {lacks.where}",
        expected="the same tokens in both; else their rows would be mixed with padding",
        got=f"only `{has.name}` has {listed([repr(token) for token in found])}",
        fix="give the models one vocabulary, in which these rows are taken whole: "
        f"vocabulary: {{kind: union, of: {owner.name}}} in a run's configuration (see docs/parents.md)",
    )


def note_tokenizers(reference: Model, other: Model) -> Iterator[str]:
    """Say where vocabularies could not be compared."""
    for model in (reference, other):
        if model.vocabulary is None and "tokenizer.model" in model.sizes:
            yield f"{model.name}: only tokenizer.model, which is not compared with the others"


def _conflicts(mine: Vocabulary, theirs: Vocabulary) -> list[str]:
    found = [
        f"{token!r} is {mine[token]} / {theirs[token]}"
        for token in sorted(mine.keys() & theirs.keys())
        if mine[token] != theirs[token]
    ]
    by_id = {index: token for token, index in theirs.items() if token not in mine}
    found += [
        f"{index} is {token!r} / {by_id[index]!r}"
        for token, index in sorted(mine.items(), key=lambda item: item[1])
        if token not in theirs and index in by_id
    ]
    return found
