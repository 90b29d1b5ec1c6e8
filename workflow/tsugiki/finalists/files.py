"""From a run's folder to final.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsugiki.atomic import write_if_changed
from tsugiki.config.rivals import ROWS
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import (
    BASELINES,
    FINALISTS,
    FLATNESS,
    REPEAT,
    TEST,
    PhaseFiles,
    RunFiles,
)
from tsugiki.contracts.ledger import (
    Entry,
    entries,
    read_generation,
    read_population,
    scored_generations,
)
from tsugiki.contracts.outcome import is_whole
from tsugiki.contracts.population import Candidate, Population, Ranked
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.contracts.usage import generated_tokens, used
from tsugiki.errors import LineageError
from tsugiki.evaluate.aggregation import Aggregation, Aggregations
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.finalists.choose import least_missing, pools, winner
from tsugiki.finalists.compare import Bias, Values, aggregations_of, final_table
from tsugiki.finalists.flatness import flatness_of
from tsugiki.finalists.measures import Model, measures_of, sample_scores
from tsugiki.finalists.repeat import repeat_of
from tsugiki.finalists.table import FinalTable, Flatness, Repeat


def read_winner(phase: PhaseFiles) -> Ranked:
    """The winner among the scored finalists of a stage.

    Raises:
        EvaluationError: every finalist failed.
        LineageError: a file is missing or damaged.
    """
    files = phase.generation(0)
    return winner(read_population(files.population), read_generation(files.outcomes))


def winning_recipe(files: RunFiles, finalists: str = FINALISTS) -> AnyRecipe:
    """The recipe of the best finalist in a phase of finalists; those of the last stage if absent.

    Raises:
        EvaluationError: every finalist failed.
        LineageError: a file is missing or damaged.
    """
    phase = files.phase(finalists)
    return read_recipe(phase.candidate(read_winner(phase).recipe).recipe)


def find_candidate(found: Iterable[Entry], candidate: str, *, where: str) -> Candidate:
    """The first candidate of some generations that is called so.

    `candidate` is its id (`003-07`), its name (of baselines, finalists and test rows), or, if nobody has that, the
    start of its recipe's digest, which no other recipe's begins with.

    Raises:
        LineageError: there is none.
    """
    known = [one for entry in found for one in entry.population.candidates]
    named = [one for one in known if candidate in (one.id, one.origin.get("name"))]
    begun = [one for one in known if one.recipe.startswith(candidate)]
    if named or len({one.recipe for one in begun}) == 1:
        return (named or begun)[0]
    raise LineageError(
        "several digests begin so" if begun else "there is no such candidate",
        where=where,
        expected=f"an id ({known[0].id} … {known[-1].id}), a name, or the start of one recipe's digest"
        if known
        else "candidates: none is drawn yet",
        got=candidate,
        fix="take an id from the report, front/front.json or the final table, and see which stage it is of",
    )


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

    What is compared with the result (`recorded`) says of which version and form it is: tables of several
    objectives were on the first one alone at one time, and earlier ones do not say how many candidates were
    tried.

    Raises:
        LineageError: a file that it needs is missing, or files contradict each other.
    """
    version = 2 if recorded is None else recorded.version
    evaluation = decided_evaluation(config, files.items)
    with_tried = recorded is None or any(row.tried is not None for row in recorded.rows)
    if recorded is not None and not recorded.objectives:
        first, *others = evaluation.objectives
        monitors = [*others, *evaluation.monitors]
        evaluation = evaluation.model_copy(update={"objectives": [first], "monitors": monitors})
    config = config.model_copy(update={"evaluation": evaluation})
    test = files.phase(TEST)
    population = read_population(test.generation(0).population)
    generation = read_generation(test.generation(0).outcomes)
    searched = [*(stage.name for stage in config.searches), BASELINES]
    finalists = (config.finalists_of(stage.name) for stage in config.searches)
    table = final_table(
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
        measured={
            "search": _measured(files.phase(name) for name in searched),
            "validation": _measured(files.phase(name) for name in finalists),
        },
        biases=_search_biases(files.phase(config.stages[-1].name), config, version),
        version=version,
    )
    tried = _tried(files, config, population) if with_tried else {}
    rows = (row.model_copy(update={"tried": tried.get(row.name)}) for row in table.rows)
    chosen = files.phase(FINALISTS).generation(0)
    drawn = read_population(chosen.population)
    bounds = {name: one.value for name, one in (drawn.bounds or {}).items()}
    missed = bounds and least_missing(drawn, read_generation(chosen.outcomes)) > 0
    return table.model_copy(
        update={
            "rows": tuple(rows),
            "pooled": pools(drawn),
            "bounds": bounds,
            "missed": bool(missed),
            "knee": drawn.knee is not None,
            "flatness": load_flatness(files, config),
            "repeat": load_repeat(files, config),
        }
    )


def load_flatness(files: RunFiles, config: RunConfig) -> Flatness | None:
    """What small changes of the winner cost; None where that is not asked for.

    Raises:
        LineageError: a file that it needs is missing or damaged.
    """
    settings, phase = config.finalists.flatness, files.phase(FLATNESS)
    if settings is None:
        return None
    ranked = read_generation(phase.generation(0).outcomes)
    tasks = {one.name: one.task for one in config.evaluation.measured}
    return flatness_of(
        settings,
        read_winner(files.phase(FINALISTS)),
        ranked,
        answers=used([ranked], tasks).answers,
        tokens=generated_tokens(phase, [ranked], tasks),
    )


def load_repeat(files: RunFiles, config: RunConfig) -> Repeat | None:
    """What came of scoring models twice; None where that is not asked for.

    Raises:
        LineageError: a file that it needs is missing or damaged.
    """
    if config.evaluation.repeat_check is None:
        return None
    test, phase = files.phase(TEST), files.phase(REPEAT)
    scored = [
        one.recipe
        for one in read_generation(phase.generation(0).outcomes).ranked
        if one.outcome.status == "scored"
    ]
    return repeat_of(
        [
            (
                read_samples(test.candidate(one).items).to_pylist(),
                read_samples(phase.candidate(one).items).to_pylist(),
            )
            for one in scored
        ]
    )


def _tried(files: RunFiles, config: RunConfig, test: Population) -> dict[str, int]:
    """By row, how many distinct candidates on the search items it is the best of."""
    baselines = entries(files.phase(BASELINES))
    recipes: dict[str, set[str]] = {}
    for one in (candidate for entry in baselines for candidate in entry.population.candidates):
        if one.origin["kind"] == "baseline":
            recipes.setdefault(str(one.origin["name"]), set()).add(one.recipe)
    rivals = {ROWS[rival]: stage for rival, stage in config.rival_stages.items()}
    searched: dict[str, set[str]] = {}
    for candidate in test.candidates:
        name, kind = str(candidate.origin["name"]), candidate.origin["kind"]
        stage = {
            "evolved": config.stages[-1],
            "finalist": config.stages[-1],
            "stage": config.stage(name),
            "rival": rivals.get(name),
        }.get(str(kind))
        if stage is not None:
            if stage.name not in searched:
                searched[stage.name] = set(_searched(files, config, stage))
            recipes[name] = searched[stage.name]
    return {name: len(found) for name, found in recipes.items()}


def _searched(files: RunFiles, config: RunConfig, stage: Stage) -> Iterator[str]:
    """Recipes that a stage has scored, and those of stages that it builds on."""
    for member in dict.fromkeys([*stage.members, *stage.starts_from]):
        if (before := config.stage(member)) is not None:
            yield from _searched(files, config, before)
    for generation in scored_generations(files.phase(stage.name)):
        yield from (entry.recipe for entry in generation.ranked)


def _measured(phases: Iterable[PhaseFiles]) -> Values:
    """All values on all documents of whole phases: a recipe may have been left at a rung when it came again."""
    return {
        entry.recipe: {name: one.value for name, one in entry.outcome.overall.measured.items()}
        for phase in phases
        for generation in scored_generations(phase)
        for entry in generation.ranked
        if is_whole(entry.outcome)
    }


def _search_biases(phase: PhaseFiles, config: RunConfig, version: int) -> dict[str, Bias | None]:
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
    if version == 1:
        return {one.name: (one.bootstrapped_selection_bias(models), None) for one in measures}
    return {one.name: one.selection_bias(models) for one in measures}
