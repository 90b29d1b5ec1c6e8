"""Parameter space (PS): a genome in the unit cube <-> the recipe of one merged model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

import numpy as np

from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.contracts.data import Data
from tsugiki.contracts.genome import Begun, GeneKinds
from tsugiki.contracts.recipe import SHARED, Grouping, Parameter, ParentRef, Recipe
from tsugiki.errors import ConfigError, LineageError
from tsugiki.models.grouping import groups
from tsugiki.models.kinds.kind import Kind

DECIMALS = 6
"""Values in recipes are rounded, so that equal candidates have equal digests."""


class ParameterGene(Data):
    """One coordinate of the genome."""

    parameter: str
    parent: str
    """`SHARED` where the parameter belongs to no parent."""
    group: str
    low: float
    high: float
    start: float

    def value(self, coordinate: float) -> float:
        """The parameter's value for a coordinate in [0, 1]."""
        return round(self.low + coordinate * (self.high - self.low), DECIMALS)

    def coordinate(self, value: float) -> float:
        """The coordinate in [0, 1] of a value."""
        return (value - self.low) / (self.high - self.low)


class ParameterGenome(Begun):
    """space.json: what a genome of a stage means."""

    version: int = 1
    space: Literal["parameter"] = "parameter"
    genes: tuple[ParameterGene, ...]
    groupings: dict[str, Grouping]
    """By parameter."""
    frame: Recipe
    """The recipe, without the searched parameters."""

    @property
    def start(self) -> tuple[float, ...]:
        """Where the search starts, in the unit cube."""
        if self.begin is not None:
            return self.begin.point
        return tuple(gene.coordinate(gene.start) for gene in self.genes)

    def as_start(self, point: Sequence[float]) -> tuple[float, ...]:
        """Where a search starts that is to start at a point: there."""
        return tuple(point)

    @property
    def kinds(self) -> GeneKinds:
        """All genes are numbers; those of a parameter and parent lie along the model in their order."""
        runs = [
            list(run) for _, run in groupby(self.genes, lambda one: (one.parameter, one.parent))
        ]
        depth = np.concatenate([(np.arange(len(run)) + 0.5) / len(run) for run in runs])
        return replace(GeneKinds.numbers(len(self.genes)), depth=depth)

    def decode(self, coordinates: Sequence[float]) -> Recipe:
        """The recipe at a point of the unit cube."""
        if len(coordinates) != len(self.genes):
            raise LineageError(
                "the genome does not fit the search space",
                expected=f"{len(self.genes)} genes",
                got=f"{len(coordinates)}",
            )
        values: dict[str, dict[str, dict[str, float]]] = {}
        for gene, coordinate in zip(self.genes, coordinates, strict=True):
            of_parent = values.setdefault(gene.parameter, {}).setdefault(gene.parent, {})
            of_parent[gene.group] = gene.value(coordinate)
        searched = {
            name: Parameter(grouping=self.groupings[name], values=by_parent)
            for name, by_parent in values.items()
        }
        return self.frame.model_copy(update={"parameters": {**self.frame.parameters, **searched}})


def build_parameter_genome(
    stage: Stage,
    *,
    seed: int,
    digests: Mapping[str, str],
    tensor_names: Sequence[str],
    kind: Kind,
    per_parent: Mapping[str, bool],
) -> ParameterGenome:
    """The genome of a stage.

    Args:
        stage: The stage.
        seed: The run's seed, used for masks unless the stage has a seed of its own.
        digests: Digest of every parent and of the base, by name.
        tensor_names: Names of the merged model's tensors.
        kind: The kind of model that it is.
        per_parent: For every parameter of the method, whether each parent has its own value.

    Raises:
        ConfigError: a gene's start names a group that there is not.
    """
    space = stage.space
    assert isinstance(space, ParameterSpace)
    genes: list[ParameterGene] = []
    for parameter, gene in sorted(space.genes.items()):
        owners = sorted(stage.parents) if per_parent[parameter] else [SHARED]
        low, high = gene.range
        found = groups(tensor_names, gene.grouping, kind)
        if unknown := gene.start_groups - {*found, SHARED}:
            raise ConfigError(
                "a gene's start names groups that there are not",
                where=f"stage {stage.name}, gene {parameter}",
                expected=", ".join(found) + f", or `{SHARED}` for all others",
                got=", ".join(sorted(unknown)),
            )
        genes.extend(
            ParameterGene(
                parameter=parameter,
                parent=owner,
                group=group,
                low=low,
                high=high,
                start=gene.start_of(owner, group),
            )
            for owner in owners
            for group in found
        )
    return ParameterGenome(
        genes=tuple(genes),
        groupings={name: gene.grouping for name, gene in space.genes.items()},
        frame=frame_of(stage, seed=seed, digests=digests, per_parent=per_parent),
    )


def frame_of(
    stage: Stage, *, seed: int, digests: Mapping[str, str], per_parent: Mapping[str, bool]
) -> Recipe:
    """What all recipes of a stage have in common: a recipe without the searched parameters."""
    space = stage.space
    assert isinstance(space, ParameterSpace)
    fixed = {
        name: Parameter(
            values={
                owner: {"model": float(value)}
                for owner in (sorted(stage.parents) if per_parent[name] else [SHARED])
            }
        )
        for name, value in space.options.items()
        if name in per_parent and not isinstance(value, str)
    }
    return Recipe(
        method=space.method,
        base=_ref(stage.base, digests) if stage.base else None,
        parents=tuple(_ref(name, digests) for name in stage.parents),
        parameters=fixed,
        options={name: value for name, value in space.options.items() if name not in per_parent},
        mask_seed=space.mask_seed if space.mask_seed is not None else seed,
        dtype=space.dtype,
        owner=stage.owner,
    )


def _ref(name: str, digests: Mapping[str, str]) -> ParentRef:
    return ParentRef(name=name, digest=digests[name])
