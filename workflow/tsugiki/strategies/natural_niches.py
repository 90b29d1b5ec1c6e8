"""Natural niches (M2N2): candidates compete for documents, and are crossed with those that complement them.

Abrantes, Lange and Tang, "Competition and Attraction Improve Model Fusion", GECCO 2025
(arXiv 2508.16204), section 3. What a document is worth is shared among all that solve it, so that a
candidate which alone solves something lives, however little it solves besides. The first parent is
drawn by what it gets, the second by what it would get where the first one gets less. A child takes the
mixing ratio w from one parent before a point of the model's depth that is drawn anew for each child, and
1 - w after it: over the generations, boundaries come to lie where they do good.

The paper interpolates weights on a sphere, makes one child at a time, and mutates only what is trained
from scratch. Genes are no weights, so that they are interpolated on the line; a generation of children
competes at once; and without any mutation no gene would leave the range of the first generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import FIRST_SPREAD, Asked, Strategy, about, first_mean


class NaturalNiches(Strategy):
    """Natural niches (M2N2): candidates compete for documents, and mate with those that complement them."""

    by_document: ClassVar[bool] = True
    keeps: ClassVar[bool] = True

    kind: Literal["natural_niches"]
    """Natural niches."""
    population: Annotated[int, Field(ge=2)] = 24
    """Candidates in a generation."""
    archive: Annotated[int, Field(ge=2)] | None = None
    """Number of candidates that survive as parents; the population if absent."""
    competition: Annotated[float, Field(ge=0)] = 1.0
    """How much less a document is worth if others solve it too: its worth is divided by the sum of their scores
    to this power. 0 means no competition."""
    mutation: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Standard deviation of the normal step on each gene of a child, in units of its range."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No parents yet. An indicator starts as probable as the start says.

        Genes without a depth are taken to lie along the model in their order.
        """
        kinds = kinds or GeneKinds.numbers(len(start))
        depth = kinds.depth
        if depth is None:
            depth = (np.arange(len(start)) + 0.5) / len(start)
        mean = first_mean(start, kinds.binary, FIRST_SPREAD)
        return State(self.kind, {"start": mean, "depth": np.asarray(depth, dtype=np.float64)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Children of parents that are drawn by their share of the documents, and by attraction."""
        if not len(state.arrays.get("genomes", ())):
            return [Asked(one) for one in about(state.arrays["start"], self.population, key)]
        genomes = state.arrays["genomes"]
        shared = shares(state.arrays["solved"], state.arrays["worth"], self.competition)
        random = generator(*key)
        asked = []
        got = shared.sum(axis=(1, 2))
        for _ in range(self.population):
            first = _draw([got], random)
            pair = [first, _draw([attraction(shared, first), got], random)]
            ratio, split = random.random(2)
            child = crossed(genomes[pair], state.arrays["depth"], ratio, split)
            child += self.mutation * random.standard_normal(len(child))
            asked.append(Asked(np.clip(child, 0.0, 1.0), tuple(dict.fromkeys(pair))))
        return asked

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Let the children compete with those that live; failures do not take part.

        Without records of documents, each objective counts as one document. Where an objective has no
        number for any document, as perplexity, each one counts its value.
        """
        whole = np.flatnonzero(scores.whole)
        if not len(whole) and len(state.arrays.get("genomes", ())):  # nobody has come
            told = np.full(len(state.arrays["told"]), -1.0)
            return State(self.kind, {**state.arrays, "told": told})
        values = scores.values[:, None]
        if scores.by_document is not None:
            without = np.isnan(scores.by_document).all(axis=1, keepdims=True)
            values = np.where(without, values, scores.by_document)
        pool, solved, told = genomes[whole], values[whole], whole.astype(np.float64)
        if len(state.arrays.get("genomes", ())):
            before = state.arrays["solved"]
            pool = np.concatenate([state.arrays["genomes"], pool])
            solved = np.concatenate([before, solved])
            told = np.concatenate([np.full(len(before), -1.0), told])
        documents = (~np.isnan(solved)).any(axis=0).sum(axis=0)
        worth = scores.weights / np.maximum(documents, 1)
        kept = survivors(solved, worth, self.competition, self.archive or self.population)
        return State(
            self.kind,
            {
                "start": state.arrays["start"],
                "depth": state.arrays["depth"],
                "genomes": pool[kept],
                "solved": solved[kept],
                "told": told[kept],
                "worth": worth,
            },
        )


def shares(solved: Array, worth: Array, competition: float = 1.0) -> Array:
    """What each candidate gets of each document: worth * s / z^competition, z the sum of all s.

    Args:
        solved: shape (candidates, documents, objectives): numbers, larger is better; NaN where there is
            none, which solves nothing. Where some are negative, the worst one solves nothing.
        worth: shape (objectives,): of one document.
        competition: The paper's alpha.

    Returns:
        Not negative; shape (candidates, documents, objectives).
    """
    solved = np.where(np.isnan(solved), np.inf, solved)
    worst = solved.min(axis=0, initial=0.0)
    score = np.where(np.isinf(solved), 0.0, solved - worst)
    total = score.sum(axis=0)
    return np.asarray(worth * score / np.where(total > 0, total, 1.0) ** competition)


def attraction(shared: Array, first: int) -> Array:
    """What each candidate would add to the first parent, over the documents; shape (candidates,).

    Args:
        shared: What each one gets, as `shares` gives it.
        first: Index of the first parent.
    """
    return np.asarray(np.maximum(shared - shared[first], 0.0).sum(axis=(1, 2)))


def survivors(solved: Array, worth: Array, competition: float, count: int) -> list[int]:
    """Indices of the candidates that survive: the one with the smallest share is removed, again and again.

    Its share is divided among the others each time. Of equals the first is removed.

    Args:
        solved: shape (candidates, documents, objectives), as in `shares`.
        worth: shape (objectives,): of one document.
        competition: The paper's alpha.
        count: How many are left, at most.
    """
    kept = list(range(len(solved)))
    while len(kept) > count:
        got = shares(solved[kept], worth, competition).sum(axis=(1, 2))
        del kept[int(got.round(12).argmin())]  # equals differ in last bits, by the order of sums
    return kept


def crossed(pair: Array, depth: Array, ratio: float, split: float) -> Array:
    """The child of two genomes: `ratio` of the second before the split, 1 - `ratio` after it.

    Args:
        pair: shape (2, genes).
        depth: shape (genes,): where along the model each gene acts, from 0 to 1.
        ratio: From 0 to 1.
        split: Where along the model the parents change their parts, from 0 to 1.
    """
    of_second = np.where(depth < split, ratio, 1.0 - ratio)
    return np.asarray((1.0 - of_second) * pair[0] + of_second * pair[1])


def _draw(merits: Sequence[Array], random: np.random.Generator) -> int:
    """An index by the first of some merits that anybody has, with a probability in proportion to it."""
    merit = next((one for one in merits if one.sum() > 0), np.ones(len(merits[0])))
    return int(random.choice(len(merit), p=merit / merit.sum()))
