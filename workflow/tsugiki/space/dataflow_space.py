"""Data-flow space (DFS): a genome <-> the path of one model through its parents' layers.

Source: Akiba et al., arXiv 2403.13187, section 3.2: the layers of all parents in a row, M of them, repeated
r times, give T = M r places, each with an indicator; the input of a layer is scaled by a factor
that belongs to the hop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.stage import Stage
from tsugiki.contracts.data import Data
from tsugiki.contracts.genome import THRESHOLD, Begun, GeneKinds
from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.errors import LineageError, ParentError

Step = tuple[int, int | None]
"""A hop: its layer's index in the row of all layers, and the number of its place. The place is
None for a fixed first layer, and the number of places for a fixed last one."""

Floats = NDArray[np.float64]

WEIGHT = 3.0
"""Weights of the network lie between -WEIGHT and WEIGHT."""


@dataclass(frozen=True)
class Scales:
    """One way to make the scales of a path's hops from numbers of the genome."""

    start: tuple[float, ...]
    """Coordinates that make every scale 1."""
    switches: tuple[int, ...]
    """For each number the place without which it has no effect, or -1."""
    of: Callable[[Sequence[Step], Floats], list[float]]
    """The scale of each hop, from its steps and the numbers, coordinates in [0, 1]."""


def make_scales(settings: DataflowSpace, *, layers: int, places: int) -> Scales:
    """The parameterisation that a space names.

    `per_hop`: a number for each place, and one more for a fixed last layer; a fixed first layer has 1.
    `matrix`: the paper's W, a number for each ordered pair of layers; the first hop has 1. `network`:
    the paper's pi(i, j, t). `none`: every scale is 1.
    """
    low, high = settings.scale_range
    one = (1 - low) / (high - low)
    match settings.scales:
        case "per_hop":
            fixed = int(settings.fixed_ends)

            def per_hop(steps: Sequence[Step], numbers: Floats) -> list[float]:
                values = low + numbers * (high - low)
                return [1.0 if place is None else float(values[place]) for _, place in steps]

            # Each number has its place; that of a fixed last layer is always in use.
            return Scales((one,) * (places + fixed), (*range(places), *[-1] * fixed), per_hop)
        case "matrix":

            def matrix(steps: Sequence[Step], numbers: Floats) -> list[float]:
                values = low + numbers.reshape(layers, layers) * (high - low)
                return [1.0, *(float(values[i, j]) for (i, _), (j, _) in pairwise(steps))]

            # A pair depends on two places and all between them: none switches it alone.
            return Scales((one,) * layers**2, (-1,) * layers**2, matrix)
        case "network":
            count = 5 * settings.hidden + 1
            network = partial(network_scales, low=low, high=high, layers=layers, places=places)
            return Scales((0.5,) * count, (-1,) * count, network)
        case "none":
            return Scales((), (), lambda steps, _: [1.0] * len(steps))


def network_scales(
    steps: Sequence[Step], numbers: Floats, *, low: float, high: float, layers: int, places: int
) -> list[float]:
    """The paper's pi(i, j, t) at each hop: one hidden layer; the first hop has 1.

    Inputs are i and j (places in the row, from 0 to 1) and t (the step, as a share of all places).
    The scale is 1 + tanh(o) times the distance from 1 to the end of the range on o's side, so that
    it stays in the range, and weights of zero give 1.
    """
    weights = (2 * numbers - 1) * WEIGHT
    size = len(weights) // 5
    inner, bias = weights[: 3 * size].reshape(size, 3), weights[3 * size : 4 * size]
    outer, offset = weights[4 * size : 5 * size], weights[5 * size]
    scales = [1.0]
    for t, ((i, _), (j, _)) in enumerate(pairwise(steps), start=1):
        wide = max(layers - 1, 1)
        point = np.array([i / wide, j / wide, t / max(places, 1)])
        output = float(np.tanh(outer @ np.tanh(inner @ point + bias) + offset))
        room = high - 1 if output > 0 else 1 - low
        scales.append(1 + output * room)
    return scales


DECIMALS = 6
"""Scales in recipes are rounded, so that equal candidates have equal digests."""


class LayeredParent(Data):
    """A parent, with its layers."""

    parent: ParentRef
    layers: Annotated[int, Field(ge=1)]


class DataflowGenome(Begun):
    """space.json of a stage in data-flow space. The first model is the owner.

    The genome holds an indicator for each free place, then the numbers that give the scales.
    """

    version: Literal[1] = 1
    space: Literal["dataflow"] = "dataflow"
    models: Annotated[tuple[LayeredParent, ...], Field(min_length=1)]
    settings: DataflowSpace

    @cached_property
    def row(self) -> tuple[tuple[str, int], ...]:
        """Parent and layer of each of the M layers, in order."""
        return tuple(
            (model.parent.name, layer) for model in self.models for layer in range(model.layers)
        )

    @cached_property
    def places(self) -> tuple[int, ...]:
        """For each place with an indicator, its layer's index in the row.

        With fixed ends the owner's first layer, and its last one in the first repetition, have
        none: they are always taken, first and last.
        """
        every = [*range(len(self.row))] * self.settings.repeats
        if not self.settings.fixed_ends:
            return tuple(every)
        last = self.models[0].layers - 1
        return tuple(index for place, index in enumerate(every) if place not in (0, last))

    @cached_property
    def scales(self) -> Scales:
        """How numbers become scales."""
        return make_scales(self.settings, layers=len(self.row), places=len(self.places))

    @property
    def start(self) -> tuple[float, ...]:
        """The owner's own path, each indicator uncertain by `start_probability`; scales of 1."""
        if self.begin is not None:
            return self.begin.point
        doubt = self.settings.start_probability
        own = self.models[0].layers - (2 if self.settings.fixed_ends else 0)
        indicators = [1 - doubt if place < own else doubt for place in range(len(self.places))]
        return (*indicators, *self.scales.start)

    def as_start(self, point: Sequence[float]) -> tuple[float, ...]:
        """Where a search starts that is to start at a point: indicators uncertain by `start_probability`."""
        doubt, count = self.settings.start_probability, len(self.places)
        chances = [1 - doubt if one > THRESHOLD else doubt for one in point[:count]]
        return (*chances, *point[count:])

    @property
    def kinds(self) -> GeneKinds:
        """Indicators first, then numbers; a number lies where the place does that switches it."""
        count, switches = len(self.places), np.array(self.scales.switches, dtype=np.int64)
        places, numbers = ((np.arange(size) + 0.5) / size for size in (count, len(switches)))
        return GeneKinds(
            binary=np.array([True] * count + [False] * len(switches)),
            switch=np.concatenate([np.full(count, -1, dtype=np.int64), switches]),
            depth=np.concatenate([places, np.where(switches < 0, numbers, places[switches])]),
        )

    def decode(self, coordinates: Sequence[float]) -> DataflowRecipe:
        """The recipe at a point of the unit cube.

        A path without any layer, which only free ends allow, becomes the owner's first layer.
        """
        count, numbers = len(self.places), len(self.scales.start)
        if len(coordinates) != count + numbers:
            raise LineageError(
                "the genome does not fit the search space",
                expected=f"{count + numbers} genes",
                got=f"{len(coordinates)}",
            )
        taken = [place for place in range(count) if coordinates[place] > THRESHOLD]
        steps: list[tuple[int, int | None]] = [(self.places[place], place) for place in taken]
        if self.settings.fixed_ends:
            steps = [(0, None), *steps, (self.models[0].layers - 1, count)]
        steps = steps or [(0, None)]
        scales = self.scales.of(steps, np.asarray(coordinates[count:], dtype=np.float64))
        return DataflowRecipe(
            parents=tuple(model.parent for model in self.models),
            owner=self.models[0].parent.name,
            path=tuple(
                Hop(
                    parent=self.row[index][0],
                    layer=self.row[index][1],
                    scale=round(scale, DECIMALS),
                )
                for (index, _), scale in zip(steps, scales, strict=True)
            ),
            dtype=self.settings.dtype,
        )


def build_dataflow_genome(
    stage: Stage, *, digests: Mapping[str, str], layers: Mapping[str, int]
) -> DataflowGenome:
    """The genome of a stage.

    Raises:
        ParentError: the owner has too few layers for ends that are fixed.
    """
    space = stage.space
    assert isinstance(space, DataflowSpace)
    if space.fixed_ends and layers[stage.owner] < 2:
        raise ParentError(
            "the owner has no two layers to begin and end a path with",
            where=f"stage {stage.name}, parent {stage.owner}",
            expected="two layers or more",
            got=str(layers[stage.owner]),
            fix="set `fixed_ends: false`",
        )
    models = tuple(
        LayeredParent(parent=ParentRef(name=name, digest=digests[name]), layers=layers[name])
        for name in stage.parents
    )
    return DataflowGenome(models=models, settings=space)
