"""Who reaches the finals, and who wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsugiki.config.evaluation import Objective
from tsugiki.config.run import Preference
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import EVOLVED, TEST
from tsugiki.contracts.outcome import Scored, is_whole
from tsugiki.contracts.population import Bound, Candidate, Generation, Population, Ranked
from tsugiki.contracts.scores import nondominated, scores_of, weighted_sum
from tsugiki.errors import EvaluationError


def best_distinct(
    history: Sequence[Generation], count: int, stage: Stage, objectives: Sequence[Objective]
) -> list[Ranked]:
    """The best candidates of a stage, each recipe once, as its strategy sees them.

    Where scores of generations do not compare, see `comparable`.

    Returns:
        Their entries, with the outcome over all documents that they were asked.
    """
    chosen: list[Ranked] = []
    for found in comparable(history):
        scores = scores_of((entry.outcome for entry in found), objectives)
        best = stage.strategy.best(scores, count - len(chosen)) if len(chosen) < count else []
        chosen += [found[index] for index in best]
    return chosen


def comparable(history: Sequence[Generation]) -> list[list[Ranked]]:
    """Candidates of a stage that were scored on all its documents, in groups whose scores compare.

    That is one group, unless each generation has documents of its own. Then those that several of them asked
    are a group, by the mean over all documents that they were asked; of the others each generation is one,
    the last one first: what is scored on different documents does not compare, and a search improves.

    Returns:
        Each recipe once, where it came first, with its outcome over all documents that it was asked; the group
        to choose from first leads.
    """
    found: dict[str, Ranked] = {}
    last: dict[str, Scored] = {}
    for generation in history:
        for entry in generation.ranked:
            if is_whole(entry.outcome):
                found.setdefault(entry.recipe, entry)
                last[entry.recipe] = entry.outcome
    groups: dict[tuple[bool, int], list[Ranked]] = {}
    for recipe, entry in found.items():
        outcome = last[recipe]
        once = outcome.so_far is not None and outcome.times == 1
        drawn = int(entry.id.partition("-")[0]) if once else 0
        known = entry.model_copy(update={"outcome": outcome.overall})
        groups.setdefault((once, -drawn), []).append(known)
    return [groups[one] for one in sorted(groups)]


def finalist_population(
    run: str,
    chosen: Sequence[Ranked],
    mean: str | None,
    objectives: Sequence[Objective],
    *,
    phase: str = "finalists",
    preference: Preference | None = None,
) -> Population:
    """The finalists of a stage, to be scored on the validation items.

    `mean` is the recipe digest of the strategy's final mean, if it has one.
    """
    named = {entry.recipe: f"candidate {entry.id}" for entry in chosen}
    if mean is not None:
        named.setdefault(mean, "final mean")
    searched: dict[str, dict[str, str | list[str]]] = {
        entry.recipe: {SEARCHED: repr(value), ITEMS: str(_items(entry))}
        for entry, value in zip(
            chosen,
            weighted_sum(scores_of((entry.outcome for entry in chosen), objectives)).tolist(),
            strict=True,
        )
    }
    knee = knee_of(preference, objectives)
    if knee is not None:
        for entry in chosen:
            searched[entry.recipe][VALUES] = [repr(_value(entry, name)) for name in knee]
    rows: list[tuple[str, dict[str, str | list[str]]]] = [
        (recipe, {"name": name, "kind": "finalist", **searched.get(recipe, {})})
        for recipe, name in named.items()
    ]
    population = undrawn(run, phase, "validation", rows)
    return population.model_copy(update={"bounds": bounds_of(preference, objectives), "knee": knee})


def bounds_of(
    preference: Preference | None, objectives: Sequence[Objective]
) -> dict[str, Bound] | None:
    """Bounds by objective as they are recorded; None for no preference."""
    if preference is None or not preference.bounds:
        return None
    weights = {one.name: one.sign * one.weight for one in objectives}
    found = preference.bounds.items()
    return {name: Bound(value=value, weight=weights[name]) for name, value in found}


def knee_of(
    preference: Preference | None, objectives: Sequence[Objective]
) -> dict[str, float] | None:
    """Which way objectives are better, as it is recorded where the knee is to win; else None."""
    if preference is None or preference.by != "knee":
        return None
    return {one.name: one.sign for one in objectives}


def pools(finalists: Population) -> bool:
    """Whether the winner is chosen by search and validation scores: not in runs from before that."""
    return any(SEARCHED in candidate.origin for candidate in finalists.candidates)


def winner(finalists: Population, finals: Generation) -> Ranked:
    """The finalist that is expected to be the best.

    Of the candidates of the search, the one whose objectives have the largest weighted sum on search and
    validation items together: all of them were taken for their search scores, so that these are too high
    for all alike, and tell them apart as well as other items do. The strategy's final mean, which has no
    search score, if it does as well as that one on the validation items: noise that lifts the best of
    many candidates has no part in it. Of equals, the one that searched better.

    Where no search scores are recorded with the finalists, validation items alone choose. Where bounds
    are, only those that meet them on the validation items count, or, if none does, those that miss them least.
    Where the knee is to win, it is that of the front of those that count, by each objective on search and
    validation items together (see `bulges`); of equals, the one with the larger weighted sum.

    Raises:
        EvaluationError: every finalist failed.
    """
    if not any(entry.fitness is not None for entry in finals.ranked):
        raise EvaluationError("every finalist failed on the validation items")
    missing = least_missing(finalists, finals)
    scored = [
        entry
        for entry in finals.ranked
        if entry.fitness is not None and _missing(entry, finalists.bounds or {}) <= missing
    ]
    origins = {candidate.recipe: candidate.origin for candidate in finalists.candidates}
    searched = [entry for entry in scored if SEARCHED in origins[entry.recipe]]
    if finalists.knee is not None and searched:
        return _at_the_knee(searched, origins, finalists.knee)
    others = [entry for entry in scored if SEARCHED not in origins[entry.recipe]]
    best = max(others, key=_validated, default=None)
    if not searched:
        assert best is not None
        return best
    leader = max(searched, key=lambda entry: _pooled(entry, origins[entry.recipe]))
    return best if best is not None and _validated(best) >= _validated(leader) else leader


def _at_the_knee(
    scored: Sequence[Ranked],
    origins: Mapping[str, Mapping[str, str | list[str]]],
    signs: Mapping[str, float],
) -> Ranked:
    """The knee of the front of some finalists."""
    values = np.array(
        [
            [
                sign * _both(entry, origin, _value(entry, name), origin[VALUES][place])
                for place, (name, sign) in enumerate(signs.items())
            ]
            for entry, origin in ((entry, origins[entry.recipe]) for entry in scored)
        ]
    )
    beyond = bulges(values)
    sums = [_pooled(entry, origins[entry.recipe]) for entry in scored]
    return scored[max(range(len(scored)), key=lambda place: (beyond[place], sums[place]))]


def bulges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each candidate lies beyond the plane through the ends of the front.

    Values are brought to [0, 1] between the worst and the best of each objective on the front, and the ends
    are its best members on each objective. The member that lies furthest beyond the line (for three
    objectives, the plane, and so on) through them is the knee. Where the ends make no plane that faces the
    ideal, as when one candidate is the best on two objectives, it is the plane on which the normalised
    objectives sum to 1.

    Sources: Das (1999), "On characterizing the 'knee' of the Pareto curve based on normal-boundary
    intersection", Structural Optimization 18, who defines the knee so; Branke, Deb, Dierolf and Osswald
    (2004), "Finding knees in multi-objective optimization", PPSN VIII, on why it is a good choice where
    nothing is known of the user's wishes.

    Args:
        values: shape (candidates, objectives), larger is better, finite; at least one candidate.

    Returns:
        float64, shape (candidates,), in units of the normalised objectives, rounded to nine decimals: 0 for the
        ends of the front, negative short of the plane, and negative infinity for whom another one dominates.
    """
    front = np.flatnonzero(nondominated(values))
    low, high = values[front].min(axis=0), values[front].max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    scaled = (values[front] - low) / extent + (high == low)
    normal = _facing(scaled[scaled.argmax(axis=0)])
    found = np.full(len(values), -np.inf)
    found[front] = np.round((scaled @ normal - 1.0) / np.linalg.norm(normal), 9)
    return found


def _facing(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector n with n·x = 1 for the ends x of a front; all ones where none is positive.

    Args:
        ends: shape (objectives, objectives), a row for each end.
    """
    ones = np.ones(len(ends))
    if np.linalg.matrix_rank(ends) < len(ends):
        return ones
    normal = np.linalg.solve(ends, ones).astype(np.float64)
    return normal if (normal > 0).all() else ones


def least_missing(finalists: Population, finals: Generation) -> float:
    """By how much the finalist that misses the bounds least misses them: the weighted sum of all misses.

    0 if one meets them, or if there are none.
    """
    scored = (entry for entry in finals.ranked if entry.fitness is not None)
    return min((_missing(entry, finalists.bounds or {}) for entry in scored), default=0.0)


def _missing(entry: Ranked, bounds: Mapping[str, Bound]) -> float:
    measured = entry.outcome.measured if entry.outcome.status == "scored" else {}
    misses = (one.weight * (one.value - measured[name].value) for name, one in bounds.items())
    return sum(max(0.0, miss) for miss in misses)


SEARCHED, ITEMS, VALUES = "search", "items", "values"
"""What a finalist's origin says of the search: its weighted sum there, on how many items, and, where the
knee is to win, the value of each objective."""


def _validated(entry: Ranked) -> float:
    return entry.fitness or 0.0


def _pooled(entry: Ranked, origin: Mapping[str, str | list[str]]) -> float:
    """The weighted sum on search and validation items."""
    return _both(entry, origin, _validated(entry), str(origin[SEARCHED]))


def _both(
    entry: Ranked, origin: Mapping[str, str | list[str]], validated: float, searched: str
) -> float:
    """A value on search and validation items, each of these counting as often as it has items."""
    before, now = int(str(origin[ITEMS])), _items(entry)
    return (before * float(searched) + now * validated) / (before + now)


def _value(entry: Ranked, objective: str) -> float:
    assert isinstance(entry.outcome, Scored)
    return entry.outcome.measured[objective].value


def _items(entry: Ranked) -> int:
    """On how many items a candidate was scored."""
    outcome = entry.outcome
    return sum(one.items for one in outcome.measured.values()) if outcome.status == "scored" else 0


def held_out_population(
    run: str,
    finalists: Population,
    finals: Generation,
    baselines: dict[str, tuple[str, str]],
    stages: dict[str, str] | None = None,
    rivals: dict[str, str] | None = None,
) -> Population:
    """Everything that is scored on the test items, the winner first.

    By row name, `baselines` have a kind and a recipe digest, winners of earlier `stages` and of `rivals` a
    recipe digest.
    """
    won = winner(finalists, finals)
    rows = [(EVOLVED, "evolved", won.recipe)]
    rows.extend(
        (str(candidate.origin["name"]), "finalist", candidate.recipe)
        for candidate in finalists.candidates
        if candidate.recipe != won.recipe
    )
    rows.extend((name, "stage", recipe) for name, recipe in (stages or {}).items())
    rows.extend((name, "rival", recipe) for name, recipe in (rivals or {}).items())
    rows.extend((name, kind, recipe) for name, (kind, recipe) in baselines.items())
    named = ((recipe, {"name": name, "kind": kind}) for name, kind, recipe in rows)
    return undrawn(run, TEST, "test", named)


def undrawn(
    run: str,
    phase: str,
    split: Literal["search", "validation", "test"],
    rows: Iterable[tuple[str, Mapping[str, str | list[str]]]],
    genomes: Sequence[Sequence[float]] | None = None,
) -> Population:
    """The population of a phase that no strategy has drawn, and that has one generation.

    Each of `rows` is a candidate's recipe digest and origin; candidates have no `genomes` if absent.
    """
    return Population(
        run=run,
        phase=phase,
        generation=0,
        split=split,
        previous=None,
        state=None,
        candidates=tuple(
            Candidate(
                id=f"000-{index:02d}",
                recipe=recipe,
                genome=tuple(genomes[index]) if genomes is not None else (),
                origin=dict(origin),
            )
            for index, (recipe, origin) in enumerate(rows)
        ),
    )
