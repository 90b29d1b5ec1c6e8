"""What models are compared on: each objective by itself, and the weighted sum of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tsugiki.config.evaluation import Evaluation, Objective
from tsugiki.errors import LineageError
from tsugiki.evaluate.aggregation import Aggregation, read_part
from tsugiki.evaluate.selection_bias import (
    FEWEST,
    bootstrapped_selection_bias,
    bootstrapped_selection_bias_of,
    resampled_selection_bias,
    selection_bias,
)
from tsugiki.evaluate.statistics import (
    Floats,
    Interval,
    Key,
    Places,
    Statistic,
    bootstrap_interval,
    paired_test,
    permutation_test,
    resampled_interval,
    score_interval,
)

WEIGHTED = "weighted sum"
"""Name of that measure; no objective can have it."""


@dataclass(frozen=True)
class SampleScores:
    """A model's scores on one objective, in the order of the documents."""

    documents: tuple[int, ...]
    hashes: tuple[str, ...]
    values: Floats
    """NaN for documents that contribute other than a number."""
    parts: tuple[Any, ...]
    """What each document contributes to an aggregation: its value, where that is all."""

    @property
    def identity(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Equal for scores on the same documents."""
        return self.documents, self.hashes


Model = Mapping[str, SampleScores]
"""A model's scores by objective and monitor."""


def sample_scores(table: Any, objective: str, *, where: str = "items.parquet") -> SampleScores:
    """Select one objective from a table of items.

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
    return SampleScores(documents, tuple(chosen["doc_hash"].to_pylist()), values, parts_of(chosen))


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


@dataclass(frozen=True)
class Term:
    """One objective in a measure."""

    objective: str
    aggregation: Aggregation | None
    """None for the mean over documents."""
    weight: float = 1.0
    """What a unit of it adds to the measure."""

    def by_document(self, model: Model) -> Floats:
        """Values of documents; of an aggregation, that of each document alone."""
        scores = model[self.objective]
        if self.aggregation is None:
            return scores.values
        places = np.arange(len(scores.parts))[:, np.newaxis]
        return self.aggregation.statistic(scores.parts)(places)

    def value(self, model: Model) -> float:
        """The objective over all documents."""
        scores = model[self.objective]
        if self.aggregation is None:
            return float(scores.values.mean())
        return self.aggregation(scores.parts)

    def statistic(self, models: Sequence[Model]) -> Statistic:
        """The objective over samples of documents; those of a second model follow the first one's."""
        if self.aggregation is not None:
            return self.aggregation.statistic(
                tuple(part for model in models for part in model[self.objective].parts)
            )
        values = np.concatenate([model[self.objective].values for model in models])
        return lambda places: np.asarray(values[places].mean(axis=1))


@dataclass(frozen=True)
class Measure:
    """A number for each model, and how sure it is: an objective, or the weighted sum of several.

    The mean of an objective has Wilson's or a bootstrap interval and a paired test. Other measures are
    computed again for each of many samples of documents; objectives of the same documents are resampled
    together, those of others independently.
    """

    name: str
    sign: float
    """1 if larger is better, -1 if smaller is."""
    terms: tuple[Term, ...]
    seed: int

    @property
    def is_mean(self) -> bool:
        """Whether it is the mean of one objective over its documents."""
        return len(self.terms) == 1 and self.terms[0].aggregation is None

    @property
    def _key(self) -> Key:
        return (self.seed, self.name)

    def of(self, values: Mapping[str, float]) -> float | None:
        """From values of objectives, by name; None if one is missing."""
        if any(term.objective not in values for term in self.terms):
            return None
        return float(sum(term.weight * values[term.objective] for term in self.terms))

    def by_document(self, model: Model) -> Floats:
        """What each document alone adds to the measure, shape (documents,)."""
        sums: dict[object, Floats] = {}
        for term in self.terms:
            added = term.weight * term.by_document(model)
            documents = model[term.objective].identity
            sums[documents] = sums[documents] + added if documents in sums else added
        return np.concatenate(list(sums.values()))

    def interval(self, model: Model) -> Interval:
        """A model's score."""
        if self.is_mean:
            return score_interval(self.by_document(model), self._key)
        return resampled_interval(
            self._value(model), self._statistic(model), self._sizes(model), self._key
        )

    def difference(self, ours: Model, theirs: Model) -> Interval:
        """The first model's score minus the other's, on the same documents."""
        key, sizes = (self.seed, "difference", self.name), self._sizes(ours)
        if self.is_mean:
            return bootstrap_interval(self.by_document(ours) - self.by_document(theirs), key)
        pool, items = self._statistic(ours, theirs), sum(sizes)
        value = self._value(ours) - self._value(theirs)
        return resampled_interval(
            value, lambda places: pool(places) - pool(places + items), sizes, key
        )

    def p(self, ours: Model, theirs: Model) -> float:
        """Two-sided p-value that two models score alike."""
        if self.is_mean:
            return paired_test(self.by_document(ours), self.by_document(theirs), self._key)
        return permutation_test(self._statistic(ours, theirs), sum(self._sizes(ours)), self._key)

    def selection_bias(
        self, models: Sequence[Model]
    ) -> tuple[float, tuple[float, float] | None] | None:
        """By how much the best of models of the same documents is expected to look better than it is.

        Returns:
            The estimate and its interval, which there is none of where scores are no means; nothing
            where there are too few documents.
        """
        sizes = self._sizes(models[0])
        if min(sizes) < FEWEST:
            return None
        if all(term.aggregation is None for term in self.terms):
            values = self.sign * np.stack([self.by_document(model) for model in models])
            return selection_bias(np.split(values, np.cumsum(sizes)[:-1], axis=1), self._key)
        statistics = [self._statistic(model) for model in models]
        return resampled_selection_bias(statistics, sizes, self.sign, self._key), None

    def bootstrapped_selection_bias(self, models: Sequence[Model]) -> float:
        """What final tables of version 1 hold of it."""
        if self.is_mean:
            values = np.stack([self.by_document(model) for model in models])
            return bootstrapped_selection_bias(self.sign * values, self._key)
        statistics = [self._statistic(model) for model in models]
        sizes = self._sizes(models[0])
        return bootstrapped_selection_bias_of(statistics, sizes, self.sign, self._key)

    def _value(self, model: Model) -> float:
        return float(sum(term.weight * term.value(model) for term in self.terms))

    def _sizes(self, model: Model) -> list[int]:
        """Of the distinct sets of documents."""
        sets = dict.fromkeys(model[term.objective].identity for term in self.terms)
        return [len(documents) for documents, _ in sets]

    def _statistic(self, *models: Model) -> Statistic:
        """The measure over samples of documents, whose sets stand one after another.

        A sample may have any number of documents of each set, in the same columns in all samples.
        """
        starts: dict[object, int] = {}
        end = 0
        terms = []
        for term in self.terms:
            scores = models[0][term.objective]
            if scores.identity not in starts:
                starts[scores.identity], end = end, end + len(scores.parts)
            place = (starts[scores.identity], len(scores.parts))
            terms.append((term.weight, *place, term.statistic(models)))

        def values(places: Places) -> Floats:
            total = np.zeros(len(places))
            for weight, start, size, statistic in terms:
                of_set = (places[0] % end >= start) & (places[0] % end < start + size)
                own = places[:, of_set] - start
                total += weight * statistic(own - (own >= end) * (end - size))
            return total

        return values


def measures_of(
    evaluation: Evaluation, aggregations: Mapping[str, Aggregation | None], seed: int
) -> list[Measure]:
    """What models are compared on: the one objective, or the weighted sum first and then each.

    Goals are as decided; where there is no aggregation, it is the mean.
    """
    single = [measure_of(one, aggregations, seed) for one in evaluation.objectives]
    if len(single) == 1:
        return single
    terms = tuple(
        Term(one.name, aggregations.get(one.name), one.sign * one.weight)
        for one in evaluation.objectives
    )
    return [Measure(WEIGHTED, 1.0, terms, seed), *single]


def measure_of(
    objective: Objective, aggregations: Mapping[str, Aggregation | None], seed: int
) -> Measure:
    """An objective or monitor, by itself."""
    term = Term(objective.name, aggregations.get(objective.name))
    return Measure(objective.name, objective.sign, (term,), seed)
