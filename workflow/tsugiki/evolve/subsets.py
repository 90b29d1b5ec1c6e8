"""Where each generation is scored on documents of its own: who comes again, and which documents tell nothing apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from tsugiki.config.evaluation import Objective
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Ranked
from tsugiki.contracts.scores import scores_of
from tsugiki.strategies.strategy import Strategy

Answers = Mapping[tuple[str, int], Hashable]
"""By source and document: what somebody scored there, whatever that is."""


def leaders(
    ranked: Sequence[Ranked], count: int, strategy: Strategy, objectives: Sequence[Objective]
) -> list[int]:
    """Which candidates of a generation are scored again, on the documents of the next one.

    A mean over more documents is less a matter of luck, so that newcomers, of whom some are always lucky,
    do not compete with those that came again, nor do estimates with scores: half of the places, rounded
    down, go to the best of these by the mean over all documents that they were asked, the others to the
    best newcomers, by what the strategy is told of them. Places that one side cannot fill go to the other.
    Leaders of the generation before are among `ranked`.

    Returns:
        Indices, each recipe once; fewer if there are no more that were scored.
    """
    first = {one.recipe: index for index, one in reversed(list(enumerate(ranked)))}
    places = sorted(first.values())
    known = {index: one for index in places if isinstance(one := ranked[index].told, Scored)}
    again, new = (
        _best_first(
            [index for index in known if (known[index].times > 1) is came],
            known,
            strategy,
            objectives,
        )
        for came in (True, False)
    )
    kept = again[: max(count // 2, count - len(new))]
    return [*kept, *new[: count - len(kept)]]


def improves(ranked: Sequence[Ranked], strategy: Strategy, objectives: Sequence[Objective]) -> bool:
    """Whether the best of those that came again, by the mean over all their documents, did so for the first time."""
    known = {
        index: one.outcome
        for index, one in enumerate(ranked)
        if isinstance(one.outcome, Scored) and one.outcome.times > 1
    }
    best = _best_first(list(known), known, strategy, objectives)
    return bool(best) and known[best[0]].times == 2


def _best_first(
    places: Sequence[int],
    known: dict[int, Scored],
    strategy: Strategy,
    objectives: Sequence[Objective],
) -> list[int]:
    outcomes = (one.overall if (one := known[index]).times > 1 else one for index in places)
    scores = scores_of(outcomes, objectives)
    return [places[one] for one in strategy.best(scores, len(places))]


def answered_alike(
    answers: Sequence[Answers], pool: Mapping[str, Sequence[int]], kept: int
) -> dict[str, list[int]]:
    """Documents on which all score the same, such as those that all answer right, or all wrong.

    `answers` are of the parents and of the candidates of a first generation; a document that one of them
    was not asked is none of these. `kept` documents of each source stay at least.

    Returns:
        Places of documents by source, ascending; sources without any are absent.
    """
    if not answers:
        return {}
    first, *others = answers
    found: dict[str, list[int]] = {}
    for source, documents in pool.items():
        alike = [
            one
            for one in sorted(documents)
            if (source, one) in first
            and all(other.get((source, one)) == first[source, one] for other in others)
        ]
        if alike := alike[: max(0, len(documents) - kept)]:
            found[source] = alike
    return found
