"""What is recorded of a stage before a generation is drawn, read from the run's files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsugiki.canonical import digest_file
from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import BASELINES, CandidateFiles, PhaseFiles, RunFiles
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.outcome import Scored, is_whole
from tsugiki.contracts.population import Generation, Population
from tsugiki.contracts.samples import read_by_document, read_samples
from tsugiki.contracts.spread import read_spread
from tsugiki.contracts.usage import generated_tokens, scoring_hours, used
from tsugiki.errors import LineageError
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evolve.stop import Past, hours_at
from tsugiki.evolve.subsets import Answers, answered_alike
from tsugiki.finalists.compare import PARENTS


def past_of(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    recorded: Population | None = None,
) -> Past:
    """What is recorded of a stage up to a ranked generation, as far as what follows depends on it.

    `generation` is the last one that counts; `recorded` is as for `spent`.

    Raises:
        LineageError: a file is missing, damaged, or another one than was ranked.
    """
    phase, past = files.phase(stage.name), spent(files, config, stage, generation, recorded)
    if stage.strategy.by_document:
        entry = read_generation(phase.generation(generation).outcomes)
        objectives = decided_evaluation(config, files.items).objectives
        past = replace(past, by_document=by_document(phase, entry, objectives))
    subsets = config.subsets_of(stage.name)
    if subsets is not None and subsets.informative and generation == 0:
        past = replace(past, left_out=_answered_alike(files, config, stage))
    if earlier := [phase.generation(number) for number in stage.modelled(generation)]:
        history = [
            (read_population(one.population), read_generation(one.outcomes)) for one in earlier
        ]
        past = replace(past, history=history)
    return past


def spent(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    generation: int,
    recorded: Population | None = None,
) -> Past:
    """What is recorded of a stage up to a ranked generation, as far as its budget asks for it.

    `generation` is the last one that counts. Where the one after it is there already (`recorded`), the
    hours that it ended by count, and not those of the clock.

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


def by_document(
    phase: PhaseFiles, entry: Generation, objectives: Sequence[Objective]
) -> npt.NDArray[np.float64]:
    """What the candidates of a generation made of each search document, from their records.

    The entry names each record by its digest.

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
