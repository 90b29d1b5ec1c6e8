"""Data-flow space (DFS): a genome <-> the path of one model through its parents' layers.

Akiba et al., arXiv 2403.13187, section 3.2: the layers of all parents in a row, M of them, repeated
r times, give T = M r places, each with an indicator; the input of a layer is scaled by a factor
that belongs to the hop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from tsugiki.canonical import pretty_json
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.stage import Stage
from tsugiki.errors import LineageError, ParentError
from tsugiki.recipe.dataflow import DataflowRecipe, Hop
from tsugiki.recipe.recipe import Data, ParentRef
from tsugiki.space.genome import THRESHOLD, GeneKinds
from tsugiki.space.scales import Scales, make_scales

DECIMALS = 6
"""Scales in recipes are rounded, so that equal candidates have equal digests."""


class Model(Data):
    """A parent, with its layers."""

    parent: ParentRef
    layers: Annotated[int, Field(ge=1)]


class DataflowGenome(Data):
    """space.json of a stage in data-flow space. The first model is the owner.

    The genome holds an indicator for each free place, then the numbers that give the scales.
    """

    version: Literal[1] = 1
    space: Literal["dataflow"] = "dataflow"
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
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
        doubt = self.settings.start_probability
        own = self.models[0].layers - (2 if self.settings.fixed_ends else 0)
        indicators = [1 - doubt if place < own else doubt for place in range(len(self.places))]
        return (*indicators, *self.scales.start)

    @property
    def kinds(self) -> GeneKinds:
        """Indicators first, then numbers."""
        count, switches = len(self.places), self.scales.switches
        return GeneKinds(
            binary=np.array([True] * count + [False] * len(switches)),
            switch=np.array([-1] * count + switches, dtype=np.int64),
        )

    def decode(self, coordinates: Sequence[float]) -> DataflowRecipe:
        """The recipe at a point of the unit cube.

        A path without any layer, which only free ends allow, becomes the owner's first layer.

        Args:
            coordinates: One number in [0, 1] for every gene.
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

    def to_json(self) -> bytes:
        """The content of space.json."""
        return pretty_json(self.model_dump(mode="json"))


def build_dataflow_genome(
    stage: Stage, *, digests: Mapping[str, str], layers: Mapping[str, int]
) -> DataflowGenome:
    """The genome of a stage.

    Args:
        stage: The stage; its first parent is the owner.
        digests: Digest of every parent, by name.
        layers: Number of layers of every parent, by name.

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
        Model(parent=ParentRef(name=name, digest=digests[name]), layers=layers[name])
        for name in stage.parents
    )
    return DataflowGenome(models=models, settings=space)
