"""The Pareto front of a run with several objectives: the candidates of its last stage that no other one beats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import Data
from tsugiki.contracts.layout import FINALISTS, TEST, RunFiles
from tsugiki.contracts.ledger import scored_generations
from tsugiki.contracts.outcome import is_whole
from tsugiki.contracts.population import Ranked
from tsugiki.contracts.scores import nondominated, scores_of
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.finalists.choose import comparable
from tsugiki.json_files import reader


class Member(Data):
    """A candidate on the front, and the value of each objective."""

    id: str
    recipe: str
    """Digest of its recipe."""
    search: dict[str, float]
    """On the search items, which put it there."""
    validation: dict[str, float] | None = None
    """On the validation items; None if it was no finalist, or failed."""
    test: dict[str, float] | None = None
    """On the test items; None if it was no finalist, or failed."""


class Front(Data):
    """front.json."""

    version: int = 1
    run: str
    stage: str
    """Whose candidates these are: the last one."""
    weights: dict[str, float]
    """What a unit of each objective adds to the weighted sum; below 0 where smaller is better."""
    members: tuple[Member, ...]
    """From the best on the first objective to the worst."""


def load_front(files: RunFiles, config: RunConfig) -> Front:
    """Find the front in the ledger, without writing it.

    Equal recipes are one candidate, the earliest. Where each generation has documents of its own, it is the front
    of those whose scores compare (see `comparable`), over all documents that they were asked.

    Raises:
        LineageError: a file that it needs is damaged.
    """
    stage, objectives = config.stages[-1], decided_evaluation(config, files.items).objectives
    names = {one.name for one in objectives}
    validation, test = (
        _values((one for of in scored_generations(files.phase(phase)) for one in of.ranked), names)
        for phase in (FINALISTS, TEST)
    )
    found = next(iter(comparable(scored_generations(files.phase(stage.name)))), [])
    search = _values(found, names)
    scores = scores_of((entry.outcome for entry in found), objectives)
    order = (-scores.values[:, 0]).argsort(kind="stable")
    kept = nondominated(scores.values)
    members = tuple(
        Member(
            id=entry.id,
            recipe=entry.recipe,
            search=search[entry.recipe],
            validation=validation.get(entry.recipe),
            test=test.get(entry.recipe),
        )
        for entry in (found[index] for index in order if kept[index])
    )
    weights = {one.name: one.sign * one.weight for one in objectives}
    return Front(run=config.name, stage=stage.name, weights=weights, members=members)


def write_front(files: RunFiles, config: RunConfig) -> Front | None:
    """Write the front and a recipe of each member; None, and nothing, for a run with one objective.

    Raises:
        LineageError: a file that it needs is missing or damaged.
    """
    if len(config.evaluation.objectives) < 2:
        return None
    front = load_front(files, config)
    recipes = recipes_of(files, front)
    for stale in files.front.parent.glob("*.json"):
        if stale not in recipes:
            stale.unlink()
    atomic.write_all(recipes)
    atomic.write_bytes(files.front, front.to_json())
    return front


def recipes_of(files: RunFiles, front: Front) -> dict[Path, bytes]:
    """Where the recipe of each member goes, and its content."""
    phase = files.phase(front.stage)
    return {
        files.front_recipe(one.id): phase.candidate(one.recipe).recipe.read_bytes()
        for one in front.members
    }


read_front = reader(Front.model_validate_json, "front")
"""Read front.json; LineageError where it is missing or no front."""


def _values(entries: Iterable[Ranked], objectives: set[str]) -> dict[str, dict[str, float]]:
    """By recipe, the value of each objective, of those that were scored."""
    return {
        entry.recipe: {
            name: one.value for name, one in entry.outcome.measured.items() if name in objectives
        }
        for entry in entries
        if is_whole(entry.outcome)
    }
