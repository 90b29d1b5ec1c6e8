"""What the evolved merge is compared with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from tsugiki.config.base import Name, Section
from tsugiki.config.stack_baseline import StackBaseline


class Baseline(Section):
    """A merge without evolution. A list of values makes a grid, tuned on the search items."""

    kind: Literal["merge"] = "merge"
    """A merge of whole models."""
    name: Name
    """Row in the final table."""
    method: str
    """Merge method."""
    parameters: dict[str, float | list[float]] = {}
    """The method's parameters, the same for every parent and tensor."""
    per_parent: list[str] = []
    """Parameters whose grid is spanned over the parents, not shared by them."""
    options: dict[str, float | bool | str | list[float]] = {}
    """The method's options."""

    @model_validator(mode="after")
    def _per_parent_names_parameters(self) -> Baseline:
        for name in self.per_parent:
            if name not in self.parameters:
                raise ValueError(f"per_parent names `{name}`, which is not among the parameters")
        return self


def _kind(value: Any) -> str:
    """A baseline without a kind is a merge."""
    if isinstance(value, dict):
        return str(value.get("kind", "merge"))
    return str(getattr(value, "kind", "merge"))


AnyBaseline = Annotated[
    Annotated[Baseline, Tag("merge")] | Annotated[StackBaseline, Tag("stack")],
    Discriminator(_kind),
]

TENTHS = [round(0.1 * step, 1) for step in range(1, 16)]
FIFTHS = [round(0.2 * step, 1) for step in range(1, 7)]

DEFAULT_BASELINES: list[AnyBaseline] = [
    Baseline(name="average", method="linear", parameters={"weight": 1.0}),
    Baseline(
        name="task-arithmetic-tuned",
        method="task_arithmetic",
        parameters={"weight": FIFTHS},
        per_parent=["weight"],
    ),
    Baseline(
        name="ties-default",
        method="ties",
        parameters={"weight": 1.0, "density": 0.2},
        options={"normalize": True},
    ),
    Baseline(
        name="ties-tuned",
        method="ties",
        parameters={"weight": 1.0, "density": [0.2, 0.5, 0.8, 1.0]},
        options={"normalize": True, "lambda": [0.6, 0.8, 1.0, 1.2, 1.5]},
    ),
    Baseline(
        name="dare-ties-default",
        method="dare_ties",
        parameters={"weight": 0.5, "density": 0.5},
    ),
    Baseline(
        name="dare-ties-tuned",
        method="dare_ties",
        parameters={"weight": [0.4, 0.6, 0.8, 1.0, 1.2], "density": [0.3, 0.5, 0.7, 0.9]},
    ),
]
