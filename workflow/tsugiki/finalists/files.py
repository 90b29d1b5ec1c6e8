"""From a run's folder to final.json."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tsugiki.atomic import write_if_changed
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import BASELINES, TEST, RunFiles, SeriesFiles
from tsugiki.contracts.ledger import read_generation, read_population, scored_generations
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.contracts.recipe import read_recipe
from tsugiki.contracts.records import read_records
from tsugiki.evaluate.aggregation import Aggregations
from tsugiki.evaluate.items import decided_evaluation
from tsugiki.evaluate.statistics import resampled_selection_bias, selection_bias
from tsugiki.finalists.compare import ItemScores, aggregations_of, final_table, item_scores
from tsugiki.finalists.table import FinalTable


def write_final_table(files: RunFiles, config: RunConfig) -> FinalTable:
    """Build the final table and write final.json.

    Raises:
        LineageError: a file that it needs is missing, or files contradict each other.
    """
    table = load_final_table(files, config)
    write_if_changed(files.final, table.to_json())
    return table


def load_final_table(files: RunFiles, config: RunConfig) -> FinalTable:
    """Build the final table from the ledger, without writing it.

    Raises:
        LineageError: a file that it needs is missing, or files contradict each other.
    """
    evaluation = decided_evaluation(config, files.items)
    config = config.model_copy(update={"evaluation": evaluation})
    test = files.series(TEST)
    population = read_population(test.generation(0).population)
    generation = read_generation(test.generation(0).outcomes)
    objective = evaluation.objectives[0].name
    searched = [*(stage.name for stage in config.stages), BASELINES]
    return final_table(
        population,
        generation,
        {
            entry.recipe: read_records(test.candidate(entry.recipe).items)
            for entry in generation.ranked
            if entry.outcome.status == "scored"
        },
        config,
        recipes={
            candidate.recipe: read_recipe(test.candidate(candidate.recipe).recipe)
            for candidate in population.candidates
        },
        search=_measured((files.series(name) for name in searched), objective),
        validation=_measured(
            (files.series(config.finalists_of(stage.name)) for stage in config.stages), objective
        ),
        selection_bias=_search_bias(files, config),
    )


def _measured(series: Iterable[SeriesFiles], objective: str) -> dict[str, float]:
    """Recipe digest -> the objective's value, over whole series."""
    return {
        entry.recipe: entry.outcome.measured[objective].value
        for one in series
        for generation in scored_generations(one)
        for entry in generation.ranked
        if entry.outcome.status == "scored" and objective in entry.outcome.measured
    }


def _search_bias(files: RunFiles, config: RunConfig) -> float | None:
    """Winner's curse of the last stage; None unless all its candidates share their items."""
    objective = config.evaluation.objectives[0]
    series = files.series(config.stages[-1].name)
    history = scored_generations(series)
    columns = ["objective", "doc_id", "doc_hash", "value", "part"]
    scores = [
        item_scores(
            read_records(series.candidate(one.recipe).at(one.outcome.rung).items, columns),
            objective.name,
            where=f"items of candidate {one.recipe[:12]}",
        )
        for one in _scored(history)
    ]
    if not scores or not _same_documents(scores):
        return None
    key = (config.seed, objective.name)
    known = Aggregations(config.evaluation)
    found = [aggregations_of(one, known) for one in history]
    aggregations = {one.name: one for of in found if (one := of.get(objective.name)) is not None}
    if not aggregations:
        return selection_bias(objective.sign * np.stack([one.values for one in scores]), key)
    if len(aggregations) > 1:
        return None
    (aggregation,) = aggregations.values()
    statistics = [aggregation.statistic(one.parts) for one in scores]
    return resampled_selection_bias(statistics, len(scores[0].parts), objective.sign, key)


def _scored(generations: Iterable[Generation]) -> list[Ranked]:
    """Candidates that have scores, each recipe once, in the order they were first scored."""
    found: dict[str, Ranked] = {}
    for entry in (entry for generation in generations for entry in generation.ranked):
        if entry.outcome.status == "scored":
            found.setdefault(entry.recipe, entry)
    return list(found.values())


def _same_documents(scores: list[ItemScores]) -> bool:
    return all(one.documents == scores[0].documents for one in scores)
