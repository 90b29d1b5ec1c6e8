"""Restarts of CMA-ES: when a search has converged, and where the next one starts.

IPOP: Auger and Hansen, "A Restart CMA Evolution Strategy With Increasing Population Size", CEC 2005; each
search starts at a random point, with twice the candidates of the one before. BIPOP: Hansen, "Benchmarking
a BI-Population CMA-ES on the BBOB-2009 Function Testbed", GECCO 2009; small searches with small steps in
between, for as many candidates as the large ones had.

A generation keeps its size, and so the plan and the cost of a stage are those of its budget: a search with
more candidates draws them over several generations before it learns from them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.data import IfSet
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Strategy, default_population, key_of

LEAST_STEP = 1e-3
"""TolX, in units of the genes' ranges: no score tells models apart that are so near."""
EQUAL = 1e-12
"""TolFun, in units of the fitness."""
WORST_CONDITION = 1e14
"""Of the covariance matrix."""


class Restarting(Strategy):
    """A strategy that adapts a normal distribution, and can restart with a new one when it has converged."""

    kind: str
    """Its name."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""
    restarts: IfSet[Literal["ipop", "bipop"] | None] = None
    """Restart at a random point when a search has converged: with twice the population each time (`ipop`), or
    alternately with that and with a small population and step size (`bipop`). Generations keep their size: a
    larger population is drawn over several of them. No restarts if absent."""

    @abstractmethod
    def begin(
        self, start: Array, binary: NDArray[np.bool_], sigma: float, population: int
    ) -> State:
        """The first state of a search, without what is remembered of earlier ones.

        Args:
            start: shape (genes,): coordinates of numbers, probabilities of indicators.
            binary: shape (genes,): which genes are indicators.
            sigma: First step size.
            population: Candidates that it learns from at a time.
        """

    @abstractmethod
    def learn(self, state: State, genomes: Array, scores: Scores) -> State:
        """The state after a whole population has been scored, without what is remembered of earlier searches."""

    @abstractmethod
    def shape(self, state: State) -> tuple[Array, Array, Array]:
        """Mean, standard deviation of each gene, and that along each principal axis; shape (genes,)."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """The first search begins at the start."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        size = self.population or default_population(len(start))
        state = self.begin(start, binary, self.sigma, size)
        if self.restarts is None:
            return state
        memory = {
            "start": np.array(start, dtype=np.float64),
            "indicators": binary.astype(np.float64),
            "best_mean": np.empty(0),
        }
        counts = {"size": size, "large": 0, "regime": "small", "spent": {"small": 0, "large": 0}}
        return _searching(State(state.kind, memory, {**counts, "best_merit": None}), state)

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Learn, once the population is complete; begin anew, once the search has converged."""
        if self.restarts is None:
            return self.learn(state, genomes, scores)
        values = scores.values
        if len(state.arrays["waiting"]):
            genomes = np.concatenate([state.arrays["waiting"], genomes])
            values = np.concatenate([state.arrays["waiting_values"], values])
        if len(genomes) < state.scalars["population"]:
            waiting = {"waiting": genomes, "waiting_values": values}
            return State(self.kind, {**state.arrays, **waiting}, state.scalars)
        together = Scores(values, np.asarray(np.isnan(values).any(axis=1)), scores.weights)
        learnt = self.learn(state, genomes, together)
        history, merit = state.arrays["history"], state.scalars["merit"]
        fitness = weighted_sum(together)
        if not together.failed.all():
            window = 10 + math.ceil(30 * genomes.shape[1] / len(genomes))
            history = np.append(history, fitness.max())[-window:]
            merit = float(np.median(fitness))
            mean, deviation, axes = self.shape(learnt)
            numbers = deviation[state.arrays["indicators"] == 0]
            equal = len(history) == window and np.ptp(np.append(history, fitness)) <= EQUAL
            if equal or converged(numbers, axes):
                return self._restarted(state, mean, merit, key_of(genomes))
        searched = state.scalars["searched"] + len(genomes)
        return _searching(state, learnt, history, merit, searched)

    def deviations(self, state: State) -> Array:
        """Along all principal axes."""
        return self.shape(state)[2]

    def mean(self, state: State) -> Array | None:
        """The distribution's mean: of all searches, the one whose last population was best by its median."""
        best, merit = state.scalars.get("best_merit"), state.scalars.get("merit")
        if best is not None and (merit is None or best > merit):
            return state.arrays["best_mean"]
        return self.shape(state)[0]

    def _restarted(self, state: State, mean: Array, merit: float, key: tuple[str, ...]) -> State:
        """The first state of the next search, at a random point: of numbers, indicators stay as probable."""
        draws, known = generator(*key, "restart"), state.scalars
        spent = dict(known["spent"])
        spent[known["regime"]] += known["searched"] + known["population"]
        small = self.restarts == "bipop" and spent["small"] < spent["large"]
        large, size, sigma = known["large"] + (not small), known["size"], self.sigma
        start = np.where(
            state.arrays["indicators"] > 0, state.arrays["start"], draws.random(len(mean))
        )
        population = size * 2**large
        if small:  # Hansen's equation of lambda_s; in whole generations
            population = size * max(1, round((population / size / 2) ** (draws.random() ** 2)))
            sigma *= 10 ** (-2 * draws.random())
        best = known["best_merit"]
        arrays, scalars = dict(state.arrays), {**known, "large": large, "spent": spent}
        scalars["regime"] = "small" if small else "large"
        if best is None or merit > best:
            arrays["best_mean"], scalars["best_merit"] = mean, merit
        begun = self.begin(start, state.arrays["indicators"] > 0, sigma, population)
        return _searching(State(self.kind, arrays, scalars), begun)


def converged(deviation: Array, axes: Array) -> bool:
    """Whether a search has nothing more to find where it is, by Hansen's criteria TolX and ConditionCov.

    Args:
        deviation: Standard deviation of each number, in units of its range; shape (numbers,).
        axes: That along each principal axis of the distribution; shape (genes,).
    """
    near = bool(len(deviation)) and bool((deviation < LEAST_STEP).all())
    return near or bool(axes.max() ** 2 > WORST_CONDITION * axes.min() ** 2)


def _searching(
    state: State,
    search: State,
    history: Array | None = None,
    merit: float | None = None,
    searched: int = 0,
) -> State:
    """What is remembered of all searches, with the state of the present one, which waits for candidates.

    Args:
        state: Has what is remembered.
        search: Of the present search alone.
        history: Best fitness of each of its last populations.
        merit: Median fitness of the last one.
        searched: Candidates that it has learned from.
    """
    nobody = np.empty((0, 0))
    waiting = {"waiting": nobody, "waiting_values": nobody}
    arrays = {"history": np.empty(0) if history is None else history, **waiting}
    scalars = {"merit": merit, "searched": searched}
    return State(
        search.kind,
        {**state.arrays, **arrays, **search.arrays},
        {**state.scalars, **scalars, **search.scalars},
    )
