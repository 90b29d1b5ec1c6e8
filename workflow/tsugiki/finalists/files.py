"""From a run's folder to final.json."""

from __future__ import annotations

from collections.abc import Iterable

from tsugiki.atomic import write_if_changed
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import BASELINES, TEST, PhaseFiles, RunFiles
from tsugiki.contracts.ledger import read_generation, read_population, scored_generations
from tsugiki.contracts.recipe import read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.evaluate.aggregation import Aggregation, Aggregations
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.finalists.compare import Values, aggregations_of, final_table
from tsugiki.finalists.measures import Model, measures_of, sample_scores
from tsugiki.finalists.table import FinalTable


def write_final_table(files: RunFiles, config: RunConfig) -> FinalTable:
    """Build the final table and write final.json.

    Raises:
        LineageError: a file that it needs is missing, or files contradict each other.
    """
    table = load_final_table(files, config)
    write_if_changed(files.final, table.to_json())
    return table


def load_final_table(
    files: RunFiles, config: RunConfig, recorded: FinalTable | None = None
) -> FinalTable:
    """Build the final table from the ledger, without writing it.

    Args:
        files: The run.
        config: Its configuration.
        recorded: What is compared with the result. Tables of several objectives were on the first one
            alone at one time; the result is of the same form.

    Raises:
        LineageError: a file that it needs is missing, or files contradict each other.
    """
    evaluation = decided_evaluation(config, files.items)
    if recorded is not None and not recorded.objectives:
        first, *others = evaluation.objectives
        monitors = [*others, *evaluation.monitors]
        evaluation = evaluation.model_copy(update={"objectives": [first], "monitors": monitors})
    config = config.model_copy(update={"evaluation": evaluation})
    test = files.phase(TEST)
    population = read_population(test.generation(0).population)
    generation = read_generation(test.generation(0).outcomes)
    searched = [*(stage.name for stage in config.stages), BASELINES]
    finalists = (config.finalists_of(stage.name) for stage in config.stages)
    return final_table(
        population,
        generation,
        {
            entry.recipe: read_samples(test.candidate(entry.recipe).items)
            for entry in generation.ranked
            if entry.outcome.status == "scored"
        },
        config,
        recipes={
            candidate.recipe: read_recipe(test.candidate(candidate.recipe).recipe)
            for candidate in population.candidates
        },
        search=_measured(files.phase(name) for name in searched),
        validation=_measured(files.phase(name) for name in finalists),
        biases=_search_biases(files.phase(config.stages[-1].name), config),
    )


def _measured(phase: Iterable[PhaseFiles]) -> Values:
    """All values of whole phases."""
    return {
        entry.recipe: {name: one.value for name, one in entry.outcome.overall.measured.items()}
        for one in phase
        for generation in scored_generations(one)
        for entry in generation.ranked
        if entry.outcome.status == "scored"
    }


def _search_biases(phase: PhaseFiles, config: RunConfig) -> dict[str, float]:
    """Winner's curse of a stage, by measure; none unless all its candidates share their items."""
    if config.evaluation.subsets is not None:
        return {}
    history = scored_generations(phase)
    entries = (entry for generation in history for entry in generation.ranked)
    places = {
        entry.recipe: phase.candidate(entry.recipe).at(entry.outcome.rung)
        for entry in entries
        if entry.outcome.status == "scored"
    }
    names = [one.name for one in config.evaluation.objectives]
    columns = ["objective", "doc_id", "doc_hash", "value", "part"]
    models: list[Model] = []
    for recipe, place in places.items():
        table = read_samples(place.items, columns)
        where = f"items of candidate {recipe[:12]}"
        models.append({name: sample_scores(table, name, where=where) for name in names})
    shared = {tuple(model[name].documents for name in names) for model in models}
    if len(shared) != 1:
        return {}
    known, found = Aggregations(config.evaluation), dict[str, Aggregation | None]()
    for generation in history:
        for name, one in aggregations_of(generation, known).items():
            if found.setdefault(name, one) != one:
                return {}
    measures = measures_of(config.evaluation, found, config.seed)
    return {measure.name: measure.selection_bias(models) for measure in measures}
