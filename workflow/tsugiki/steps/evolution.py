"""The generations of a stage on files: ranking one, and drawing the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsugiki import atomic
from tsugiki.canonical import digest_file, pretty_json
from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import (
    BASELINES,
    CandidateFiles,
    GenerationFiles,
    PhaseFiles,
    RunFiles,
)
from tsugiki.contracts.ledger import (
    entries,
    evaluation_of,
    read_generation,
    read_outcome,
    read_population,
    require_one_evaluation,
)
from tsugiki.contracts.outcome import Failed, Scored, is_whole
from tsugiki.contracts.population import Generation, Population
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.contracts.rungs import left_at
from tsugiki.contracts.samples import read_by_document, read_samples
from tsugiki.contracts.spread import read_spread
from tsugiki.contracts.usage import generated_tokens, scoring_hours, used
from tsugiki.errors import EvaluationError, LineageError
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evaluate.shards import distinct_recipes
from tsugiki.evolve.informative import Answers, answered_alike
from tsugiki.evolve.rank import rank
from tsugiki.evolve.select import Next, select
from tsugiki.evolve.stop import Past, hours_at, stop_reason
from tsugiki.finalists.compare import PARENTS
from tsugiki.progress.progress import generation_line
from tsugiki.progress.summary import only_score
from tsugiki.space.read import read_genome
from tsugiki.strategies.state import read_state


def write_next(files: RunFiles, config: RunConfig, stage: Stage, generation: int) -> None:
    """Write the generation that follows `generation`.

    Raises:
        LineageError: the files contradict each other.
    """
    phase = files.phase(stage.name)
    following = select_from_files(files, config, stage, generation)
    after = phase.generation(generation + 1)
    write_recipes(phase, following.recipes)
    atomic.write_bytes(after.state, following.state)
    atomic.write_bytes(after.population, following.population)


def select_from_files(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    recorded: Population | None = None,
) -> Next:
    """What follows from the files of a generation; writes nothing.

    Args:
        files: The run.
        config: Its configuration.
        stage: The stage.
        generation: The generation.
        recorded: What followed when it was drawn, if it is drawn again.

    Raises:
        LineageError: a file is missing, or files contradict each other.
    """
    phase = files.phase(stage.name)
    current = phase.generation(generation)
    space = read_genome(phase.space)
    read_population(current.population)  # each names its file if it is damaged
    entry = read_generation(current.outcomes)
    read_state(current.state)
    objectives = decided_evaluation(config, files.items).objectives
    past = past_of(files, config, stage, generation, recorded)
    if stage.strategy.by_document:
        past = replace(past, by_document=by_document(phase, entry, objectives))
    subsets = config.subsets_of(stage.name)
    if subsets is not None and subsets.informative and generation == 0:
        past = replace(past, left_out=_answered_alike(files, config, stage))
    if earlier := [phase.generation(number) for number in stage.modelled(generation)]:
        ranked = [
            (read_population(one.population), read_generation(one.outcomes)) for one in earlier
        ]
        past = replace(past, history=ranked)
    return select(
        config,
        stage,
        space,
        population_bytes=current.population.read_bytes(),
        state_bytes=current.state.read_bytes(),
        outcomes_bytes=current.outcomes.read_bytes(),
        objectives=objectives,
        past=past,
    )


def _answered_alike(files: RunFiles, config: RunConfig, stage: Stage) -> dict[str, list[int]]:
    """Search documents on which the parents and a stage's first generation all score the same."""
    tasks = {one.name: one.task for one in config.evaluation.objectives}
    answers = []
    for name, own in ((BASELINES, None), (stage.name, 0)):
        phase = files.phase(name)
        drawn = read_population(phase.generation(0).population).candidates
        ranked = read_generation(phase.generation(0).outcomes).ranked
        for candidate, entry in zip(drawn, ranked, strict=True):
            counts = own is not None or candidate.origin.get("kind") in PARENTS
            if counts and isinstance(entry.outcome, Scored):
                answers.append(_answers(phase.candidate(entry.recipe).of(own), tasks))
    pool = read_document_sets(files.items).ids("search")
    return answered_alike(answers, pool, config.search_documents(stage.name))


def _answers(place: CandidateFiles, tasks: Mapping[str, str]) -> Answers:
    """What a candidate scored on each document, on every objective of its source."""
    found: dict[tuple[str, int], tuple[Any, ...]] = defaultdict(tuple)
    table = read_samples(place.items, ("objective", "doc_id", "value", "part"))
    for row in table.to_pylist():
        if row["objective"] in tasks:
            answer = (row["objective"], row["value"], row.get("part"))
            found[tasks[row["objective"]], row["doc_id"]] += answer
    return dict(found)


def by_document(
    phase: PhaseFiles, entry: Generation, objectives: Sequence[Objective]
) -> npt.NDArray[np.float64]:
    """What the candidates of a generation made of each search document, from their records.

    Args:
        phase: The stage.
        entry: The ledger's entry, which names each record by its digest.
        objectives: What candidates are scored by, with their goals.

    Returns:
        float64, shape (population, documents, objectives); larger is better. NaN where a document has
        no number, for failures, and for candidates that were left at a rung.

    Raises:
        LineageError: a record is missing, or is another one than was ranked.
    """
    names, signs = [one.name for one in objectives], [one.sign for one in objectives]
    found: dict[str, npt.NDArray[np.float64]] = {}
    for ranked in entry.ranked:
        if isinstance(ranked.outcome, Scored) and is_whole(ranked.outcome):
            path = phase.candidate(ranked.recipe).items
            found[ranked.recipe] = np.array(signs) * read_by_document(path, names)
            if (digest := digest_file(path)) != ranked.outcome.records:
                raise LineageError(
                    "the record of the items has changed since it was ranked",
                    where=str(path),
                    expected=ranked.outcome.records,
                    got=digest,
                    fix="put back the file that was ranked",
                )
    shape = next(iter(found.values()), np.empty((0, len(names)))).shape
    nothing = np.full(shape, np.nan)
    return np.array([found.get(one.recipe, nothing) for one in entry.ranked]).reshape(-1, *shape)


def past_of(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    recorded: Population | None = None,
) -> Past:
    """What is recorded of a stage up to a ranked generation, as far as its budget asks for it.

    Args:
        files: The run.
        config: Its configuration.
        stage: The stage.
        generation: The last generation that counts.
        recorded: The generation after it, if that is there already: the hours that it ended by count, and
            not those of the clock.

    Raises:
        LineageError: a file is missing or damaged.
    """
    budget, phase = stage.budget, files.phase(stage.name)
    if not {"settled", "evaluations", "answers", "tokens", "gpu_hours"} & budget.limits.keys():
        return Past()
    evaluation = decided_evaluation(config, files.items)
    tasks = {one.name: one.task for one in evaluation.measured}
    ranked = [
        read_generation(phase.generation(number).outcomes) for number in range(generation + 1)
    ]
    hours = 0.0
    if recorded is not None:
        hours = hours_at(recorded.stopped)
    elif budget.gpu_hours is not None:
        hours = scoring_hours(phase, ranked)
    latest = ranked[-budget.settled - 1 :] if budget.settled is not None else []
    return Past(
        used=used(ranked, tasks),
        tokens=generated_tokens(phase, ranked, tasks) if budget.tokens is not None else 0,
        hours=hours,
        spreads=[read_spread(phase, one, evaluation.objectives) for one in latest],
    )


def first_ended_otherwise(
    files: RunFiles, config: RunConfig, stage: Stage
) -> tuple[int, str | None] | None:
    """The first recorded generation before which a stage would, or would not, have ended by its budget.

    Returns:
        Its number, and why the stage ends before it by this budget (None if it goes on); None where the
        budget makes nothing of what is recorded otherwise.

    Raises:
        LineageError: a file is missing or damaged.
    """
    for entry in entries(files.phase(stage.name)):
        if not entry.number:
            continue
        past = past_of(files, config, stage, entry.number - 1, entry.population)
        now = stop_reason(stage.budget, read_state(entry.files.state), entry.number, past)
        if now != entry.population.stopped:
            return entry.number, now
        if now is not None:
            return None
    return None


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
    starts = generation == 0 and (
        stage is None or stage in config.stages
    )  # a rival may go on from nothing
    refuse_if_all_failed(outcomes, first=starts, where=str(phase.root))
    weighed = stage is None or stage.strategy.weighs
    entry = rank(population, population_bytes, outcomes, objectives, weighed=weighed)
    atomic.write_bytes(current.outcomes, pretty_json(entry.model_dump(mode="json")))
    if stage is not None and entry.ranked:
        log(f"{name}: {generation_line(files, config, name, generation)}")
        score = only_score(entry, objectives, stage) if stage in config.stages else None
        if score is not None:  # the two moves of a rival's climb are often as good as each other
            same = f"fitness, {score[0]:.4f}" if weighed else "scores"
            log(
                f"{name}: all candidates of this generation have the same {same}, which "
                "tells the search nothing: look at what they answer, or use more or other documents"
            )
    elif entry.ranked:
        log(f"{name}: {len(outcomes)} scored on {population.split} items")


def read_outcomes(
    phase: PhaseFiles,
    population: Population,
    left: Mapping[str, int] | None = None,
    own: int | None = None,
) -> dict[str, Scored | Failed]:
    """Outcomes of a generation, by recipe digest.

    Args:
        phase: Its phase.
        population: Its candidates.
        left: The rung at which each recipe was left that was not scored on all documents.
        own: The generation, if it is scored on documents of its own.

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


def write_population(path: Path, population: Population) -> None:
    """Write population.json."""
    atomic.write_bytes(path, pretty_json(population.model_dump(mode="json")))
