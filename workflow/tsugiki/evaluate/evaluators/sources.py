"""Where an lm-eval objective's documents come from: a task, or the tasks of a group one after another.

A task's documents are those that it is tested on and, where the search has documents of its own, those that it
is trained on after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Pool:
    """The documents of a task."""

    task: Any
    with_training: bool
    """Whether the search has those of the training split."""

    @property
    def parts(self) -> list[Any]:
        """Lists of documents, which may have to be computed or decoded one by one."""
        return [self.task.eval_docs, *([self.task.training_docs()] if self.with_training else [])]

    @cached_property
    def tested(self) -> int:
        """Documents that it is tested on, which come first."""
        return len(self.task.eval_docs)

    @cached_property
    def size(self) -> int:
        """All documents."""
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Any]:
        for part in self.parts:
            yield from part

    def chosen(self, places: Sequence[int]) -> list[Any]:
        """Documents at some places; no other one is read."""
        parts = self.parts
        if len(parts) == 1:
            return [parts[0][place] for place in places]
        first = len(parts[0])
        return [parts[place >= first][place - first * (place >= first)] for place in places]


@dataclass(frozen=True)
class Source:
    """What an objective names as its `task`."""

    pools: Mapping[str, Pool]
    """By task, in order; one, of the source's own name, if it is no group."""

    @cached_property
    def _starts(self) -> list[int]:
        """Place of the first document of each task."""
        if len(self.pools) == 1:  # nothing to count
            return [0]
        return [0, *accumulate(pool.size for pool in self.pools.values())][:-1]

    def documents(self) -> Iterator[Any]:
        """All documents, in order."""
        for pool in self.pools.values():
            yield from pool

    def by_task(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        """The task of each document, and its place among that one's documents."""
        found = []
        names, starts = list(self.pools), self._starts
        for one in ids:
            number = max(place for place, start in enumerate(starts) if start <= one)
            found.append((names[number], one - starts[number]))
        return found

    def first_of_each(self, ids: Sequence[int]) -> list[int]:
        """The first document of each task among some."""
        first: dict[str, int] = {}
        for one, (name, _) in zip(ids, self.by_task(ids), strict=True):
            first.setdefault(name, one)
        return list(first.values())

    @property
    def for_search(self) -> set[int]:
        """Places of the documents that are for the search alone; empty where it has none of its own."""
        return {
            start + place
            for start, pool in zip(self._starts, self.pools.values(), strict=True)
            if pool.with_training
            for place in range(pool.tested, pool.size)
        }
