"""What the candidates of a generation would score on all search documents: estimated from recorded answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import BASELINES, RunFiles
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Population
from tsugiki.contracts.samples import read_values
from tsugiki.errors import EvaluationError
from tsugiki.evolve.irt import estimated

Floats = npt.NDArray[np.float64]
Answers = dict[str, dict[int, float]]
"""By objective and document, what a model scored there."""


def estimate(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    population: Population,
    outcomes: Mapping[str, Scored | Failed],
) -> dict[str, dict[str, float]]:
    """Estimate a generation from the records of its stage, and of the baselines; writes nothing.

    Documents' parameters are fitted on the answers of parents, baselines, and candidates of earlier
    generations (`Stage.estimated_with`), for each objective by itself. Goals of the configuration are as
    decided; `outcomes` are by recipe digest.

    Returns:
        By recipe digest and objective, for candidates that the strategy asked for and that did not fail; empty where
        nothing is to be estimated.

    Raises:
        EvaluationError: answers are no numbers from 0 to 1, or no parent was scored.
        LineageError: a record is missing or damaged.
    """
    subsets, generation = config.subsets_of(stage.name), population.generation
    asked = dict.fromkeys(one.recipe for one in population.candidates if not one.leads)
    new = [one for one in asked if isinstance(outcomes[one], Scored)]
    if subsets is None or subsets.irt is None or not new:
        return {}
    phase = files.phase(stage.name)
    pool = read_document_sets(files.items).ids("search")
    left_out = population.left_out or {}
    compared = list(_of_baselines(files))
    parents = [one for name, one in compared if name in config.origins(stage)]
    if not parents:
        raise EvaluationError(
            "no parent has answered the search documents",
            where="evaluation.subsets.irt",
            expected="the ability of a candidate as a mixture of its parents'",
            fix="look at why the parents failed (results/<run>/baselines), or remove `irt`",
        )
    others = [one for name, one in compared if name not in config.origins(stage)]
    earlier: dict[str, Answers] = {}
    for number in stage.estimated_with(generation):
        for entry in read_generation(phase.generation(number).outcomes).ranked:
            if isinstance(entry.outcome, Scored):
                known = earlier.setdefault(entry.recipe, {})
                for name, more in read_values(
                    phase.candidate(entry.recipe).of(number).items
                ).items():
                    known.setdefault(name, {}).update(more)
    its = {one: read_values(phase.candidate(one).of(generation).items) for one in new}
    found: dict[str, dict[str, float]] = {one: {} for one in new}
    for objective in config.evaluation.objectives:
        documents = sorted(set(pool[objective.task]) - set(left_out.get(objective.task, ())))
        values = estimated(
            _table(parents, objective, documents),
            _table(others, objective, documents),
            _table(list(earlier.values()), objective, documents),
            _table(list(its.values()), objective, documents),
            estimator=subsets.irt.estimator,
            dimensions=subsets.irt.dimensions,
        )
        for recipe, value in zip(new, values, strict=True):
            found[recipe][objective.name] = float(value)
    return found


def _of_baselines(files: RunFiles) -> Iterator[tuple[str, Answers]]:
    """Names and answers of all baselines that did not fail, those of a grid under one name."""
    phase = files.phase(BASELINES)
    drawn = read_population(phase.generation(0).population).candidates
    ranked = read_generation(phase.generation(0).outcomes).ranked
    seen: set[str] = set()
    for candidate, entry in zip(drawn, ranked, strict=True):
        if isinstance(entry.outcome, Scored) and entry.recipe not in seen:
            seen.add(entry.recipe)
            yield str(candidate.origin["name"]), read_values(phase.candidate(entry.recipe).items)


def _table(models: Sequence[Answers], objective: Objective, documents: Sequence[int]) -> Floats:
    """Shape (models, documents); NaN where a model was not asked.

    Raises:
        EvaluationError: an answer is no number from 0 to 1.
    """
    table = np.full((len(models), len(documents)), np.nan)
    for row, answers in zip(table, models, strict=True):
        of_model = answers.get(objective.name, {})
        for place, document in enumerate(documents):
            if document not in of_model:
                continue
            if not 0 <= (value := of_model[document]) <= 1:
                raise EvaluationError(
                    f"objective {objective.name} cannot be estimated",
                    where="evaluation.subsets.irt",
                    expected="a number from 0 (wrong) to 1 (right) for each document",
                    got=f"{value} for document {document}",
                    fix="remove `irt`, or take another metric",
                )
            row[place] = value
    return table
