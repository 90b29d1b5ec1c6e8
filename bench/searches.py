"""Searches on a bed (see search_bed.py): how candidates are drawn and scored, and how a winner is chosen of them.

Costs are counted in answers: a candidate's answer to one question. A search counts those that it asked for, whether
or not another search had asked for them before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search_bed import PARENTS, SIZES, Bed
from tsugiki import api
from tsugiki.contracts.recipe import Recipe
from tsugiki.keyed import generator
from tsugiki.space.parameter_space import ParameterGenome

GRID = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""Weights of each parent in the tuned baseline, as in the default final table."""
RANGE = (0.0, 1.5)
TOP = 8
"""Finalists, beside the final mean."""


@dataclass(frozen=True)
class Seen:
    """A candidate that was scored."""

    recipe: Recipe
    score: float
    questions: int
    answers: int
    """Answers of the search so far, this candidate's among them."""
    evaluations: int
    """Candidates scored so far, with this one."""


@dataclass(frozen=True)
class Final:
    """What came of a search."""

    winner: float
    """The winner's accuracy on the test questions."""
    mean: float | None
    """The final mean's, if there is one."""
    answers: int
    """What the search had asked for."""


@dataclass
class Trace:
    """What a search saw, in order, and the mean of its distribution after each generation."""

    seen: list[Seen] = field(default_factory=list)
    means: list[tuple[int, int, Recipe]] = field(default_factory=list)
    """Evaluations and answers so far, and the mean."""
    last: Any = None
    """The mean's genome."""

    def add(self, recipe: Recipe, score: float, questions: int) -> None:
        """Note a candidate."""
        answers = self.answers + questions
        self.seen.append(Seen(recipe, score, questions, answers, len(self.seen) + 1))

    @property
    def answers(self) -> int:
        """Answers so far."""
        return self.seen[-1].answers if self.seen else 0


def tuned_grid(bed: Bed) -> tuple[dict[str, float], float]:
    """The tuned baseline: weight of each parent in task arithmetic of whole models, and its score."""
    best, weights = -1.0, {}
    for first in GRID:
        for second in GRID:
            point = dict(zip(PARENTS, (first, second), strict=True))
            score = bed.score(bed.recipe("task_arithmetic", {"weight": point}), "search")
            if score > best:
                best, weights = score, point
    return weights, best


def weights_space(bed: Bed, grouping: str = "block") -> ParameterGenome:
    """Task arithmetic with a weight for each parent and group."""
    gene = {"range": list(RANGE), "start": 0.6, "grouping": grouping}
    return bed.space("task_arithmetic", {"weight": gene})


def first_space(bed: Bed) -> ParameterGenome:
    """DARE-TIES with a weight and a density for each parent and block."""
    return bed.space(
        "dare_ties",
        {
            "weight": {"range": list(RANGE), "start": 0.6, "grouping": "block"},
            "density": {"range": [0.1, 1.0], "start": 0.9, "grouping": "block"},
        },
    )


def at_weights(space: ParameterGenome, weights: Mapping[str, float]) -> list[float]:
    """The point of a space that is a merge of whole models; other genes than weights as they start."""
    return [
        gene.coordinate(weights[gene.parent] if gene.parameter == "weight" else gene.start)
        for gene in space.genes
    ]


def evolve(
    bed: Bed,
    space: ParameterGenome,
    start: Sequence[float],
    *,
    seed: int,
    generations: int,
    questions: int = SIZES["search"],
    trace: Trace | None = None,
    **strategy: Any,
) -> Trace:
    """A search by one of the strategies; with fewer questions than there are, fresh ones each generation."""
    trace = Trace() if trace is None else trace
    kind = strategy.pop("kind", "cma_es")
    search = api.strategy(kind, start, seed=seed, **strategy)
    for _ in range(generations):
        ids = drawn(bed.seed, seed, len(trace.means), questions)
        scores = []
        for point in search.ask():
            recipe = space.decode(point.tolist())
            scores.append(float(bed.right(recipe, "search", ids).mean()))
            trace.add(recipe, scores[-1], questions)
        search.tell(scores)
        mean = search.strategy.mean(search.state)
        if mean is not None:
            trace.last = np.clip(mean, 0, 1)
            trace.means.append((len(trace.seen), trace.answers, space.decode(trace.last.tolist())))
    return trace


def drawn(bed: int, seed: int, generation: int, questions: int) -> list[int]:
    """The search questions of a generation."""
    rng = generator("questions", bed, seed, generation)
    return sorted(rng.permutation(SIZES["search"])[:questions].tolist())


def climb(
    bed: Bed,
    space: ParameterGenome,
    start: Sequence[float],
    *,
    seed: int,
    evaluations: int,
    step: float = 0.4,
) -> Trace:
    """Coordinate climb: gene after gene in random order, a step up and a step down; what is better is kept.

    The direction that helped a gene is tried first the next time. Steps, in units of the genes' ranges, halve
    after a round without success. The first step matters: with 0.2 the climb gets stuck at once.
    """
    trace = Trace()
    rng = generator("climb", bed.seed, seed)

    def scored(point: Any) -> float:
        recipe = space.decode(point.tolist())
        score = bed.score(recipe, "search")
        trace.add(recipe, score, SIZES["search"])
        return score

    best = np.array(start, dtype=np.float64)
    value = scored(best)
    signs = np.ones(len(best))
    while True:
        better = False
        for gene in rng.permutation(len(best)):
            for sign in (signs[gene], -signs[gene]):
                if len(trace.seen) >= evaluations:
                    return trace
                point = best.copy()
                point[gene] = np.clip(best[gene] + sign * step, 0, 1)
                if point[gene] != best[gene] and (score := scored(point)) > value:
                    best, value, better, signs[gene] = point, score, True, sign
                    break
        if not better:
            step /= 2


def finals(bed: Bed, trace: Trace, answers: int | None = None) -> Final:
    """The finalists' procedure after so many answers, as in a run: search, validation, test.

    The best candidates on the search questions and the last mean are put the validation questions; the best
    of them, the test questions. A score on few questions is as good as one on many to this
    procedure, so that with few the mean matters most.
    """
    seen = [one for one in trace.seen if answers is None or one.answers <= answers]
    found: dict[str, Seen] = {}
    for one in seen:
        known = found.get(one.recipe.digest)
        if known is None or one.score > known.score:
            found[one.recipe.digest] = one
    rows = [one.recipe for one in sorted(found.values(), key=lambda one: -one.score)[:TOP]]
    means = [mean for at, _, mean in trace.means if at <= len(seen)]
    rows += means[-1:]
    winner = max(rows, key=lambda recipe: bed.score(recipe, "validation"))
    return Final(
        winner=bed.score(winner, "test"),
        mean=bed.score(means[-1], "test") if means else None,
        answers=seen[-1].answers,
    )
