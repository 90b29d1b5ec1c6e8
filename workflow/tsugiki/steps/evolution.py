"""The generations of a stage on files: ranking one, deciding who goes on from a rung, and drawing the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import (
    FLATNESS,
    GenerationFiles,
    PhaseFiles,
    RunFiles,
)
from tsugiki.contracts.ledger import (
    evaluation_of,
    read_generation,
    read_outcome,
    read_population,
    require_one_evaluation,
)
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.contracts.rungs import left_at
from tsugiki.errors import ConfigError, EvaluationError, LineageError
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evaluate.shards import distinct_recipes
from tsugiki.evolve.estimates import estimate
from tsugiki.evolve.promote import promotion
from tsugiki.evolve.rank import rank
from tsugiki.evolve.select import Next, select
from tsugiki.progress.progress import generation_line
from tsugiki.progress.summary import only_score
from tsugiki.space.read import read_genome
from tsugiki.steps.past import past_of
from tsugiki.strategies.state import read_state


def write_next(files: RunFiles, config: RunConfig, stage: Stage, generation: int) -> None:
    """Write the generation that follows `generation`.

    Raises:
        LineageError: the files contradict each other.
    """
    following = select_from_files(files, config, stage, generation)
    write_drawn(files.phase(stage.name), generation + 1, following)


def write_drawn(phase: PhaseFiles, generation: int, drawn: Next) -> None:
    """Write a generation that a strategy has drawn: recipes first, population.json last."""
    write_recipes(phase, drawn.recipes)
    atomic.write_bytes(phase.generation(generation).state, drawn.state)
    atomic.write_bytes(phase.generation(generation).population, drawn.population)


def select_from_files(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    recorded: Population | None = None,
    *,
    tells_left: bool = True,
) -> Next:
    """What follows from the files of a generation; writes nothing.

    `recorded` is what followed when it was drawn, if it is drawn again; `tells_left` is as in `Past`.

    Raises:
        LineageError: a file is missing, or files contradict each other.
    """
    phase = files.phase(stage.name)
    current = phase.generation(generation)
    space = read_genome(phase.space)
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
        objectives=decided_evaluation(config, files.items).objectives,
        past=replace(past_of(files, config, stage, generation, recorded), tells_left=tells_left),
    )


def write_ranked(
    files: RunFiles,
    config: RunConfig,
    name: str,
    generation: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write outcomes.json of a generation, and say how the search stands.

    Raises:
        EvaluationError: every candidate failed, and not only by its own fault.
        LineageError: the files contradict each other, or more than one evaluation made the scores.
    """
    phase = files.phase(name)
    current = phase.generation(generation)
    population = read_population(current.population)
    population_bytes = current.population.read_bytes()
    rungs = config.evaluation.rungs
    last = len(rungs.documents) - 1 if rungs is not None and config.stage(name) is not None else 0
    outcomes = read_outcomes(
        phase, population, left_at(current, range(last)), config.own_documents(name, generation)
    )
    refuse_mixed(current, outcomes, evaluation_of(phase) if generation else None)
    stage, objectives = config.stage(name), decided_evaluation(config, files.items).objectives
    # a rival may go on from nothing, and neighbours that all fail are a finding
    starts = generation == 0 and not config.is_rival(name) and name != FLATNESS
    refuse_if_all_failed(outcomes, first=starts, where=str(phase.root))
    weighed = stage is None or stage.strategy.weighs
    estimates = None
    if stage is not None:
        decided = config.model_copy(update={"evaluation": decided_evaluation(config, files.items)})
        estimates = estimate(files, decided, stage, population, outcomes)
    entry = rank(
        population, population_bytes, outcomes, objectives, weighed=weighed, estimates=estimates
    )
    atomic.write_bytes(current.outcomes, entry.to_json())
    if stage is not None and entry.ranked:
        log(f"{name}: {generation_line(files, config, name, generation)}")
        # the two moves of a rival's climb are often as good as each other
        score = None if config.is_rival(name) else only_score(entry, objectives, stage)
        if score is not None:
            same = f"fitness, {score[0]:.4f}" if weighed else "scores"
            log(
                f"{name}: all candidates of this generation have the same {same}, which "
                "tells the search nothing: look at what they answer, or use more or other documents"
            )
    elif entry.ranked:
        log(f"{name}: {len(outcomes)} scored on {population.split} items")


def write_promotion(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    rung: int,
    *,
    log: Callable[[str], None] = print,
) -> None:
    """Write rung-<n>.json of a generation.

    Raises:
        ConfigError: the run has no such rung, or it is the last one.
        LineageError: a file is missing, or files contradict each other.
    """
    evaluation = decided_evaluation(config, files.items)
    rungs = evaluation.rungs
    if rungs is None or not 0 <= rung < len(rungs.documents) - 1:
        raise ConfigError(
            f"there is no rung {rung} after which candidates go on", where="evaluation.rungs"
        )
    phase = files.phase(stage.name)
    current = phase.generation(generation)
    decided = promotion(phase, current, rung, rungs, evaluation.objectives, stage.strategy)
    atomic.write_bytes(current.promotion(rung), decided.to_json())
    on = sum(one.left is None for one in decided.candidates)
    log(
        f"{stage.name}, generation {generation + 1}, {rungs.documents[rung]} documents: "
        f"{on} of {len(decided.candidates)} candidates go on"
    )


def read_outcomes(
    phase: PhaseFiles,
    population: Population,
    left: Mapping[str, int] | None = None,
    own: int | None = None,
) -> dict[str, Scored | Failed]:
    """Outcomes of a generation, by recipe digest.

    `left` is the rung at which each recipe was left that was not scored on all documents, `own` the
    generation, if it is scored on documents of its own.

    Raises:
        LineageError: an outcome is missing or belongs to another recipe.
    """
    outcomes: dict[str, Scored | Failed] = {}
    for recipe in distinct_recipes(population):
        path: Path = phase.candidate(recipe).of(own).at((left or {}).get(recipe)).outcome
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
    """Scores are compared within a phase only if one evaluation made them all.

    If not, the marks that the generation is scored are removed: the next run looks at each candidate again,
    and scores those that another evaluation scored. `before` is the evaluation of the generations before;
    None if there are none.

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


def write_recipes(phase: PhaseFiles, recipes: Iterable[AnyRecipe]) -> None:
    """Write recipe.json of each candidate, where it is not there yet."""
    files = {phase.candidate(recipe.digest).recipe: recipe.to_json() for recipe in recipes}
    atomic.write_all(
        {
            path: content
            for path, content in files.items()
            if not (path.is_file() and path.read_bytes() == content)
        }
    )


def write_population(
    phase: PhaseFiles, population: Population, recipes: Iterable[AnyRecipe]
) -> None:
    """Write the one generation of a phase that no strategy has drawn: recipes first, population.json last."""
    write_recipes(phase, recipes)
    path = phase.generation(0).population
    atomic.write_bytes(path, population.to_json())
