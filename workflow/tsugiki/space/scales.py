"""From numbers of the genome to the scale of each hop of a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tsugiki.config.dataflow import DataflowSpace

Step = tuple[int, int | None]
"""A hop: its layer's index in the row of all layers, and the number of its place. The place is
None for a fixed first layer, and the number of places for a fixed last one."""

Floats = NDArray[np.float64]

WEIGHT = 3.0
"""Weights of the network lie between -WEIGHT and WEIGHT."""


class Scales(Protocol):
    """One way to parameterise the scales."""

    @property
    def start(self) -> tuple[float, ...]:
        """Coordinates that make every scale 1."""
        ...

    @property
    def switches(self) -> list[int]:
        """For each number the place without which it has no effect, or -1."""
        ...

    def of(self, steps: Sequence[Step], numbers: Floats) -> list[float]:
        """The scale of each hop. `numbers`: shape (numbers,), coordinates in [0, 1]."""
        ...


@dataclass(frozen=True)
class NoScales:
    """Every scale is 1."""

    start: tuple[float, ...] = ()

    @property
    def switches(self) -> list[int]:
        """There are no numbers."""
        return []

    def of(self, steps: Sequence[Step], numbers: Floats) -> list[float]:
        """All ones."""
        del numbers
        return [1.0] * len(steps)


@dataclass(frozen=True)
class ScalePerHop:
    """A number for each place, and one more for a fixed last layer. A fixed first layer has 1."""

    low: float
    high: float
    places: int
    fixed_ends: bool

    @property
    def start(self) -> tuple[float, ...]:
        """Ones."""
        return (_coordinate(self.low, self.high),) * (self.places + self.fixed_ends)

    @property
    def switches(self) -> list[int]:
        """Each number has its place; that of a fixed last layer is always in use."""
        return [*range(self.places), *([-1] * self.fixed_ends)]

    def of(self, steps: Sequence[Step], numbers: Floats) -> list[float]:
        """That of the place."""
        values = self.low + numbers * (self.high - self.low)
        return [1.0 if place is None else float(values[place]) for _, place in steps]


@dataclass(frozen=True)
class ScaleMatrix:
    """The paper's W: a number for each ordered pair of layers; the first hop has 1."""

    low: float
    high: float
    layers: int

    @property
    def start(self) -> tuple[float, ...]:
        """Ones."""
        return (_coordinate(self.low, self.high),) * self.layers**2

    @property
    def switches(self) -> list[int]:
        """A pair depends on two places and all between them: none switches it alone."""
        return [-1] * self.layers**2

    def of(self, steps: Sequence[Step], numbers: Floats) -> list[float]:
        """`W[i, j]` for the hop from layer i to layer j."""
        values = self.low + numbers.reshape(self.layers, self.layers) * (self.high - self.low)
        return [1.0, *(float(values[i, j]) for (i, _), (j, _) in pairwise(steps))]


@dataclass(frozen=True)
class ScaleNetwork:
    """The paper's pi(i, j, t): one hidden layer; the first hop has 1.

    Inputs are i and j (places in the row, from 0 to 1) and t (the step, as a share of all places).
    The scale is 1 + tanh(o) times the distance from 1 to the end of the range on o's side, so that
    it stays in the range, and weights of zero give 1.
    """

    low: float
    high: float
    layers: int
    places: int
    hidden: int

    @property
    def start(self) -> tuple[float, ...]:
        """Weights of zero."""
        return (0.5,) * (5 * self.hidden + 1)

    @property
    def switches(self) -> list[int]:
        """Every weight is always in use."""
        return [-1] * len(self.start)

    def of(self, steps: Sequence[Step], numbers: Floats) -> list[float]:
        """The network's output at each hop."""
        weights = (2 * numbers - 1) * WEIGHT
        size = self.hidden
        inner, bias = weights[: 3 * size].reshape(size, 3), weights[3 * size : 4 * size]
        outer, offset = weights[4 * size : 5 * size], weights[5 * size]
        scales = [1.0]
        for t, ((i, _), (j, _)) in enumerate(pairwise(steps), start=1):
            wide = max(self.layers - 1, 1)
            point = np.array([i / wide, j / wide, t / max(self.places, 1)])
            output = float(np.tanh(outer @ np.tanh(inner @ point + bias) + offset))
            room = self.high - 1 if output > 0 else 1 - self.low
            scales.append(1 + output * room)
        return scales


def make_scales(settings: DataflowSpace, *, layers: int, places: int) -> Scales:
    """The parameterisation that a space names.

    Args:
        settings: The space.
        layers: Layers in the row (the paper's M).
        places: Places with an indicator.
    """
    low, high = settings.scale_range
    match settings.scales:
        case "per_hop":
            return ScalePerHop(low, high, places, settings.fixed_ends)
        case "matrix":
            return ScaleMatrix(low, high, layers)
        case "network":
            return ScaleNetwork(low, high, layers, places, settings.hidden)
        case "none":
            return NoScales()


def _coordinate(low: float, high: float) -> float:
    """Coordinate of 1 in the range."""
    return (1 - low) / (high - low)
