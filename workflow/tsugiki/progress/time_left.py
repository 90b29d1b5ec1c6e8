"""How long scoring took, and how long what is left will take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import BASELINES, FLATNESS, REPEAT, TEST, PhaseFiles, RunFiles
from tsugiki.contracts.ledger import Entry, new_recipes, read_population
from tsugiki.contracts.outcome import Cost, read_cost
from tsugiki.contracts.population import Population
from tsugiki.evaluate.shards import distinct_recipes
from tsugiki.finalists.baselines import compared_models

RECENT = 3
"""Generations whose candidates say how long others will take."""


def busy_seconds(costs: Iterable[Cost]) -> float:
    """For how long at least one of the candidates was at work: neither pauses nor other phases count."""
    total, until = timedelta(), None
    for cost in sorted(costs, key=lambda one: one.started):
        begin = cost.started if until is None else max(cost.started, until)
        total += max(cost.finished - begin, timedelta())
        until = cost.finished if until is None else max(cost.finished, until)
    return total.total_seconds()


def generation_costs(
    files: RunFiles, config: RunConfig, name: str, found: Sequence[Entry], latest: int = RECENT
) -> list[list[Cost]]:
    """Costs of the candidates that each of the latest ranked generations of a phase had to score."""
    phase = files.phase(name)
    ranked = [one for one in found if one.ranked]
    new = list(zip(ranked, new_recipes(ranked), strict=True))[-latest:]
    costs = []
    for entry, recipes in new:
        own = config.own_documents(name, entry.number)
        scored = recipes if own is None else distinct_recipes(entry.population)
        costs.append(_costs(phase, scored, own))
    return costs


def seconds_left(
    files: RunFiles, config: RunConfig, stages: Mapping[str, Sequence[Entry]]
) -> float | None:
    """Scoring that is left in the whole run: all stages and rivals, their finalists, baselines and the test.

    A candidate takes as long as those of the latest generations did, its answers in proportion to its
    documents, and as many are scored at a time. What is not drawn yet counts as it is at most: a stage that ends
    early leaves less. `stages` has all generations of each stage.

    Returns:
        Seconds; None before a candidate of a ranked generation is known to have taken any.

    Raises:
        LineageError: a file of the run is damaged.
    """
    recent: list[Cost] = []
    asked = of_stage = 0.0
    items, (searched, tested) = config.evaluation.items, _tasks(config)
    for name, found in stages.items():
        if costs := generation_costs(files, config, name, found):
            recent = [cost for of_one in costs for cost in of_one]
            asked = _asked(config, found)
            of_stage = config.search_documents(name) * asked * searched
    busy = busy_seconds(recent)
    if not busy:
        return None
    seconds = [one.seconds_forward / of_stage for one in recent]
    per_document = sum(seconds) / len(recent)
    rest = sum(one.seconds_total - one.seconds_forward for one in recent) / len(recent)
    at_once = sum(one.seconds_total for one in recent) / busy

    def take(candidates: int, documents: float) -> float:
        return candidates * (rest + documents * per_document) / max(at_once, 1.0)

    finalists = config.finalists.top + config.finalists.mean
    others, baselines = len(config.parents) + len(config.baselines), files.phase(BASELINES)
    begun = baselines.generation(0).population.is_file()
    models = 0 if begun else compared_models(config)[1]  # which takes a while: recipes are made
    left = take(_unscored(baselines, models), items.search * searched)
    sizes = _sizes(config, stages)
    drawn = True  # while a stage goes on, finalists that are there are those of a smaller budget
    for stage in config.searches:
        phase = files.phase(config.finalists_of(stage.name))
        waiting = _left_of_stage(files, config, stage, stages[stage.name], sizes[stage.name])
        unscored = finalists if waiting else _unscored(phase, finalists)
        left += take(waiting, config.search_documents(stage.name) * asked * searched)
        left += take(unscored, items.validation * searched)
        drawn = drawn and not waiting
    if (flatness := config.finalists.flatness) is not None:
        unscored = _unscored(files.phase(FLATNESS), flatness.candidates)
        left += take(unscored if drawn else flatness.candidates, items.validation * searched)
    rows = others + finalists + len(config.searches) - 1
    if (again := config.evaluation.repeat_check) is not None:
        unscored = _unscored(files.phase(REPEAT), again)
        left += take(unscored if drawn else again, items.test * tested)
    return left + take(_unscored(files.phase(TEST), rows) if drawn else rows, items.test * tested)


def _tasks(config: RunConfig) -> tuple[int, int]:
    """How many tasks are searched on, and how many are tested on."""
    objectives = {one.task for one in config.evaluation.objectives}
    return len(objectives), len(objectives | {one.task for one in config.evaluation.monitors})


def _asked(config: RunConfig, found: Sequence[Entry]) -> float:
    """Of their documents the part that candidates of the latest generations were asked: with rungs, not all are."""
    if config.evaluation.rungs is None:
        return 1.0
    documents = config.evaluation.rungs.documents
    latest = [entry.ranked for entry in found if entry.ranked][-RECENT:]
    rungs = [one.outcome.rung for ranked in latest for one in ranked]
    asked = [documents[-1 if rung is None else rung] for rung in rungs]
    return sum(asked) / len(asked) / documents[-1]


def _sizes(config: RunConfig, stages: Mapping[str, Sequence[Entry]]) -> dict[str, int]:
    """How many candidates a generation of each stage or rival has, without those that come again.

    Where none is drawn and no setting says it, a rival's are as dear as the last stage's, and a stage has as many as
    another one.
    """
    drawn = {name: len(found[0].population.candidates) for name, found in stages.items() if found}
    sizes: dict[str, int] = {}
    for stage in config.searches:
        size = drawn.get(stage.name, stage.strategy.population)
        if size is None and config.is_rival(stage.name):
            size = config.evaluation.whole_candidates(sizes[config.stages[-1].name])
        sizes[stage.name] = next(iter(drawn.values()), 0) if size is None else size
    return sizes


def _left_of_stage(
    files: RunFiles, config: RunConfig, stage: Stage, found: Sequence[Entry], size: int
) -> int:
    """Candidates that a stage has yet to score; `size` is how many a generation has, leaders apart."""
    if any(one.population.stopped for one in found):
        return 0
    phase, subsets = files.phase(stage.name), config.subsets_of(stage.name)
    most = config.most_generations(stage, size)
    begun = [one for one in found if one.number < stage.budget.generations]
    waiting = [one for one in begun if one.outcomes is None]
    under_way = sum(
        _without_outcome(phase, one.population, config.own_documents(stage.name, one.number))
        for one in waiting
    )
    left = max(0, most - len(begun))
    leaders = 0 if subsets is None else subsets.leaders
    with_leaders = max(0, left - (not begun))  # the first generation has none
    return under_way + size * left + leaders * with_leaders


def _unscored(phase: PhaseFiles, expected: int) -> int:
    """Candidates that a phase of one generation has yet to score."""
    path = phase.generation(0).population
    return _without_outcome(phase, read_population(path)) if path.is_file() else expected


def _without_outcome(phase: PhaseFiles, population: Population, own: int | None = None) -> int:
    recipes = distinct_recipes(population)
    return sum(not phase.candidate(recipe).of(own).outcome.is_file() for recipe in recipes)


def _costs(phase: PhaseFiles, recipes: Sequence[str], own: int | None) -> list[Cost]:
    found = (read_cost(phase.candidate(recipe).of(own).cost) for recipe in recipes)
    return [cost for cost in found if cost is not None]
