"""Write the ledger's entry of a generation.

The first generation of a stage.

Draw the next generation, on files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.contracts.genome import Genome
from tsugiki.contracts.layout import GenerationFiles, RunFiles, SeriesFiles
from tsugiki.contracts.ledger import (
    evaluation_of,
    read_generation,
    read_outcome,
    read_population,
    require_one_evaluation,
)
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import with_names
from tsugiki.contracts.rungs import left_at
from tsugiki.errors import ConfigError, EvaluationError, LineageError
from tsugiki.evaluate.items import decided_evaluation
from tsugiki.evaluate.share import distinct_recipes
from tsugiki.evolve.rank import rank
from tsugiki.evolve.select import Next, first, select
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.models import Models
from tsugiki.merge.registry import get_method
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.plan import make_plan
from tsugiki.parents.run_models import RunModels, models_of
from tsugiki.progress.progress import generation_line
from tsugiki.progress.summary import only_fitness
from tsugiki.space.dataflow_space import build_dataflow_genome
from tsugiki.space.parameter_space import build_parameter_genome
from tsugiki.space.read import read_genome
from tsugiki.steps.finals import write_recipes
from tsugiki.strategies.state import read_state

FULL = {"cma_es", "cma_es_margin"}
MOST_GENES = 2000
"""A full covariance of so many genes puts three matrices of 32 MB into each state."""


def write_first(files: RunFiles, config: RunConfig, stage: Stage) -> None:
    """Write space.json and the first generation.

    Raises:
        ConfigError: the strategy cannot handle so many genes.
        ParentError: the parents cannot be merged.
    """
    space = build_genome(config, stage, models_of(files, config, stage.name))
    if (genes := len(space.start)) > MOST_GENES and stage.strategy.kind in FULL:
        raise ConfigError(
            f"the space has too many genes for {stage.strategy.kind}",
            where=f"stage {stage.name}",
            expected=f"at most {MOST_GENES:,} genes, since it learns all their covariances",
            got=f"{genes:,}",
            fix="use the strategy `sep_cma`, or fewer genes",
        )
    series = files.series(stage.name)
    following = first(config, stage, space)
    atomic.write_bytes(series.space, space.to_json())
    write_recipes(series, following.recipes)
    generation = series.generation(0)
    atomic.write_bytes(generation.state, following.state)
    atomic.write_bytes(generation.population, following.population)


def build_genome(config: RunConfig, stage: Stage, models: RunModels) -> Genome:
    """What the genomes of a stage mean, from the headers of its models."""
    if not isinstance(stage.space, ParameterSpace):
        folders = {name: models.folders[name] for name in stage.parents}
        parents = DataflowParents(Models(folders, models.digests))
        layers = {name: len(parents.parts(name).layers) for name in stage.parents}
        genome = build_dataflow_genome(stage, digests=models.digests, layers=layers)
        parents.check(genome.decode([1.0] * len(genome.start)))
        return genome
    members = sorted(stage.members)
    given = config.tensor_names
    plan = make_plan([Checkpoint(name, models.folders[name], given.get(name)) for name in members])
    method = get_method(stage.space.method)
    space = build_parameter_genome(
        stage,
        seed=config.seed,
        digests=models.digests,
        tensor_names=[planned.name for planned in plan.tensors if planned.merged],
        per_parent={parameter.name: parameter.per_parent for parameter in method.parameters},
    )
    return space.model_copy(update={"frame": with_names(space.frame, given)})


def write_next(files: RunFiles, config: RunConfig, stage: Stage, generation: int) -> None:
    """Write the generation that follows `generation`.

    Raises:
        LineageError: the files contradict each other.
    """
    series = files.series(stage.name)
    following = select_from_files(files, config, stage, generation)
    after = series.generation(generation + 1)
    write_recipes(series, following.recipes)
    atomic.write_bytes(after.state, following.state)
    atomic.write_bytes(after.population, following.population)


def select_from_files(files: RunFiles, config: RunConfig, stage: Stage, generation: int) -> Next:
    """What follows from the files of a generation; writes nothing."""
    series = files.series(stage.name)
    current = series.generation(generation)
    space = read_genome(series.space)
    read_population(current.population)  # each names its file if it is damaged
    read_generation(current.outcomes)
    read_state(current.state)
    return select(
        config,
        stage,
        space,
        population_bytes=current.population.read_bytes(),
        state_bytes=current.state.read_bytes(),
        outcomes_bytes=current.outcomes.read_bytes(),
    )


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
        LineageError: the files contradict each other, or more than one evaluation made the scores.
    """
    series = files.series(name)
    current = series.generation(generation)
    population = read_population(current.population)
    population_bytes = current.population.read_bytes()
    rungs = config.evaluation.rungs
    last = len(rungs.documents) - 1 if rungs is not None and config.stage(name) is not None else 0
    outcomes = read_outcomes(series, population, left_at(current, range(last)))
    refuse_mixed(current, outcomes, evaluation_of(series) if generation else None)
    refuse_if_all_failed(outcomes, first=generation == 0, where=str(series.root))
    objectives = decided_evaluation(config, files.items).objectives
    entry = rank(population, population_bytes, outcomes, objectives)
    atomic.write_bytes(current.outcomes, pretty_json(entry.model_dump(mode="json")))
    if config.stage(name) is not None and entry.ranked:
        say(f"{name}: {generation_line(files, config, name, generation)}")
        if (fitness := only_fitness(entry)) is not None:
            say(
                f"{name}: all candidates of this generation have the same fitness, {fitness:.4f}, which "
                "tells the search nothing: look at what they answer, or use more or other documents"
            )
    elif entry.ranked:
        say(f"{name}: {len(outcomes)} scored on {population.split} items")


def read_outcomes(
    series: SeriesFiles, population: Population, left: Mapping[str, int] | None = None
) -> dict[str, Scored | Failed]:
    """Outcomes of a generation, by recipe digest.

    Args:
        series: Its series.
        population: Its candidates.
        left: The rung at which each recipe was left that was not scored on all documents.

    Raises:
        LineageError: an outcome is missing or belongs to another recipe.
    """
    outcomes: dict[str, Scored | Failed] = {}
    for recipe in distinct_recipes(population):
        path: Path = series.candidate(recipe).at((left or {}).get(recipe)).outcome
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


def refuse_mixed(
    files: GenerationFiles, outcomes: dict[str, Scored | Failed], before: str | None
) -> None:
    """Scores are compared within a series only if one evaluation made them all.

    If not, the marks that the generation is scored are removed: the next run looks at each candidate
    again, and scores those that another evaluation scored.

    Args:
        files: The generation.
        outcomes: What came of its candidates.
        before: Identity of the evaluation of the generations before; None if there are none.

    Raises:
        LineageError: more than one evaluation made the scores.
    """
    found = {outcome.evaluation for outcome in outcomes.values()}
    try:
        require_one_evaluation(found, before, where=str(files.root))
    except LineageError:
        for mark in files.all_evaluated():
            mark.unlink()
        raise


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
