"""All that a report shows, loaded from a run's folder. Pieces that do not exist yet are absent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tsugiki.config.run import RunConfig
from tsugiki.evaluate.outcome import Failed, Scored
from tsugiki.evolve.population import Generation, Ranked
from tsugiki.finalists.choose import winner
from tsugiki.finalists.files import read_items
from tsugiki.finalists.table import FinalTable, read_final_table
from tsugiki.lineage.cost import read_cost
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import (
    TEST,
    entries,
    existing_series,
    finalists_of,
    read_generation,
    scored_generations,
)
from tsugiki.lineage.summary import Summary, best_candidate, summarise
from tsugiki.recipe.read import AnyRecipe, read_recipe
from tsugiki.report import provenance
from tsugiki.report.costs import SeriesCost, StepCost, series_cost, step_costs
from tsugiki.report.examples import Example, examples


@dataclass(frozen=True)
class Failure:
    """Candidates that failed for one reason."""

    series: str
    kind: str
    reason: str
    """First line."""
    count: int
    example: str
    """Id of one of them."""


@dataclass(frozen=True)
class ReportData:
    """Everything, as plain values."""

    config: RunConfig
    table: FinalTable | None
    """None until the test items are scored."""
    stages: Mapping[str, Sequence[Summary]]
    best: Ranked | None
    """Best of the last stage by search fitness."""
    recipe: AnyRecipe | None
    """The winner's; before there is one, the best candidate's."""
    before: Mapping[str, AnyRecipe]
    """The recipe of the winner of each earlier stage that has one, by the stage's name."""
    gained: Sequence[Example]
    lost: Sequence[Example]
    failures: Sequence[Failure]
    cut: float
    """Largest share of prompts that were too long for a candidate, and lost their start."""
    costs: Sequence[SeriesCost]
    steps: Sequence[StepCost]
    parents: Sequence[provenance.Parent]
    digests: Mapping[str, str]
    environment: Mapping[str, str]


def load(files: RunFiles, config: RunConfig) -> ReportData:
    """Read a run's folder, however far the run has come.

    Raises:
        LineageError: a file is damaged.
    """
    ledger = {
        series: scored_generations(files.series(series))
        for series in existing_series(files, config)
    }
    stages = {stage.name: ledger[stage.name] for stage in config.stages if ledger.get(stage.name)}
    table = read_final_table(files.final) if files.final.is_file() else None
    best = best_candidate(next(reversed(stages.values()))) if stages else None
    gained, lost = _examples(files, table)
    return ReportData(
        config=config,
        table=table,
        stages={name: summarise(generations) for name, generations in stages.items()},
        best=best,
        recipe=_recipe(files, table, next(reversed(stages), None), best),
        before=_before(files, config),
        gained=gained,
        lost=lost,
        failures=_failures(ledger),
        cut=_cut(ledger),
        costs=_costs(files, config),
        steps=step_costs(files.root / "benchmarks"),
        parents=provenance.parents(files),
        digests=provenance.digests(files, config),
        environment=provenance.environment(files),
    )


def _recipe(
    files: RunFiles, table: FinalTable | None, stage: str | None, best: Ranked | None
) -> AnyRecipe | None:
    if table is not None:
        winner = table.row(table.winner).recipe
        return read_recipe(files.series(TEST).candidate(winner).recipe)
    if stage is not None and best is not None:
        return read_recipe(files.series(stage).candidate(best.recipe).recipe)
    return None


def _before(files: RunFiles, config: RunConfig) -> dict[str, AnyRecipe]:
    recipes = {}
    for stage in config.stages[:-1]:
        finalists = files.series(finalists_of(config, stage.name))
        if (outcomes := finalists.generation(0).outcomes).is_file():
            won = winner(read_generation(outcomes))
            recipes[stage.name] = read_recipe(finalists.candidate(won.recipe).recipe)
    return recipes


def _examples(
    files: RunFiles, table: FinalTable | None
) -> tuple[Sequence[Example], Sequence[Example]]:
    if table is None or table.best_parent is None or not (table.gained or table.lost):
        return (), ()
    winner, parent = (
        read_items(files.series(TEST).candidate(table.row(name).recipe).items)
        for name in (table.winner, table.best_parent)
    )
    return (
        examples(table.gained, table.objective, winner, parent),
        examples(table.lost, table.objective, winner, parent),
    )


def _failures(ledger: Mapping[str, Sequence[Generation]]) -> list[Failure]:
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], str] = {}
    for series, generations in ledger.items():
        for generation in generations:
            for entry in generation.ranked:
                if isinstance(entry.outcome, Failed):
                    key = (series, entry.outcome.kind, entry.outcome.reason.partition("\n")[0])
                    counts[key] += 1
                    first.setdefault(key, entry.id)
    return [Failure(*key, count, first[key]) for key, count in counts.most_common()]


def _cut(ledger: Mapping[str, Sequence[Generation]]) -> float:
    ranked = [one for of_series in ledger.values() for all_ in of_series for one in all_.ranked]
    scored = [one.outcome for one in ranked if isinstance(one.outcome, Scored)]
    return max((outcome.rates.get("cut", 0.0) for outcome in scored), default=0.0)


def _costs(files: RunFiles, config: RunConfig) -> list[SeriesCost]:
    costs = []
    for series in existing_series(files, config):
        folder = files.series(series)
        recipes = dict.fromkeys(
            candidate.recipe
            for entry in entries(folder)
            for candidate in entry.population.candidates
        )
        known = (read_cost(folder.candidate(recipe).cost) for recipe in recipes)
        costs.append(series_cost(series, [cost for cost in known if cost is not None]))
    return [cost for cost in costs if cost.candidates]
