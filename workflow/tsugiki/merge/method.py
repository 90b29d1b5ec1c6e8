"""What a merge method is: its description, its parameters, and a pure function of one tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from tsugiki.merge.blockwise import BlockwiseMerge
    from tsugiki.merge.inputs import MergeInputs

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


class Ways(TypedDict):
    """How a method computes, as the fields of `Method` say; for methods that are made alike."""

    merge: Callable[[MergeInputs], Tensor]
    blockwise: Callable[[MergeInputs, dtype], BlockwiseMerge | None]
    elementwise: bool


@dataclass(frozen=True)
class Method:
    """A merge method."""

    name: str
    title: str
    paper: str
    """Authors, year and address of the source."""
    equation: str
    """The rule for one tensor, in plain text."""
    merge: Callable[[MergeInputs], Tensor]
    """Pure function of one tensor of all models: float32 of the tensor's shape. It mutates none of
    its inputs."""
    blockwise: Callable[[MergeInputs, dtype], BlockwiseMerge | None] | None = None
    """Merges in one pass on the processor, as a whole or piece by piece: the result of `merge` cast to
    a number format, bit for bit. None if the options ask for what has no such loop."""
    elementwise: bool = False
    """Whether `merge` gives the same bits on every device: it computes each element by itself, by
    single operations of IEEE 754 in a fixed order. Methods that sum over elements are merged on the
    processor."""
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
