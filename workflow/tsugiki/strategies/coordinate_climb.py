"""Coordinate climb: one gene after another, a step up and a step down, and what is better is kept.

The direct search of Hooke and Jeeves (Journal of the ACM 8(2), 1961): exploratory moves along the
coordinates, a pattern move that takes together what helped, half the step after a round without success.
It is made for generations of any size: a generation holds the moves of as many genes as it has room for,
and the next one tries those together that were better, each by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy, default_population

FINEST = 1e-3
"""Smallest step, in units of the genes' ranges."""


class CoordinateClimb(Strategy):
    """Steps along one gene after another from the best point so far; an indicator is flipped."""

    kind: Literal["coordinate_climb"]
    """Coordinate climb."""
    step: Annotated[float, Field(gt=0, le=1)] = 0.4
    """First step, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=1)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent. With 2 it is the plain climb,
    a step up and a step down at a time."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """At the start, with the first step; an indicator is on where its probability is above a half."""
        known = kinds or GeneKinds.numbers(len(start))
        point = np.where(known.binary, np.asarray(start) > THRESHOLD, start).astype(np.float64)
        return State(
            self.kind,
            {
                "point": point,
                "together": point,
                "binary": known.binary.astype(np.float64),
                "switch": known.switch.astype(np.float64),
            },
            {
                "population": self.population or default_population(len(start)),
                "step": self.step,
                "next": 0,
                "value": None,
                "measured": 0,
                "measure": True,
                "moved": False,
                "moved_before": True,
            },
        )

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """The point where a round begins, what was better taken together, and the next moves.

        Where no step is left that is not too fine, the rest is drawn about the point.
        """
        size, point = state.scalars["population"], state.arrays["point"]
        asked = _first(state)[:size]
        asked += [genome for _, genome in _moves(state, size - len(asked))]
        random, binary = generator(*key), state.arrays["binary"] == 1
        rate = 2 / max(int(binary.sum()), 2)
        for _ in range(size - len(asked)):
            near = np.clip(point + random.normal(scale=self.step, size=len(point)), 0.0, 1.0)
            flipped = np.where(random.random(len(point)) < rate, 1.0 - point, point)
            asked.append(np.where(binary, flipped, near))
        return [Asked(genome) for genome in asked]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Go to the best candidate if it is better, and plan to take together all that were.

        The point is measured again where a round begins, and the mean of its values counts: under
        noise, luck would hold it otherwise. Whoever was left at a rung is no better, and measures nothing.
        """
        known, point = dict(state.scalars), state.arrays["point"]
        values = np.where(scores.whole, weighted_sum(scores), -np.inf)
        if known["measure"] and scores.whole[0]:
            total = (known["value"] or 0.0) * known["measured"] + float(values[0])
            known["measured"] += 1
            known["value"] = total / known["measured"]
        level = -np.inf if known["value"] is None else known["value"]
        better = [
            int(one)
            for one in np.argsort(-values, kind="stable")
            if values[one] > level and not np.array_equal(genomes[one], point)
        ]
        new = together = np.array(genomes[better[0]] if better else point)
        for one in better[1:]:
            changed = genomes[one] != point
            if np.array_equal(together[changed], point[changed]):
                together = np.where(changed, genomes[one], together)
        if better:
            known |= {"value": float(values[better[0]]), "measured": 1}
        known |= self._place(state, len(genomes), better)
        return State(self.kind, {**state.arrays, "point": new, "together": together}, known)

    def _place(self, state: State, size: int, better: Sequence[int]) -> dict[str, object]:
        """Where in its round the climb stands after a generation, and with which step it goes on."""
        known, round_ = state.scalars, 2 * len(state.arrays["point"])
        first = len(_first(state)[:size])
        taken = [place for place, _ in _moves(state, size - first)]
        if not taken:  # all was drawn
            step = self.step if better else known["step"]
            return {"step": step, "next": 0, "moved": bool(better), "measure": bool(better)}
        # where a step up was better, the one down would lead back
        after = taken[-1] + 1 + (taken[-1] % 2 == 0 and first + len(taken) - 1 in better)
        rounds, place = divmod(after, round_)
        moved = known["moved"] or bool(better)
        if not rounds:
            return {"next": place, "moved": moved, "measure": False}
        step = known["step"] if moved else known["step"] / 2**rounds
        return {
            "step": step,
            "next": place,
            "moved": False,
            "moved_before": moved,
            "measure": True,
        }


def _first(state: State) -> list[Array]:
    """What a generation begins with: the point, if its value is wanted, and what was better together."""
    point, together = state.arrays["point"], state.arrays["together"]
    return [
        *([point] if state.scalars["measure"] else []),
        *([together] if not np.array_equal(point, together) else []),
    ]


def _moves(state: State, count: int) -> Iterator[tuple[int, Array]]:
    """The next moves from the point, at most `count`, with their places in the round.

    A gene has two places, one up and one down; an indicator is flipped in the first of them, unless
    nothing has changed since it was last. Numbers without effect are left alone. Where a generation
    goes on beyond the end of a round, it does with half the step.
    """
    point, known = state.arrays["point"], state.scalars
    binary, switch = state.arrays["binary"] == 1, state.arrays["switch"].astype(int)
    flips = known["moved"] or known["moved_before"]
    for place in itertools.count(known["next"]) if count > 0 else ():
        rounds, here = divmod(place, 2 * len(point))
        step = known["step"] / 2**rounds
        if step < FINEST:
            return
        gene, down = divmod(here, 2)
        genome = point.copy()
        if binary[gene]:
            genome[gene] = 1.0 - point[gene] if flips and not rounds and not down else point[gene]
        elif switch[gene] < 0 or point[switch[gene]] > THRESHOLD:
            genome[gene] = np.clip(point[gene] + (-step if down else step), 0.0, 1.0)
        if genome[gene] != point[gene]:
            yield place, genome
            count -= 1
            if not count:
                return
