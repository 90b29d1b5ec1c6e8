"""Write the ledger's entry of a generation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.errors import EvaluationError, LineageError
from tsugiki.evaluate.items import evaluation_of
from tsugiki.evaluate.outcome import Failed, Scored
from tsugiki.evaluate.share import distinct_recipes
from tsugiki.evolve.population import Population
from tsugiki.evolve.rank import rank
from tsugiki.lineage.layout import RunFiles, SeriesFiles
from tsugiki.lineage.ledger import read_outcome, scored_generations
from tsugiki.lineage.progress import progress_line


def write_ranked(
    files: RunFiles,
    config: RunConfig,
    name: str,
    generation: int,
    *,
    say: Callable[[str], None] = print,
) -> None:
    """Write outcomes.json of a generation, and say how the search stands.

    Raises:
        EvaluationError: every candidate failed, and not only by its own fault.
        LineageError: the files contradict each other.
    """
    series = files.series(name)
    current = series.generation(generation)
    population_bytes = current.population.read_bytes()
    population = Population.model_validate_json(population_bytes)
    outcomes = read_outcomes(series, population)
    refuse_if_all_failed(outcomes, first=generation == 0, where=str(series.root))
    objectives = evaluation_of(config, files.items).objectives
    entry = rank(population, population_bytes, outcomes, objectives)
    atomic.write_bytes(current.outcomes, pretty_json(entry.model_dump(mode="json")))
    planned = {stage.name: stage.budget.generations for stage in config.stages}
    if name in planned and entry.ranked:
        say(f"{name}: {_progress(series, planned[name])}")
    elif entry.ranked:
        say(f"{name}: {len(outcomes)} scored on {population.split} items")


def read_outcomes(series: SeriesFiles, population: Population) -> dict[str, Scored | Failed]:
    """Outcomes of a generation, by recipe digest.

    Raises:
        LineageError: an outcome is missing or belongs to another recipe.
    """
    outcomes: dict[str, Scored | Failed] = {}
    for recipe in distinct_recipes(population):
        path: Path = series.candidate(recipe).outcome
        outcome = read_outcome(path)
        if outcome.recipe != recipe:
            raise LineageError(
                "an outcome belongs to another recipe",
                where=str(path),
                expected=recipe,
                got=outcome.recipe,
                fix="remove the file and run again",
            )
        outcomes[recipe] = outcome
    return outcomes


def refuse_if_all_failed(outcomes: dict[str, Scored | Failed], *, first: bool, where: str) -> None:
    """A search cannot start from nothing, and a task that fails for all models is at fault itself.

    Raises:
        EvaluationError: there are outcomes, and all are failures: of whatever kind in a first
            generation, of the evaluation in a later one.
    """
    failed = [outcome for outcome in outcomes.values() if isinstance(outcome, Failed)]
    if not failed or len(failed) < len(outcomes):
        return
    if first or all(outcome.kind == "evaluation" for outcome in failed):
        raise EvaluationError(
            f"all {len(failed)} candidates failed",
            where=where,
            got=f"first reason: {failed[0].kind}: {failed[0].reason}",
            fix=f"mend the cause, remove the folder {where}, and run again",
        )


def _progress(series: SeriesFiles, generations: int) -> str:
    history = scored_generations(series)
    times = [
        series.generation(generation.generation).outcomes.stat().st_mtime for generation in history
    ]
    started = series.generation(0).population.stat().st_mtime
    seconds = [
        max(after - before, 0.0)
        for before, after in zip([started, *times[:-1]], times, strict=True)
    ]
    return progress_line(history, seconds, generations)
