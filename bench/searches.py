"""Searches on a bed (see search_bed.py): how candidates are drawn and scored, and how a winner is chosen of them.

Costs are counted in answers: a candidate's answer to one question. A search counts those that it asked for, whether
or not another search had asked for them before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from search_bed import PARENTS, SIZES, Bed
from tsugiki import api
from tsugiki.config.items import Irt
from tsugiki.config.stage import ESTIMATED_WITH
from tsugiki.contracts.genome import Genome
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, Hop
from tsugiki.contracts.scores import Scores, further_first
from tsugiki.evolve.irt import estimated
from tsugiki.evolve.surrogate import FEWEST, fit, screen
from tsugiki.keyed import generator
from tsugiki.space.dataflow_space import DataflowGenome
from tsugiki.space.parameter_space import ParameterGenome
from tsugiki.strategies.rungs.rule import Rule, Standing
from tsugiki.strategies.state import State
from tsugiki.strategies.strategy import Asked, Strategy, clip

GRID = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""Weights of each parent in the tuned baseline, as in the default final table."""
RANGE = (0.0, 1.5)
WEIGHTS = ("weight", "rest")
"""Parameters that are weights of a task vector, or of a part of it."""
TOP = 8
"""Finalists, beside the final mean."""


@dataclass(frozen=True)
class Asking:
    """What a generation is asked."""

    rungs: tuple[int, ...]
    """Numbers of questions; without a rule all candidates come to the last one."""
    fresh: bool = True
    """Draw each generation's questions anew, not once for the whole search."""
    rule: Rule | None = None
    """Who comes to the next rung."""
    irt: bool = False
    """Tell the strategy estimates for all search questions, as with `subsets: {irt: {}}`."""


@dataclass(frozen=True)
class Came:
    """How far a candidate came."""

    score: float
    questions: int
    rung: int | None
    """At which it was left; None if at none."""


@dataclass(frozen=True)
class Seen:
    """A candidate that was scored."""

    recipe: AnyRecipe
    score: float
    whole: bool
    """Whether it was left at no rung."""
    answers: int
    """Answers of the search so far, this candidate's among them."""


@dataclass(frozen=True)
class Final:
    """What came of a search."""

    recipe: AnyRecipe
    """The winner's."""
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
    means: list[tuple[int, int, AnyRecipe]] = field(default_factory=list)
    """Evaluations and answers so far, and the mean."""
    last: Any = None
    """The mean's genome."""

    def add(self, recipe: AnyRecipe, came: Came) -> None:
        """Note a candidate."""
        self.seen.append(Seen(recipe, came.score, came.rung is None, self.answers + came.questions))

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
    return bed.space("task_arithmetic", {"weight": _weight(grouping)})


def components_space(bed: Bed) -> ParameterGenome:
    """The demo's space: for each parent and block a weight for the leading singular components of its task vector, and one for the rest."""
    genes = {name: _weight("block") for name in WEIGHTS}
    return bed.space("svd_task_arithmetic", genes, {"share": 0.15})


def first_space(bed: Bed) -> ParameterGenome:
    """DARE-TIES with a weight and a density for each parent and block."""
    return bed.space(
        "dare_ties",
        {
            "weight": _weight("block"),
            "density": {"range": [0.1, 1.0], "start": 0.9, "grouping": "block"},
        },
    )


def _weight(grouping: str) -> dict[str, Any]:
    """A weight as a configuration has it."""
    return {"range": list(RANGE), "start": 0.6, "grouping": grouping}


def at_weights(space: ParameterGenome, weights: Mapping[str, float]) -> list[float]:
    """The point of a space that is a merge of whole models; other genes than weights as they start."""
    return [
        gene.coordinate(weights[gene.parent] if gene.parameter in WEIGHTS else gene.start)
        for gene in space.genes
    ]


def evolve(
    bed: Bed,
    space: Genome,
    start: Sequence[float],
    *,
    seed: int,
    answers: int,
    asking: Asking | None = None,
    trace: Trace | None = None,
    screened: bool = False,
    **strategy: Any,
) -> Trace:
    """A search by one of the strategies, until a generation more might cost more answers than there are.

    Args:
        bed: The models and questions.
        space: What is searched.
        start: Where the search starts, in the unit cube.
        seed: Of the search.
        answers: Most answers, those in `trace` among them.
        asking: What a generation is asked; all search questions if absent.
        trace: What came before, which is gone on with.
        screened: Whether a surrogate screens candidates, as in a stage with `surrogate: {}`.
        strategy: Kind (`cma_es` if absent) and settings.
    """
    trace = Trace() if trace is None else trace
    asking = Asking((SIZES["search"],)) if asking is None else asking
    kind = strategy.pop("kind", "cma_es")
    made = api.strategy(kind, start, seed=seed, **strategy).strategy
    state = made.initial(np.array(start, dtype=np.float64), space.kinds)
    search = api.Search(Screened(made, space) if screened else made, state, seed)
    estimates = Estimates(bed) if asking.irt else None
    while trace.answers + len(points := search.ask()) * asking.rungs[-1] <= answers:
        order = drawn(bed.seed, seed, search.generation if asking.fresh else 0)
        recipes = [space.decode(point.tolist()) for point in points]
        standings = scored_in_rungs(bed, recipes, order, asking)
        for recipe, standing in zip(recipes, standings, strict=True):
            trace.add(recipe, standing)
        told = ranked(standings) if estimates is None else estimates.of(recipes, order, asking)
        search.tell(told)
        if (mean := search.mean) is not None:
            trace.last = mean
            trace.means.append((len(trace.seen), trace.answers, space.decode(mean.tolist())))
    return trace


class Screened:
    """A strategy whose candidates a surrogate screens.

    Args:
        strategy: The strategy.
        space: What it searches.
        oversample: Draws for each place, as in a configuration.
        generations: On which the surrogate is fitted.
    """

    def __init__(
        self, strategy: Strategy, space: Genome, oversample: int = 4, generations: int = 10
    ) -> None:
        self._strategy, self._kinds = strategy, space.kinds
        self._oversample, self._generations = oversample, generations
        self._past: list[tuple[Any, Any]] = []

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """A generation, its second half the most promising of several draws."""
        asked = self._strategy.ask(state, key)
        past = self._past[-self._generations :]
        if not past:
            return asked
        points, values = (np.concatenate(column) for column in zip(*past, strict=True))
        if len(points) < FEWEST or not np.ptp(values):
            return asked
        more = range(1, self._oversample)
        draws = [asked, *(self._strategy.ask(state, (*key, "again", one)) for one in more)]
        return screen(draws, fit(points, values), self._kinds)

    def tell(self, state: State, genomes: Any, scores: Scores) -> State:
        """The state after a generation."""
        self._past.append((clip(genomes), scores.values[:, 0]))
        return self._strategy.tell(state, genomes, scores)

    def mean(self, state: State) -> Any:
        """The centre of the search."""
        return self._strategy.mean(state)


class Estimates:
    """Estimates by item response theory, as a stage with `subsets: {irt: {}}` has them.

    Documents' parameters are fitted on the answers of the parents and of the tuned baseline's grid, which the final table
    needs in any case, and on those of the last ten generations.

    Args:
        bed: The models and questions.
    """

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        # a task vector whole and the other not at all: a parent; neither: the base
        ends = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
        self._parents = np.array([self._whole(*weights) for weights in ends])
        self._others = np.array([self._whole(*weights) for weights in product(GRID, GRID)])
        self._past: list[Any] = []

    def of(self, recipes: Sequence[AnyRecipe], order: Sequence[int], asking: Asking) -> list[float]:
        """What a generation would score on all search questions, by its answers to the first of `order`."""
        ids = order[: asking.rungs[-1]]
        its = np.full((len(recipes), SIZES["search"]), np.nan)
        for row, recipe in zip(its, recipes, strict=True):
            row[ids] = self._bed.right(recipe, "search", ids)
        earlier = self._past[-ESTIMATED_WITH:] or [its[:0]]
        self._past.append(its)
        how = Irt()
        values = estimated(
            self._parents,
            self._others,
            np.concatenate(earlier),
            its,
            estimator=how.estimator,
            dimensions=how.dimensions,
        )
        return [float(value) for value in values]

    def _whole(self, first: float, second: float) -> Any:
        point = dict(zip(PARENTS, (first, second), strict=True))
        recipe = self._bed.recipe("task_arithmetic", {"weight": point})
        return self._bed.right(recipe, "search", range(SIZES["search"])).astype(np.float64)


def drawn(bed: int, seed: int, generation: int) -> list[int]:
    """All search questions in an order of their own; those of a rung are the first."""
    rng = generator("questions", bed, seed, generation)
    return [int(one) for one in rng.permutation(SIZES["search"])]


def scored_in_rungs(
    bed: Bed, recipes: Sequence[AnyRecipe], order: Sequence[int], asking: Asking
) -> list[Came]:
    """Score a generation; only the questions of those rungs that a candidate comes to are put to it."""
    rungs, rule = asking.rungs, asking.rule
    came: dict[int, Came] = {}
    going = list(range(len(recipes)))
    for rung, questions in enumerate(rungs if rule else rungs[-1:]):
        ids = order[:questions]
        bits = np.array([bed.right(recipes[one], "search", ids) for one in going], dtype=np.float64)
        means = bits.mean(axis=1)
        for one, mean in zip(going, means, strict=True):
            came[one] = Came(float(mean), questions, None)
        if rule is None or rung == len(rungs) - 1:
            break
        standing = Standing(
            rung=rung,
            documents=tuple(rungs),
            candidates=len(recipes),
            scores=Scores(means[:, None], np.zeros(len(means), dtype=np.bool_), np.ones(1)),
            order=tuple(int(one) for one in np.argsort(-means, kind="stable")),
            by_document=bits[..., None],
        )
        reasons = rule.left(standing)
        for one, reason in zip(going, reasons, strict=True):
            if reason is not None:
                came[one] = Came(came[one].score, questions, rung)
        going = [one for one, reason in zip(going, reasons, strict=True) if reason is None]
    return [came[one] for one in range(len(recipes))]


def ranked(standings: Sequence[Came]) -> list[float]:
    """Scores by which whoever came further is ahead, as a run tells them to its strategy."""
    values = np.array([[one.score] for one in standings])
    scores = Scores(values, np.zeros(len(values), dtype=np.bool_), np.ones(1))
    return [
        float(one) for one in further_first(scores, [one.rung for one in standings]).values[:, 0]
    ]


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
        trace.add(recipe, Came(score, SIZES["search"], None))
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


def insertion(bed: Bed, space: DataflowGenome, *, seed: int, evaluations: int) -> Trace:
    """Greedy by hand: put a layer in, take one out, or put one in another's place; what is better is kept.

    From the owner's own path, whose ends stay; scales are 1. Which of the three is drawn, then where, then which
    layer of which parent. No path is tried twice, and none is longer than the space has it.
    """
    trace = Trace()
    rng = generator("insertion", bed.seed, seed)
    parents = tuple(model.parent for model in space.models)
    owner = parents[0].name
    longest = len(space.places) + 2

    def scored(path: list[tuple[str, int]]) -> float:
        recipe = DataflowRecipe(
            parents=parents,
            owner=owner,
            path=tuple(Hop(parent=parent, layer=layer) for parent, layer in path),
            dtype=space.settings.dtype,
        )
        score = bed.score(recipe, "search")
        trace.add(recipe, Came(score, SIZES["search"], None))
        return score

    best = [(owner, layer) for layer in range(space.models[0].layers)]
    value, tried = scored(best), {tuple(best)}
    while len(trace.seen) < evaluations:
        path = list(best)
        move = rng.integers(3)
        at = int(rng.integers(1, len(path) - (0 if move == 0 else 1)))
        layer = space.row[int(rng.integers(len(space.row)))]
        if move == 0:
            path.insert(at, layer)
        elif move == 1:
            del path[at]
        else:
            path[at] = layer
        if tuple(path) in tried or not 2 < len(path) <= longest:
            continue
        tried.add(tuple(path))
        if (score := scored(path)) > value:
            best, value = path, score
    return trace


def finals(bed: Bed, trace: Trace, answers: int | None = None) -> Final:
    """The finalists' procedure after so many answers, as in a run: search, validation, test.

    The best candidates on the search questions and the last mean are put the validation questions; the best
    of them, the test questions. A score on few questions is as good as one on many to this
    procedure, so that with few the mean matters most.
    """
    seen = [one for one in trace.seen if answers is None or one.answers <= answers]
    found: dict[str, Seen] = {}
    for one in (one for one in seen if one.whole):
        known = found.get(one.recipe.digest)
        if known is None or one.score > known.score:
            found[one.recipe.digest] = one
    rows = [one.recipe for one in sorted(found.values(), key=lambda one: -one.score)[:TOP]]
    means = [mean for at, _, mean in trace.means if at <= len(seen)]
    rows += means[-1:]
    winner = max(rows, key=lambda recipe: bed.score(recipe, "validation"))
    return Final(
        recipe=winner,
        winner=bed.score(winner, "test"),
        mean=bed.score(means[-1], "test") if means else None,
        answers=seen[-1].answers,
    )
