"""What models are compared on: each objective by itself, and the weighted sum of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow.compute as pc

from tsugiki.config.evaluation import Objective
from tsugiki.errors import LineageError
from tsugiki.evaluate.aggregation import Aggregation, read_part
from tsugiki.evaluate.statistics import (
    CONFIDENCE,
    CORPUS_RESAMPLES,
    SELECTION_RESAMPLES,
    Floats,
    Interval,
    Places,
    Statistic,
    bootstrap_interval,
    paired_test,
    permutation_test,
    resampled_interval,
    resampled_selection_bias,
    score_interval,
    selection_bias,
)
from tsugiki.keyed import generator

WEIGHTED = "weighted sum"
"""Name of that measure; no objective can have it."""
PIECE = 100
"""Resamples of a weighted sum that are held in memory at once."""


@dataclass(frozen=True)
class ItemScores:
    """A model's scores on one objective, in the order of the documents."""

    documents: tuple[int, ...]
    hashes: tuple[str, ...]
    values: Floats
    """NaN for documents that contribute other than a number."""
    parts: tuple[Any, ...]
    """What each document contributes to an aggregation: its value, where that is all."""


Model = Mapping[str, ItemScores]
"""A model's scores by objective and monitor."""


def item_scores(table: Any, objective: str, *, where: str = "items.parquet") -> ItemScores:
    """Select one objective from a table of items.

    Args:
        table: A `pyarrow.Table` with the columns of items.parquet.
        objective: Name of the objective or monitor.
        where: Names the table in the error.

    Raises:
        LineageError: the table holds no item of the objective, or a document twice.
    """
    chosen = table.filter(pc.equal(table["objective"], objective)).sort_by("doc_id")
    documents = tuple(chosen["doc_id"].to_pylist())
    if not documents or len(set(documents)) != len(documents):
        raise LineageError(
            f"the items do not cover `{objective}`",
            where=where,
            expected="one row for every document",
            got=f"{len(documents)} rows for {len(set(documents))} documents",
        )
    values = np.asarray(chosen["value"].to_numpy(), dtype=np.float64)
    return ItemScores(documents, tuple(chosen["doc_hash"].to_pylist()), values, parts_of(chosen))


def parts_of(table: Any) -> tuple[Any, ...]:
    """What each row of a table of items contributes to an aggregation."""
    values = table["value"].to_pylist()
    if "part" not in table.column_names:
        return tuple(values)
    parts = table["part"].to_pylist()
    return tuple(
        value if part is None else read_part(part)
        for value, part in zip(values, parts, strict=True)
    )


class Measure(Protocol):
    """A number for each model, and how sure it is."""

    @property
    def name(self) -> str:
        """Of the objective, or `WEIGHTED`."""
        ...

    @property
    def sign(self) -> float:
        """1 if larger is better, -1 if smaller is."""
        ...

    def of(self, values: Mapping[str, float]) -> float | None:
        """From values of the objectives, by name; None if one is missing."""
        ...

    def by_document(self, model: Model) -> Floats:
        """What each document alone comes to, shape (documents,)."""
        ...

    def interval(self, model: Model) -> Interval:
        """A model's score."""
        ...

    def difference(self, ours: Model, theirs: Model) -> Interval:
        """The first model's score minus the other's, on the same documents."""
        ...

    def p(self, ours: Model, theirs: Model) -> float:
        """Two-sided p-value that two models score alike."""
        ...

    def selection_bias(self, models: Sequence[Model]) -> float:
        """By how much the best of many is expected to look better than it is; see `statistics`."""
        ...


@dataclass(frozen=True)
class OfObjective:
    """One objective, by itself."""

    objective: Objective
    aggregation: Aggregation | None
    """None for the mean over documents."""
    seed: int

    @property
    def name(self) -> str:
        """The objective's."""
        return self.objective.name

    @property
    def sign(self) -> float:
        """The objective's."""
        return self.objective.sign

    def of(self, values: Mapping[str, float]) -> float | None:
        """The objective's value."""
        return values.get(self.name)

    def by_document(self, model: Model) -> Floats:
        """Values of documents; of an aggregation, that of each document alone."""
        scores = model[self.name]
        if self.aggregation is None:
            return scores.values
        places = np.arange(len(scores.parts))[:, np.newaxis]
        return self.aggregation.statistic(scores.parts)(places)

    def value(self, model: Model) -> float:
        """The score over all documents."""
        scores = model[self.name]
        if self.aggregation is None:
            return float(scores.values.mean())
        return self.aggregation(scores.parts)

    def statistic(self, *models: Model) -> Statistic:
        """The score over samples of documents; the places of a second model follow the first one's."""
        if self.aggregation is not None:
            return self.aggregation.statistic(
                tuple(part for model in models for part in model[self.name].parts)
            )
        values = np.concatenate([model[self.name].values for model in models])
        return lambda places: np.asarray(values[places].mean(axis=1))

    def interval(self, model: Model) -> Interval:
        """Wilson's or by bootstrap."""
        key = (self.seed, self.name)
        if self.aggregation is None:
            return score_interval(model[self.name].values, key)
        size = len(model[self.name].parts)
        return resampled_interval(self.value(model), self.statistic(model), size, key)

    def difference(self, ours: Model, theirs: Model) -> Interval:
        """By paired bootstrap."""
        key, first, second = (
            (self.seed, "difference", self.name),
            ours[self.name],
            theirs[self.name],
        )
        if self.aggregation is None:
            return bootstrap_interval(first.values - second.values, key)
        pool, size = self.statistic(ours, theirs), len(first.parts)
        value = self.value(ours) - self.value(theirs)
        return resampled_interval(
            value, lambda places: pool(places) - pool(places + size), size, key
        )

    def p(self, ours: Model, theirs: Model) -> float:
        """Of the paired test of means, or of a permutation test."""
        key, first, second = (self.seed, self.name), ours[self.name], theirs[self.name]
        if self.aggregation is None:
            return paired_test(first.values, second.values, key)
        return permutation_test(self.statistic(ours, theirs), len(first.parts), key)

    def selection_bias(self, models: Sequence[Model]) -> float:
        """By bootstrap over the documents that all share."""
        key = (self.seed, self.name)
        if self.aggregation is None:
            values = np.stack([model[self.name].values for model in models])
            return selection_bias(self.sign * values, key)
        size = len(models[0][self.name].parts)
        statistics = [self.statistic(model) for model in models]
        return resampled_selection_bias(statistics, size, self.sign, key)


Samples = Sequence[Places]
"""Places of documents, shape (samples, documents), for each set of documents."""


@dataclass(frozen=True)
class WeightedSum:
    """The sum of all objectives by their weights, costs subtracted: larger is better.

    Objectives of the same documents are resampled together, those of others independently. Intervals
    are percentile intervals of the bootstrap, p-values of permutation tests, as in `statistics`.
    """

    objectives: tuple[OfObjective, ...]
    seed: int
    name: str = WEIGHTED
    sign: float = 1.0

    def _sum(self, values: Sequence[Any]) -> Any:
        return sum(
            one.sign * one.objective.weight * value
            for one, value in zip(self.objectives, values, strict=True)
        )

    def of(self, values: Mapping[str, float]) -> float | None:
        """The weighted sum."""
        if any(one.name not in values for one in self.objectives):
            return None
        return float(self._sum([values[one.name] for one in self.objectives]))

    def by_document(self, model: Model) -> Floats:
        """What each document adds to all objectives that are scored on it."""
        sums: dict[object, Floats] = {}
        for one in self.objectives:
            documents = (model[one.name].documents, model[one.name].hashes)
            added = one.sign * one.objective.weight * one.by_document(model)
            sums[documents] = sums[documents] + added if documents in sums else added
        return np.concatenate(list(sums.values()))

    def _value(self, model: Model) -> float:
        return float(self._sum([one.value(model) for one in self.objectives]))

    def _statistic(self, *models: Model) -> tuple[list[int], Callable[[Samples], Floats]]:
        """Sizes of the sets of documents, and the weighted sum over samples of each of them."""
        sets: dict[tuple[tuple[int, ...], tuple[str, ...]], int] = {}
        scores = [models[0][one.name] for one in self.objectives]
        of_set = [sets.setdefault((one.documents, one.hashes), len(sets)) for one in scores]
        statistics = [one.statistic(*models) for one in self.objectives]

        def values(samples: Samples) -> Floats:
            found = [one(samples[place]) for one, place in zip(statistics, of_set, strict=True)]
            return np.asarray(self._sum(found))

        return [len(documents) for documents, _ in sets], values

    def _resampled(
        self, value: float, sizes: Sequence[int], values: Callable[[Samples], Floats], use: str
    ) -> Interval:
        random = generator("bootstrap", self.seed, use, self.name)
        drawn = np.concatenate(
            [values(_places(random, sizes, PIECE)) for _ in range(CORPUS_RESAMPLES // PIECE)]
        )
        known = drawn[np.isfinite(drawn)]
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(known, (tail, 1 - tail)) if known.size else (value, value)
        return Interval(value=value, low=float(low), high=float(high), items=sum(sizes))

    def interval(self, model: Model) -> Interval:
        """By bootstrap."""
        sizes, values = self._statistic(model)
        return self._resampled(self._value(model), sizes, values, "score")

    def difference(self, ours: Model, theirs: Model) -> Interval:
        """By paired bootstrap."""
        sizes, pool = self._statistic(ours, theirs)

        def values(samples: Samples) -> Floats:
            others = [places + size for places, size in zip(samples, sizes, strict=True)]
            return pool(samples) - pool(others)

        value = self._value(ours) - self._value(theirs)
        return self._resampled(value, sizes, values, "difference")

    def p(self, ours: Model, theirs: Model) -> float:
        """Of a permutation test: it is chance which of the two gave which answers to a document."""
        sizes, pool = self._statistic(ours, theirs)
        random = generator("permutation", self.seed, self.name)

        def difference(swapped: Samples) -> Floats:
            """Absolute, where the documents that are 1 in `swapped` have changed sides."""
            first = [np.arange(n) + one * n for n, one in zip(sizes, swapped, strict=True)]
            second = [np.arange(n) + (1 - one) * n for n, one in zip(sizes, swapped, strict=True)]
            return np.asarray(np.abs(pool(first) - pool(second)))

        observed = difference([np.zeros((1, n), dtype=np.int64) for n in sizes])[0]
        reached = 1
        for _ in range(CORPUS_RESAMPLES // PIECE):
            found = difference([random.integers(2, size=(PIECE, n)) for n in sizes])
            reached += int((~(found < observed * (1 - 1e-12))).sum())
        return reached / (1 + CORPUS_RESAMPLES)

    def selection_bias(self, models: Sequence[Model]) -> float:
        """By bootstrap over the documents that all share."""
        found = [self._statistic(model) for model in models]
        sizes = found[0][0]
        random = generator("selection-bias", self.seed, self.name)
        samples = _places(random, sizes, SELECTION_RESAMPLES)
        scores = np.array([self._value(model) for model in models])
        resampled = np.stack([values(samples) for _, values in found], axis=1)
        resampled = np.where(np.isfinite(resampled), resampled, scores)
        best = resampled.argmax(axis=1)
        return float((resampled[np.arange(len(best)), best] - scores[best]).mean())


def _places(random: np.random.Generator, sizes: Sequence[int], count: int) -> list[Places]:
    return [random.integers(size, size=(count, size)) for size in sizes]
