"""From the test phase to the final table: a pure function of loaded files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from tsugiki.config.evaluation import Evaluation
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import SPLITS
from tsugiki.contracts.outcome import Failed
from tsugiki.contracts.population import Candidate, Generation, Population
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.errors import LineageError
from tsugiki.evaluate.aggregation import Aggregation, Aggregations
from tsugiki.evaluate.statistics import holm
from tsugiki.finalists.measures import (
    Measure,
    Model,
    SampleScores,
    measure_of,
    measures_of,
    sample_scores,
)
from tsugiki.finalists.table import Comparison, Difference, FinalTable, Kind, Row, RowScores

PARENTS: tuple[Kind, ...] = ("parent", "base")

Values = Mapping[str, Mapping[str, float]]
"""By recipe digest, the value of each objective."""
Bias = tuple[float, tuple[float, float] | None]
"""An estimate, and its interval."""


def final_table(
    population: Population,
    generation: Generation,
    items: Mapping[str, pa.Table],
    config: RunConfig,
    *,
    recipes: Mapping[str, AnyRecipe],
    measured: Mapping[str, Values] | None = None,
    biases: Mapping[str, Bias | None] | None = None,
    version: Literal[1, 2] = 2,
) -> FinalTable:
    """Compare the winner with every other model of the test phase.

    Args:
        population: Of the phase `test`. Each candidate's origin holds the `name` and `kind` of
            its row; exactly one is of the kind `evolved`.
        generation: Its outcomes.
        items: By recipe digest, the `pyarrow.Table` of items.parquet of every scored candidate.
        config: The run's configuration, with goals as decided; `maximize` where it has none.
        recipes: By digest.
        measured: Values on the items of `search` and `validation`, where they were measured.
        biases: Expected winner's curse of the search, by measure.
        version: Of the table; in version 1, p-values are adjusted for all rows of a measure.

    Raises:
        LineageError: the files contradict each other.
    """
    drawn = [(candidate.id, candidate.recipe) for candidate in population.candidates]
    if drawn != [(entry.id, entry.recipe) for entry in generation.ranked]:
        raise LineageError(
            "the population of the test phase is not the one that was scored",
            where=f"{population.phase}/population.json",
            expected=", ".join(entry.id for entry in generation.ranked),
            got=", ".join(candidate.id for candidate in population.candidates),
            fix="restore the file; or remove the phase's folder, and let the workflow score it anew",
        )
    evaluation = config.evaluation
    aggregations = aggregations_of(generation, Aggregations(evaluation))
    main, *others = measures_of(evaluation, aggregations, config.seed)
    winner = _winner(population)
    models = _models(population, generation, items, evaluation)
    monitors = (measure_of(one, aggregations, config.seed) for one in evaluation.monitors)
    shown = (main, *others, *monitors)
    rejected = {_name(one) for one in population.candidates if _kind(one) == "finalist"}
    tests = _tests((main, *others), winner, models)

    def family(measure: str, row: str) -> tuple[object, ...]:
        return (measure,) if version == 1 else (measure == main.name, row in rejected)

    adjusted = _adjusted(tests, {key: family(*key) for key in tests})
    compared = {
        one.name: _differences(one, winner, models, tests, adjusted) for one in (main, *others)
    }
    rows = []
    for candidate, entry in zip(population.candidates, generation.ranked, strict=True):
        name, model = _name(candidate), models.get(_name(candidate))
        before = [(measured or {}).get(one, {}).get(candidate.recipe) for one in SPLITS[:2]]
        scores = {
            one.name: RowScores(
                search=None if before[0] is None else one.of(before[0]),
                validation=None if before[1] is None else one.of(before[1]),
                against_winner=compared[one.name].get(name),
            )
            for one in (main, *others)
        }
        rows.append(
            Row(
                **dict(scores.pop(main.name)),
                name=name,
                kind=_kind(candidate),
                recipe=candidate.recipe,
                method=_method(candidate, recipes),
                test={} if model is None else {one.name: one.interval(model) for one in shown},
                failed=entry.outcome.reason if isinstance(entry.outcome, Failed) else None,
                objectives=scores,
            )
        )
    known = biases or {}
    return FinalTable(
        **dict(_comparison(main, rows, winner, models, known.get(main.name))),
        version=version,
        run=population.run,
        winner=winner,
        rows=tuple(rows),
        objectives=tuple(
            _comparison(one, rows, winner, models, known.get(one.name)) for one in others
        ),
        weights={one.name: one.sign * one.weight for one in evaluation.objectives}
        if others
        else {},
        pareto=bool(others) and not config.stages[-1].strategy.weighs,
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


def _name(candidate: Candidate) -> str:
    return str(candidate.origin.get("name", candidate.id))


def _kind(candidate: Candidate) -> Kind:
    kind = candidate.origin.get("kind")
    for known in get_args(Kind):
        if kind == known:
            return known  # type: ignore[no-any-return]
    raise LineageError(
        "a candidate of the test phase has no known kind",
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
            "the test phase does not make a table",
            where=f"phase {population.phase}",
            expected="distinct row names, and exactly one candidate of the kind `evolved`",
            got=f"rows {names}, of which evolved: {evolved}",
        )
    return evolved[0]


def _models(
    population: Population,
    generation: Generation,
    items: Mapping[str, pa.Table],
    evaluation: Evaluation,
) -> dict[str, Model]:
    """The scored models by row name; all on the same documents."""
    names = [one.name for one in evaluation.measured]
    scored: dict[str, dict[str, SampleScores]] = {}
    for candidate, entry in zip(population.candidates, generation.ranked, strict=True):
        if entry.outcome.status == "scored":
            row = _name(candidate)
            scored[row] = {
                name: sample_scores(items[candidate.recipe], name, where=f"items of {row}")
                for name in names
            }
    for name in names:
        documents = {(s[name].documents, s[name].hashes) for s in scored.values()}
        if len(documents) > 1:
            raise LineageError(
                f"models were scored on different documents of `{name}`",
                where="phase test",
                fix="remove the phase's folder and let the workflow score it again",
            )
    return dict(scored)


PValues = Mapping[tuple[str, str], float]
"""By measure and row."""


def _tests(measures: Sequence[Measure], winner: str, models: Mapping[str, Model]) -> PValues:
    """p-values that the winner and another model score alike, for all others that have scores."""
    if winner not in models:
        return {}
    return {
        (measure.name, name): measure.p(models[winner], model)
        for measure in measures
        for name, model in models.items()
        if name != winner
    }


def _adjusted(
    tests: PValues, families: Mapping[tuple[str, str], tuple[object, ...]]
) -> dict[tuple[str, str], float]:
    """p-values by Holm's method, family by family.

    What is claimed of the winner is claimed against parents, baselines and earlier stages: they are a
    family. Finalists that were not chosen are more of the same search, and a family of their own. With
    several objectives, the weighted sum is tested by itself, and all objectives together.
    """
    adjusted: dict[tuple[str, str], float] = {}
    for family in set(families.values()):
        keys = [key for key in tests if families[key] == family]
        adjusted |= dict(zip(keys, holm([tests[key] for key in keys]), strict=True))
    return adjusted


def _differences(
    measure: Measure,
    winner: str,
    models: Mapping[str, Model],
    tests: PValues,
    adjusted: PValues,
) -> dict[str, Difference]:
    """By row name, those of the winner to all other models that have scores."""
    differences = {}
    for name, model in models.items():
        if (key := (measure.name, name)) not in tests:
            continue
        ours = models[winner]
        interval = measure.difference(ours, model)
        better = measure.sign * (measure.by_document(ours) - measure.by_document(model))
        differences[name] = Difference(
            **dict(interval),
            gained=int((better > 0).sum()),
            lost=int((better < 0).sum()),
            p=tests[key],
            p_holm=adjusted[key],
        )
    return differences


def _comparison(
    measure: Measure,
    rows: Sequence[Row],
    winner: str,
    models: Mapping[str, Model],
    bias: Bias | None,
) -> Comparison:
    best_parent = _best(rows, PARENTS, measure)
    parents = [models[row.name] for row in rows if row.kind in PARENTS and row.name in models]
    gained, lost = (), ()
    solved = gap = None
    if winner in models and len(measure.terms) == 1:
        ours = measure.sign * measure.by_document(models[winner])
        theirs = [measure.sign * measure.by_document(model) for model in parents]
        if theirs:
            solved = int((ours > np.max(theirs, axis=0)).sum())
        if best_parent is not None:
            better = ours - measure.sign * measure.by_document(models[best_parent])
            documents = np.asarray(models[winner][measure.name].documents, dtype=np.int64)
            gained, lost = (tuple(documents[one].tolist()) for one in (better > 0, better < 0))
    row = next(row for row in rows if row.name == winner)
    searched = row.of(measure.name).search
    if searched is not None and measure.name in row.test:
        gap = measure.sign * (searched - row.test[measure.name].value)
    return Comparison(
        objective=measure.name,
        goal="maximize" if measure.sign > 0 else "minimize",
        best_parent=best_parent,
        best_baseline=_best(rows, ("baseline",), measure),
        solved_by_no_parent=solved,
        gained=gained,
        lost=lost,
        search_gap=gap,
        selection_bias=None if bias is None else bias[0],
        selection_interval=None if bias is None else bias[1],
    )


def _best(rows: Sequence[Row], kinds: Sequence[Kind], measure: Measure) -> str | None:
    scored = [row for row in rows if row.kind in kinds and measure.name in row.test]
    best = max(scored, key=lambda row: measure.sign * row.test[measure.name].value, default=None)
    return None if best is None else best.name
