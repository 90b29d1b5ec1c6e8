"""The tensors of a model in data-flow space: where each comes from, and what is done to it.

The input scales of a path are moved into the weights (derivation: docs/dataflow.md): a tensor is changed by
the running product of the scales up to its layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsugiki.contracts.recipe import DataflowRecipe, Hop
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.dataflow.parents import DataflowParents, Shape
from tsugiki.merge.engine import DTYPES
from tsugiki.models.checkpoint import DTYPES as FORMATS
from tsugiki.models.kinds.layers import Role
from tsugiki.models.plan import PlannedTensor, TensorPlan


@dataclass(frozen=True)
class Rescaling:
    """`(offset + factor * w) * scale - offset`, for a stored tensor w."""

    factor: float = 1.0
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether the tensor stays as it is."""
        return self.factor == 1.0 and self.scale == 1.0


UNCHANGED = Rescaling()


def rescaling_of(role: Role, product: float, factor: float = 1.0) -> Rescaling:
    """What folding does to a tensor.

    Args:
        role: What the tensor is in its layer.
        product: Running product of the input scales; not 0.
        factor: The recipe's own factor of this tensor.
    """
    if role.rule == "divided":
        return Rescaling(factor, 1.0 / product, role.offset)
    if role.rule == "signed":
        return Rescaling(factor, math.copysign(1.0, product), role.offset)
    return Rescaling(factor)


def folded(tensor: Tensor, change: Rescaling, dtype: torch.dtype, *, where: str) -> Tensor:
    """The changed tensor, computed in float32 and cast once; a tensor that stays is only cast.

    Raises:
        RecipeError: the result is not finite in this number format.
    """
    if change.is_none:
        return tensor.to(dtype)
    values = tensor.float() * change.factor
    result = ((values + change.offset) * change.scale - change.offset).to(dtype)
    bad = int((~torch.isfinite(result)).sum())
    if bad:
        raise RecipeError(
            "folding the input scales gives numbers that are not finite",
            where=where,
            expected=f"finite numbers in {str(dtype).removeprefix('torch.')}",
            got=f"{bad} NaN or infinite elements at a scale of {change.factor * change.scale:g}",
        )
    return result


SMALLEST = 1e-3
"""A hop's scale is at least this large, or at most minus it: 0 would erase the embeddings."""
LARGEST_PRODUCT = 1e6
"""The running product stays between one over this and this. Its inverse scales the activations
of the folded model, whose squares a norm sums up in float32."""


def running_products(path: Sequence[Hop]) -> tuple[float, ...]:
    """For each hop, the product of the scales up to and with its own; float64.

    Raises:
        RecipeError: a scale, or a product, is too near 0 or too large.
    """
    products = []
    product = 1.0
    for number, hop in enumerate(path):
        product *= hop.scale
        if abs(hop.scale) < SMALLEST:
            raise RecipeError(
                "an input scale is too near 0",
                where=_place(number, hop),
                expected=f"a magnitude of at least {SMALLEST:g}",
                got=f"{hop.scale:g}",
            )
        if not 1 / LARGEST_PRODUCT <= abs(product) <= LARGEST_PRODUCT:
            raise RecipeError(
                "the product of the input scales is out of bounds",
                where=_place(number, hop),
                expected=f"a magnitude from {1 / LARGEST_PRODUCT:g} to {LARGEST_PRODUCT:g}",
                got=f"{product:g}",
            )
        products.append(product)
    return tuple(products)


def _place(number: int, hop: Hop) -> str:
    return f"hop {number} (layer {hop.layer} of {hop.parent})"


@dataclass(frozen=True)
class Origin:
    """Where a tensor of the model comes from."""

    parent: str
    tensor: str
    change: Rescaling = UNCHANGED


class DataflowMerge:
    """A recipe in data-flow space, checked against its parents.

    Raises:
        RecipeError: a layer does not exist, or a scale is out of bounds.
        LineageError: a parent is not the one that the recipe was made for.
        ParentError: the parents' layers cannot stand in one model.
    """

    def __init__(self, recipe: DataflowRecipe, parents: DataflowParents) -> None:
        self.recipe = recipe
        self.dtype = DTYPES[recipe.dtype]
        self.layers = parents.check(recipe)
        self.owner = parents.checkpoint(recipe.owner)
        self._parents = parents
        self._outside = parents.parts(recipe.owner).outside
        self.origins: dict[str, Origin] = {}
        shapes: dict[str, Shape] = {}
        for name, shape, origin in self._tensors():
            self.origins[name], shapes[name] = origin, shape
        self.plan = TensorPlan(
            tuple(
                PlannedTensor(
                    name, self._stored(name), shapes[name], merged=name not in self._outside
                )
                for name in sorted(shapes)
            ),
            self.owner.kind,
        )

    @property
    def config(self) -> dict[str, Any]:
        """Content of the model's config.json: the owner's, for the layers of the path."""
        path = self.recipe.path
        lists = {
            key: [self._parents.config(hop.parent)[key][hop.layer] for hop in path]
            for key in self.layers.per_layer
            if self._parents.config(self.owner.name).get(key) is not None
        }
        return self.owner.kind.with_core(self.owner.config, {self.layers.count: len(path)} | lists)

    def format(self, planned: PlannedTensor) -> torch.dtype:
        """Number format that a tensor is stored in: the recipe's, or a wider one of its parent's own."""
        origin = self.origins[planned.name]
        parent = self._parents.checkpoint(origin.parent)
        if not planned.merged:
            return FORMATS[parent.header(origin.tensor).dtype]
        return parent.wider(origin.tensor) or self.dtype

    def tensor(self, planned: PlannedTensor) -> Tensor:
        """Make one tensor.

        Raises:
            RecipeError: the result is not finite.
            ParentError: the parent's tensor is not finite.
        """
        origin = self.origins[planned.name]
        stored = self._parents.models.stored(origin.parent, origin.tensor)
        return folded(stored, origin.change, self.format(planned), where=f"tensor {planned.name}")

    def pieces(self, planned: PlannedTensor) -> Iterator[Tensor]:
        """The tensor as its only piece."""
        yield self.tensor(planned)

    def _tensors(self) -> Iterator[tuple[str, Shape, Origin]]:
        recipe, prefix = self.recipe, self.layers.prefix
        products = running_products(recipe.path)
        owner = self._parents.parts(recipe.owner)
        for name, shape in owner.before.items():
            yield name, shape, Origin(recipe.owner, name)
        for number, (hop, product) in enumerate(zip(recipe.path, products, strict=True)):
            shapes = self._parents.layer(number, hop)
            _require_same(number, hop, owner.layers[0], shapes)
            for name, shape in shapes.items():
                role, factor = self.layers.roles[name], hop.factors.get(name, 1.0)
                change = rescaling_of(role, product, factor)
                origin = Origin(hop.parent, f"{prefix}.{hop.layer}.{name}", change)
                yield f"{prefix}.{number}.{name}", shape, origin
        yield from self._head(products[-1])
        for name, shape in owner.outside.items():
            yield name, shape, Origin(recipe.owner, name)

    def _stored(self, name: str) -> str:
        """What a tensor is called in the owner's files; those of further layers like those of the first."""
        within = self.layers.within(name)
        if within is None:
            return self.owner.facts.names.get(name, name)
        number, rest = within
        first = self.owner.facts.names[f"{self.layers.prefix}.0.{rest}"]
        start, _, _ = first.rpartition(f"0.{rest}")
        return f"{start}{number}.{rest}"

    def _head(self, product: float) -> Iterator[tuple[str, Shape, Origin]]:
        parent = self.recipe.head or self.recipe.owner
        mine, after = (
            self._parents.parts(self.recipe.owner).after,
            self._parents.parts(parent).after,
        )
        if after != mine:
            raise ParentError(
                f"`{self.owner.name}` cannot take its final norm and head from `{parent}`",
                where=str(self._parents.checkpoint(parent).folder),
                expected=", ".join(f"{name} {list(shape)}" for name, shape in sorted(mine.items())),
                got=", ".join(f"{name} {list(shape)}" for name, shape in sorted(after.items())),
                fix="an output head that is tied to the embeddings, or of another vocabulary, "
                "stays with its parent",
            )
        for name, shape in after.items():
            role = self.layers.final.get(name, Role("kept"))
            yield name, shape, Origin(parent, name, rescaling_of(role, product))


def _require_same(
    number: int, hop: Hop, reference: Mapping[str, Shape], shapes: Mapping[str, Shape]
) -> None:
    if shapes != reference:
        differing = sorted(
            name
            for name in shapes.keys() | reference.keys()
            if shapes.get(name) != reference.get(name)
        )
        raise ParentError(
            "the layers of a path do not have the same tensors",
            where=f"hop {number} (layer {hop.layer} of {hop.parent})",
            expected=", ".join(f"{name} {reference.get(name)}" for name in differing[:5]),
            got=", ".join(f"{name} {shapes.get(name)}" for name in differing[:5]),
            fix="take layers from models of one architecture and size",
        )
