"""Particle swarm optimisation with constriction.

Clerc and Kennedy, "The particle swarm: explosion, stability, and convergence in a multidimensional complex
space", IEEE Transactions on Evolutionary Computation 6(1), 2002; all particles know the best place of all.
A particle that leaves the unit cube stops at its wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import FIRST_SPREAD, Asked, Strategy, about, clip, first_mean

INERTIA = 0.7298
"""The constriction for phi = 4.1."""

PULL = 1.49618
"""Towards a particle's own best place, and towards the best of all: INERTIA x 2.05."""


class ParticleSwarm(Strategy):
    """Particle swarm optimisation (Clerc and Kennedy 2002)."""

    kind: Literal["pso"]
    """Particle swarm."""
    population: Annotated[int, Field(ge=2)] = 24
    """Particles: candidates in a generation."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No particles yet. Indicators are numbers, at first as probable as the start says."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        return State(self.kind, {"start": first_mean(start, binary, FIRST_SPREAD)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Where the particles fly next; each one's parent is itself."""
        if "genomes" not in state.arrays:
            return [Asked(one) for one in about(state.arrays["start"], self.population, key)]
        genomes, own = state.arrays["genomes"], state.arrays["own"]
        leader = own[np.argmax(state.arrays["fitness"])]
        pulls = PULL * generator(*key).random((2, *genomes.shape))
        velocity = (
            INERTIA * state.arrays["velocity"]
            + pulls[0] * (own - genomes)
            + pulls[1] * (leader - genomes)
        )
        return [Asked(clip(one), (index,)) for index, one in enumerate(genomes + velocity)]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Remember each particle's place, velocity and best place so far."""
        fitness = np.where(scores.failed, -np.inf, weighted_sum(scores))
        before = state.arrays.get("genomes", genomes)
        best = state.arrays.get("fitness", np.full(len(genomes), -np.inf))
        better = fitness > best
        own = np.where(better[:, None], genomes, state.arrays.get("own", genomes))
        arrays = {
            "start": state.arrays["start"],
            "genomes": genomes,
            "velocity": genomes - before,
            "own": own,
            "fitness": np.where(better, fitness, best),
        }
        return State(self.kind, arrays)
