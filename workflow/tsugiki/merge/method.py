"""What a merge method is, and what it is given: one tensor of every model, and the values that apply to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

import torch
from torch import Tensor

from tsugiki.errors import RecipeError
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels.elements import Bits, in_one_format
from tsugiki.merge.masks import mask_key, uniforms
from tsugiki.merge.selection import magnitudes_of, nth_largest, nth_largest_by_counting

Value = bool | float | str


@dataclass(frozen=True)
class ParameterSpec:
    """A number that may differ between groups of tensors, and so can be searched."""

    name: str
    per_parent: bool
    """Whether each parent has its own value. If not, the values belong to `SHARED`."""
    low: float
    """Smallest valid value."""
    high: float
    """Largest valid value."""
    default: float
    """Value where the recipe gives none."""
    gene_range: tuple[float, float]
    """Range that is sensible to search."""
    doc: str
    """One sentence for users."""


@dataclass(frozen=True)
class OptionSpec:
    """A choice that holds for the whole merge."""

    name: str
    default: Value
    doc: str
    """One sentence for users."""
    low: float | None = None
    """Smallest valid number, if the option is a number."""
    high: float | None = None
    """Largest valid number, if the option is a number."""
    choices: tuple[str, ...] = ()
    """Valid texts, if the option is a text."""


class Tensors(Protocol):
    """One tensor of every model, as an engine provides it.

    Models are named by their place: parents from 0 on, in the order of their digests, and None for the
    base. What is returned may be shared with other calls and must not be changed.
    """

    @property
    def device(self) -> torch.device:
        """Where `values` are."""

    def bits(self, index: int | None) -> Bits:
        """A model's elements in the processor's memory, as the compiled loops take them.

        Unlike `values`, they are not known to be finite.
        """

    def values(self, index: int | None) -> Tensor:
        """A model's tensor, float32."""

    def decomposition(self, index: int) -> Tensor | None:
        """What a file holds of `Method.decompose` of a parent's task vector; None if there is no such file."""

    def require_finite(self) -> None:
        """Raise ParentError if the base or a parent is not finite."""


@dataclass(frozen=True)
class MergeInputs:
    """One tensor of every model, with the parameters and options that apply to it.

    Parents are in the order of their digests, so that sums are accumulated in an order that does
    not depend on the names that a user gave them.
    """

    name: str
    """The tensor's name."""
    shape: tuple[int, ...]
    parents: tuple[str, ...]
    """Names of the parents, for messages."""
    digests: tuple[str, ...]
    """Digests of the parents' files."""
    tensors: Tensors
    per_parent: Mapping[str, tuple[float, ...]]
    """Values of parameters, one for each parent."""
    shared: Mapping[str, float]
    """Values of parameters that belong to no parent."""
    options: Mapping[str, Value]
    mask_seed: int = 0
    has_base: bool = True

    @property
    def count(self) -> int:
        """How many parents there are."""
        return len(self.parents)

    @property
    def numel(self) -> int:
        """How many elements the tensor has."""
        return math.prod(self.shape)

    def flag(self, name: str) -> bool:
        """An option that is true or false."""
        return bool(self.options[name])

    def number(self, name: str) -> float:
        """An option that is a number."""
        return float(self.options[name])

    def elements(self, *models: int | None) -> tuple[Bits, ...]:
        """Elements of some models, by their places, None for the base: all in one format."""
        return in_one_format([self.tensors.bits(index) for index in models])

    def base_and_parents(self) -> tuple[Bits, ...]:
        """Elements of the base and of every parent, in one format."""
        return self.elements(None, *range(self.count))

    def task_vector(self, index: int) -> Tensor:
        """Parent minus base, float32."""
        return self.tensors.values(index) - self.tensors.values(None)

    def largest(self, index: int, count: int) -> float:
        """The `count`-th largest magnitude of a task vector, 1 <= count <= number of elements."""
        if self.tensors.device.type != "cpu":
            return nth_largest_by_counting(self.task_vector(index).abs_(), count)
        return nth_largest(magnitudes_of(*self.elements(None, index)), count)

    def mask_keys(self) -> list[int]:
        """Each parent's key of random numbers for this tensor (see `masks`)."""
        return [mask_key(self.mask_seed, self.name, digest) for digest in self.digests]

    def uniforms(self, index: int) -> Tensor:
        """One number in [0, 1) for every element, of the tensor's shape (see `masks`)."""
        key = self.mask_keys()[index]
        return uniforms(key, self.numel, self.tensors.device).view(self.shape)

    def weights_summing(self) -> float:
        """Sum of the parents' weights, for methods that divide by it.

        Raises:
            RecipeError: the weights cancel.
        """
        weights = self.per_parent["weight"]
        total = sum(weights)
        if abs(total) <= 1e-6 * sum(map(abs, weights)):
            shown = ", ".join(
                f"{parent} {weight:g}" for parent, weight in zip(self.parents, weights, strict=True)
            )
            raise RecipeError(
                "weights that sum to zero cannot be normalised",
                where=f"tensor {self.name}",
                got=shown,
                fix="keep the weights positive"
                + (", or set `normalize` to false" if "normalize" in self.options else ""),
            )
        return total


class Ways(TypedDict):
    """How a method computes, as the fields of `Method` say; for methods that are made alike."""

    merge: Callable[[MergeInputs], BlockwiseMerge]
    on_device: Callable[[MergeInputs], Tensor]


@dataclass(frozen=True)
class Method:
    """A merge method."""

    name: str
    title: str
    paper: str
    """Authors, year and address of the source."""
    equation: str
    """The rule for one tensor, in plain text."""
    merge: Callable[[MergeInputs], Tensor | BlockwiseMerge]
    """Pure function of one tensor of all models, which mutates none of its inputs: float32 of the tensor's
    shape, or the compiled loop that makes it in one pass, on the processor."""
    on_device: Callable[[MergeInputs], Tensor] | None = None
    """For an elementwise method, the same in torch, float32: the bits of `merge` on every device, as each
    element is computed by itself, by single operations of IEEE 754 in a fixed order. Methods that sum over
    elements have none, and are merged on the processor."""
    decompose: Callable[[Tensor, Mapping[str, Value]], Tensor] | None = None
    """What `merge` needs of a task vector whatever the parameters are, by the options, if it takes long: float32, of a
    shape that the vector's shape decides. Asked for tensors of two dimensions and more; a search keeps it in files."""
    parameters: tuple[ParameterSpec, ...] = ()
    options: tuple[OptionSpec, ...] = ()
    base: Literal["required", "optional", "unused"] = "required"
    """Whether the method needs the model that task vectors are taken against."""
    min_parents: int = 1
    max_parents: int | None = None
    """None: any number."""

    @property
    def needs_base(self) -> bool:
        """Whether a recipe without a base is invalid."""
        return self.base == "required"

    def parameter(self, name: str) -> ParameterSpec | None:
        """The parameter of that name."""
        return next((spec for spec in self.parameters if spec.name == name), None)

    def option(self, name: str) -> OptionSpec | None:
        """The option of that name."""
        return next((spec for spec in self.options if spec.name == name), None)
