"""Vocabularies, compared by token."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.parents.fault import Fault, listed
from tsugiki.parents.model import Model
from tsugiki.parents.vocabulary import Vocabulary


def check_tokenizers(reference: Model, other: Model) -> Iterator[Fault]:
    """No token has two ids, and no id two tokens; else rows of different tokens would be mixed."""
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
            f"vocabulary: {{kind: union, of: {reference.name}}} (see docs/parents.md)",
        )


def note_tokenizers(reference: Model, other: Model) -> Iterator[str]:
    """Say which tokens only one model has, and where vocabularies could not be compared."""
    mine, theirs = reference.vocabulary, other.vocabulary
    for model in (reference, other):
        if model.vocabulary is None and "tokenizer.model" in model.sizes:
            yield f"{model.name}: only tokenizer.model, which is not compared with the others"
    if mine is None or theirs is None:
        return
    for model, tokens in (
        (reference, mine.keys() - theirs.keys()),
        (other, theirs.keys() - mine.keys()),
    ):
        if tokens:
            yield f"only {model.name} has {listed([repr(token) for token in sorted(tokens)])}"


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
