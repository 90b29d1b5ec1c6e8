"""Documents that two tasks share in different words, and that were put into different sets.

Documents of equal content, or with equal keys, are in the same set by construction. Here those are found that
only seem to be the same: variants of one data set, with another prompt or column, and translations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tsugiki.contracts.document_sets import SPLITS, DocumentSets, Split
from tsugiki.errors import ConfigError

FEW = 0.05
"""Share of the smaller task's documents up to which equal texts may be chance: told, and no fault."""
LONG = 16
"""Characters from which a text in one word, such as a hash, tells a document apart; `q17` does not."""

Places = list[tuple[int, int]]
"""Of the same documents in two tasks."""


@dataclass(frozen=True)
class SourceFacts:
    """What tells whether the documents of a source (a task, or a file of documents) are another's."""

    count: int
    """How many there are."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column that holds text, that of each document."""
    family: str | None = None
    """The data set that they are of, whichever part or language; None if that is not known."""
    data: str | None = None
    """Data set, part and split; None if that is not known."""


def texts_of(documents: Any) -> dict[str, list[str]]:
    """The columns of documents that hold text.

    Args:
        documents: A sequence of mappings; of a `datasets.Dataset`, no other columns are read.
    """
    if not len(documents):
        return {}
    columns = [name for name, value in documents[0].items() if isinstance(value, str)]
    if hasattr(documents, "select_columns"):
        documents = documents.select_columns(columns)
    return {name: [str(one.get(name, "")) for one in documents] for name in columns}


@dataclass(frozen=True)
class Crossing:
    """Two tasks with the same documents in different sets."""

    tasks: tuple[str, str]
    column: str | None
    """The column whose texts are the same; None if the documents are known by their places."""
    same: int
    """How many documents they share, as far as it shows."""
    counts: Mapping[tuple[str, Split, str, Split], int]
    """How many documents of one task's set (task, set) are in another set of the other (task, set)."""
    sizes: Mapping[tuple[str, Split], int]
    sure: bool
    """Whether it is no chance, no guess, and not what the configuration says."""

    @property
    def keys(self) -> str:
        """The setting `document_keys` that would put them into the same sets."""
        column = '"#"' if self.column is None else self.column
        return f"{{{', '.join(f'{task}: {column}' for task in self.tasks)}}}"

    def __str__(self) -> str:
        how = "by their places in the data set"
        if self.column is not None:
            how = f"by their text in the column {self.column!r}"
        numbers = "; ".join(
            f"{count} of the {self.sizes[task, split]} {split} documents of {task} are in the "
            f"{other} set of {of}"
            for (task, split, of, other), count in self.counts.items()
        )
        return f"{' and '.join(self.tasks)} share {self.same} documents, {how}: {numbers}"


def crossings(
    sets: DocumentSets, facts: Mapping[str, SourceFacts], keyed: Sequence[str] | frozenset[str] = ()
) -> Iterator[Crossing]:
    """Pairs of tasks that seem to have the same documents in different sets.

    Args:
        sets: The division.
        facts: By task; those without any are passed over.
        keyed: Tasks whose documents the configuration names a key of.
    """
    split_of = {
        task: {one.id: split for split in SPLITS for one in getattr(of_task, split)}
        for task, of_task in sets.tasks.items()
    }
    for pair in combinations(sorted(facts.keys() & split_of.keys()), 2):
        first, second = pair
        told = first in keyed and second in keyed
        column, places, sure = _same(facts[first], facts[second], by_place=not told)
        counts: Counter[tuple[str, Split, str, Split]] = Counter()
        for one, other in places:
            ours, theirs = split_of[first].get(one), split_of[second].get(other)
            if ours is None or theirs is None or ours == theirs:
                continue
            # named from the set that chooses earlier
            if SPLITS.index(ours) < SPLITS.index(theirs):
                counts[first, ours, second, theirs] += 1
            else:
                counts[second, theirs, first, ours] += 1
        if counts:
            sizes: dict[tuple[str, Split], int] = {
                (task, split): list(split_of[task].values()).count(split)
                for task in pair
                for split in SPLITS
            }
            ordered = dict(sorted(counts.items(), key=lambda item: (item[0][3] != "test", item[0])))
            yield Crossing(pair, column, len(places), ordered, sizes, sure and not told)


def overlap_faults(found: Sequence[Crossing]) -> Iterator[ConfigError]:
    """The fault that some pairs of tasks are not held apart, if there are any."""
    if sure := [one for one in found if one.sure]:
        yield ConfigError(
            "tasks have the same documents in different sets, so that scores on the test documents "
            "would not be held out",
            where="evaluation.document_keys",
            expected="the same document in the same set of every task",
            got="".join(f"\n    - {one}" for one in sure),
            fix="say which document is which: `document_keys: " + " … ".join(_keys(sure)) + "`",
        )


def overlap_notes(found: Sequence[Crossing]) -> Iterator[str]:
    """What may be the same documents, a line for each pair of tasks."""
    for one in found:
        if not one.sure:
            yield (
                f"{one}. If they are the same ones (in another language, for instance), say so: "
                f"`document_keys: {one.keys}`"
            )


def _keys(found: Sequence[Crossing]) -> list[str]:
    return list(dict.fromkeys(one.keys for one in found))


def _same(
    first: SourceFacts, second: SourceFacts, *, by_place: bool
) -> tuple[str | None, Places, bool]:
    """The column and the places of the documents that two sources share, and whether that is sure."""
    by_text = [
        (column, _equal_texts(first.texts[column], second.texts[column]))
        for column in first.texts
        if column in second.texts
    ]
    column, places = max(by_text, key=lambda one: len(one[1]), default=(None, []))
    if places:
        return column, places, len(places) > FEW * min(first.count, second.count)
    alike = first.family == second.family and first.count == second.count
    if by_place and alike and first.family is not None:
        return None, [(place, place) for place in range(first.count)], first.data == second.data
    return None, [], False


def _equal_texts(first: Sequence[str], second: Sequence[str]) -> Places:
    """Places of texts that are in both, and in each only once."""
    ours, theirs = _once(first), _once(second)
    return [(place, theirs[text]) for text, place in ours.items() if text in theirs]


def _once(texts: Sequence[str]) -> dict[str, int]:
    plain = [" ".join(text.split()) for text in texts]
    counts = Counter(plain)
    return {
        text: place
        for place, text in enumerate(plain)
        if counts[text] == 1 and (" " in text or len(text) >= LONG or not text.isascii())
    }
