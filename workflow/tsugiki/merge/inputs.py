"""What a merge method is given: one tensor of every model, and the values that apply to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tsugiki.errors import RecipeError
from tsugiki.merge.kernels.elements import Bits
from tsugiki.merge.method import Value


class Tensors(Protocol):
    """One tensor of every model, as an engine provides it: read anew, or kept in memory.

    Models are named by their place: parents from 0 on, in the order of their digests. What is
    returned may be shared with other calls and must not be changed.
    """

    def bits(self, index: int | None) -> Bits:
        """A parent's elements, or the base's for None, as the compiled loops take them.

        Unlike the others, they are not known to be finite.
        """

    def require_finite(self) -> None:
        """Raise ParentError if the base or a parent is not finite."""

    def base(self) -> Tensor:
        """The base's tensor, float32."""

    def parent(self, index: int) -> Tensor:
        """A parent's tensor, float32."""

    def task_vector(self, index: int) -> Tensor:
        """Parent minus base, float32."""

    def largest(self, index: int, count: int) -> float:
        """The `count`-th largest magnitude of a task vector, 1 <= count <= number of elements."""

    def uniforms(self, index: int, mask_seed: int) -> Tensor:
        """One number in [0, 1) for every element, of the tensor's shape (see `masks`)."""


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
        product = 1
        for size in self.shape:
            product *= size
        return product

    def flag(self, name: str) -> bool:
        """An option that is true or false."""
        return bool(self.options[name])

    def number(self, name: str) -> float:
        """An option that is a number."""
        return float(self.options[name])

    def weights_summing(self, name: str = "weight") -> float:
        """Sum of the parents' weights, for methods that divide by it.

        Raises:
            RecipeError: the weights cancel.
        """
        weights = self.per_parent[name]
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
