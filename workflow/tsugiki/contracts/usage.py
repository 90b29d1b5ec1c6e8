"""What a search has used: models scored, documents answered, tokens and hours, from what is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tsugiki.contracts.layout import PhaseFiles
from tsugiki.contracts.outcome import Failed, Scored, read_cost
from tsugiki.contracts.population import Generation
from tsugiki.contracts.samples import read_samples


@dataclass(frozen=True)
class Used:
    """Sums over the distinct recipes of a phase: a recipe that is drawn again is not scored again."""

    evaluations: int = 0
    """Models that were merged and scored, failures among them."""
    answers: int = 0
    """Documents that they answered. Those of failures are not recorded, and not counted."""


def used(generations: Iterable[Generation], tasks: Mapping[str, str]) -> Used:
    """What the ledger says.

    Args:
        generations: Ranked generations of a phase.
        tasks: Where the documents of each objective and monitor come from, by its name; what is measured
            on the same documents is measured on the same answers.
    """
    most: dict[str, int] = {}
    for generation in generations:
        for ranked in generation.ranked:
            answers = _answers(ranked.outcome, tasks)
            most[ranked.recipe] = max(answers, most.get(ranked.recipe, 0))
    return Used(len(most), sum(most.values()))


def _answers(outcome: Scored | Failed, tasks: Mapping[str, str]) -> int:
    if isinstance(outcome, Failed):
        return 0
    by_task: dict[str, int] = {}
    for name, measured in outcome.overall.measured.items():
        task = tasks.get(name, name)
        by_task[task] = max(measured.items, by_task.get(task, 0))
    return sum(by_task.values())


def generated_tokens(
    phase: PhaseFiles, generations: Iterable[Generation], tasks: Mapping[str, str]
) -> int:
    """Tokens of all answers that the distinct recipes of some generations have generated.

    Raises:
        LineageError: the record of a candidate's documents is missing or damaged.
    """
    places = {
        (ranked.recipe, own := generation.own_documents): phase.candidate(ranked.recipe)
        .of(own)
        .at(ranked.outcome.rung)
        .items
        for generation in generations
        for ranked in generation.ranked
        if isinstance(ranked.outcome, Scored)
    }
    answers: dict[tuple[str, str, int], int] = {}
    for (recipe, _), path in places.items():
        answers |= {(recipe, *one): tokens for one, tokens in _tokens(path, tasks).items()}
    return sum(answers.values())


def _tokens(path: Path, tasks: Mapping[str, str]) -> dict[tuple[str, int], int]:
    """By where a document comes from and its number, the tokens of its answer."""
    rows = read_samples(path, ["objective", "doc_id", "tokens"]).to_pylist()
    return {
        (tasks.get(row["objective"], row["objective"]), row["doc_id"]): row.get("tokens") or 0
        for row in rows
    }


def scoring_hours(phase: PhaseFiles, generations: Iterable[Generation]) -> float:
    """Hours that jobs have spent on the distinct recipes of some generations, merging included.

    They come from cost.json, which no digest covers and which another machine would write otherwise.

    Raises:
        LineageError: a cost file is damaged.
    """
    scored = dict.fromkeys(
        (one.recipe, of.own_documents) for of in generations for one in of.ranked
    )
    costs = (read_cost(phase.candidate(recipe).of(own).cost) for recipe, own in scored)
    return sum(cost.seconds_total for cost in costs if cost is not None) / 3600
