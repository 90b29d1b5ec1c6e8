"""From the test series to the final table: a pure function of loaded files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.contracts.outcome import Failed
from tsugiki.contracts.population import Candidate, Generation, Population
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.errors import LineageError
from tsugiki.evaluate.aggregation import Aggregation, Aggregations, read_part
from tsugiki.evaluate.statistics import (
    Floats,
    Interval,
    Key,
    bootstrap_interval,
    holm,
    paired_test,
    permutation_test,
    resampled_interval,
    score_interval,
)
from tsugiki.finalists.table import Difference, FinalTable, Kind, Row

PARENTS: tuple[Kind, ...] = ("parent", "base")


@dataclass(frozen=True)
class ItemScores:
    """A model's scores on one objective, in the order of the documents."""

    documents: tuple[int, ...]
    hashes: tuple[str, ...]
    values: Floats
    """NaN for documents that contribute other than a number."""
    parts: tuple[Any, ...]
    """What each document contributes to an aggregation: its value, where that is all."""


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


def final_table(
    population: Population,
    generation: Generation,
    items: Mapping[str, pa.Table],
    config: RunConfig,
    *,
    recipes: Mapping[str, AnyRecipe],
    search: Mapping[str, float] | None = None,
    validation: Mapping[str, float] | None = None,
    selection_bias: float | None = None,
) -> FinalTable:
    """Compare the winner with every other model of the test series.

    Args:
        population: Of the series `test`. Each candidate's origin holds the `name` and `kind` of
            its row; exactly one is of the kind `evolved`.
        generation: Its outcomes.
        items: By recipe digest, the `pyarrow.Table` of items.parquet of every scored candidate.
        config: The run's configuration, with goals as decided; `maximize` where it has none.
        recipes: By digest.
        search: By recipe digest, the main objective on the search items, where measured.
        validation: The same on the validation items.
        selection_bias: Expected winner's curse of the search.

    Raises:
        LineageError: the files contradict each other.
    """
    drawn = [(candidate.id, candidate.recipe) for candidate in population.candidates]
    if drawn != [(entry.id, entry.recipe) for entry in generation.ranked]:
        raise LineageError(
            "the population of the test series is not the one that was scored",
            where=f"{population.series}/population.json",
            expected=", ".join(entry.id for entry in generation.ranked),
            got=", ".join(candidate.id for candidate in population.candidates),
            fix="restore the file; or remove the series' folder, and let the workflow score it anew",
        )
    objective = config.evaluation.objectives[0]
    aggregations = aggregations_of(generation, Aggregations(config.evaluation))
    winner = _winner(population)
    scored = _scored_items(population, generation, items, config)
    rows = [
        Row(
            name=_name(candidate),
            kind=_kind(candidate),
            recipe=candidate.recipe,
            method=_method(candidate, recipes),
            search=(search or {}).get(candidate.recipe),
            validation=(validation or {}).get(candidate.recipe),
            test={
                name: _interval(scores, aggregations.get(name), (config.seed, name))
                for name, scores in scored.get(_name(candidate), {}).items()
            },
            failed=entry.outcome.reason if isinstance(entry.outcome, Failed) else None,
        )
        for candidate, entry in zip(population.candidates, generation.ranked, strict=True)
    ]
    main = {name: by_objective[objective.name] for name, by_objective in scored.items()}
    aggregation = aggregations.get(objective.name)
    if aggregation is not None:
        main = {name: _by_document(scores, aggregation) for name, scores in main.items()}
    rows = _with_differences(rows, winner, main, objective, config.seed, aggregation)
    best_parent = _best(rows, PARENTS, objective)
    gained, lost = _changes(main, winner, best_parent, objective)
    return FinalTable(
        run=population.run,
        objective=objective.name,
        goal=objective.goal or "maximize",
        winner=winner,
        best_parent=best_parent,
        best_baseline=_best(rows, ("baseline",), objective),
        rows=tuple(rows),
        solved_by_no_parent=_solved_by_no_parent(rows, winner, main, objective),
        gained=gained,
        lost=lost,
        search_gap=_search_gap(rows, winner, objective),
        selection_bias=selection_bias,
    )


def aggregations_of(
    generation: Generation, aggregations: Aggregations
) -> dict[str, Aggregation | None]:
    """How each objective's value follows from its documents, as a generation's outcomes say."""
    return {
        name: aggregations.find(name, measured.aggregation)
        for entry in generation.ranked
        if entry.outcome.status == "scored"
        for name, measured in entry.outcome.measured.items()
    }


def _interval(scores: ItemScores, aggregation: Aggregation | None, key: Key) -> Interval:
    if aggregation is None:
        return score_interval(scores.values, key)
    value, statistic = aggregation(scores.parts), aggregation.statistic(scores.parts)
    return resampled_interval(value, statistic, len(scores.parts), key)


def _by_document(scores: ItemScores, aggregation: Aggregation) -> ItemScores:
    """The same, with the score of each document alone as its value, so that they can be compared."""
    places = np.arange(len(scores.parts))[:, np.newaxis]
    return replace(scores, values=aggregation.statistic(scores.parts)(places))


def _name(candidate: Candidate) -> str:
    return str(candidate.origin.get("name", candidate.id))


def _kind(candidate: Candidate) -> Kind:
    kind = candidate.origin.get("kind")
    for known in get_args(Kind):
        if kind == known:
            return known  # type: ignore[no-any-return]
    raise LineageError(
        "a candidate of the test series has no known kind",
        where=f"candidate {candidate.id}",
        expected=", ".join(get_args(Kind)),
        got=repr(kind),
    )


def _method(candidate: Candidate, recipes: Mapping[str, AnyRecipe]) -> str | None:
    return None if _kind(candidate) in PARENTS else recipes[candidate.recipe].method


def _winner(population: Population) -> str:
    names = [_name(candidate) for candidate in population.candidates]
    evolved = [_name(c) for c in population.candidates if _kind(c) == "evolved"]
    if len(evolved) != 1 or len(set(names)) != len(names):
        raise LineageError(
            "the test series does not make a table",
            where=f"series {population.series}",
            expected="distinct row names, and exactly one candidate of the kind `evolved`",
            got=f"rows {names}, of which evolved: {evolved}",
        )
    return evolved[0]


def _scored_items(
    population: Population,
    generation: Generation,
    items: Mapping[str, pa.Table],
    config: RunConfig,
) -> dict[str, dict[str, ItemScores]]:
    """Row name -> objective or monitor -> scores; all rows on the same documents."""
    names = [o.name for o in (*config.evaluation.objectives, *config.evaluation.monitors)]
    scored: dict[str, dict[str, ItemScores]] = {}
    for candidate, entry in zip(population.candidates, generation.ranked, strict=True):
        if entry.outcome.status == "scored":
            row = _name(candidate)
            scored[row] = {
                name: item_scores(items[candidate.recipe], name, where=f"items of {row}")
                for name in names
            }
    for name in names:
        documents = {(s[name].documents, s[name].hashes) for s in scored.values()}
        if len(documents) > 1:
            raise LineageError(
                f"models were scored on different documents of `{name}`",
                where="series test",
                fix="remove the series' folder and let the workflow score it again",
            )
    return scored


def _with_differences(
    rows: Sequence[Row],
    winner: str,
    main: Mapping[str, ItemScores],
    objective: Objective,
    seed: int,
    aggregation: Aggregation | None,
) -> list[Row]:
    if winner not in main:
        return list(rows)
    ours = main[winner]
    others = [row.name for row in rows if row.name != winner and row.name in main]
    key = (seed, objective.name)
    tests = [_paired_test(ours, main[name], aggregation, key) for name in others]
    differences = {
        name: _difference(ours, main[name], objective, seed, p, aggregation)
        for name, p in zip(others, zip(tests, holm(tests), strict=True), strict=True)
    }
    return [row.model_copy(update={"against_winner": differences.get(row.name)}) for row in rows]


def _paired_test(
    ours: ItemScores, theirs: ItemScores, aggregation: Aggregation | None, key: Key
) -> float:
    if aggregation is None:
        return paired_test(ours.values, theirs.values, key)
    pool = aggregation.statistic(ours.parts + theirs.parts)
    return permutation_test(pool, len(ours.parts), key)


def _difference(
    ours: ItemScores,
    theirs: ItemScores,
    objective: Objective,
    seed: int,
    p: tuple[float, float],
    aggregation: Aggregation | None,
) -> Difference:
    """`p`: before and after adjustment."""
    key = (seed, "difference", objective.name)
    if aggregation is None:
        interval = bootstrap_interval(ours.values - theirs.values, key)
    else:
        interval = _resampled_difference(ours, theirs, aggregation, key)
    better = objective.sign * (ours.values - theirs.values)
    return Difference(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        items=interval.items,
        gained=int((better > 0).sum()),
        lost=int((better < 0).sum()),
        p=p[0],
        p_holm=p[1],
    )


def _resampled_difference(
    ours: ItemScores, theirs: ItemScores, aggregation: Aggregation, key: Key
) -> Interval:
    items = len(ours.parts)
    pool = aggregation.statistic(ours.parts + theirs.parts)
    value = aggregation(ours.parts) - aggregation(theirs.parts)
    return resampled_interval(value, lambda places: pool(places) - pool(places + items), items, key)


def _best(rows: Sequence[Row], kinds: Sequence[Kind], objective: Objective) -> str | None:
    scored = [row for row in rows if row.kind in kinds and objective.name in row.test]
    best = max(
        scored, key=lambda row: objective.sign * row.test[objective.name].value, default=None
    )
    return None if best is None else best.name


def _changes(
    main: Mapping[str, ItemScores], winner: str, other: str | None, objective: Objective
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if winner not in main or other is None:
        return (), ()
    better = objective.sign * (main[winner].values - main[other].values)
    documents = np.asarray(main[winner].documents, dtype=np.int64)
    return tuple(documents[better > 0].tolist()), tuple(documents[better < 0].tolist())


def _solved_by_no_parent(
    rows: Sequence[Row], winner: str, main: Mapping[str, ItemScores], objective: Objective
) -> int | None:
    parents = [main[row.name].values for row in rows if row.kind in PARENTS and row.name in main]
    if winner not in main or not parents:
        return None
    best = np.max([objective.sign * values for values in parents], axis=0)
    return int((objective.sign * main[winner].values > best).sum())


def _search_gap(rows: Sequence[Row], winner: str, objective: Objective) -> float | None:
    row = next(row for row in rows if row.name == winner)
    test: Interval | None = row.test.get(objective.name)
    if row.search is None or test is None:
        return None
    return objective.sign * (row.search - test.value)
