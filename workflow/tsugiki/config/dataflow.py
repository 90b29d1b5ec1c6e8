"""Data-flow space (DFS): which path a model's layers take (arXiv 2403.13187, section 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tsugiki.contracts.data import Section


class DataflowSpace(Section):
    """Data-flow space (DFS): a path through the parents' layers.

    The layers of all parents are put in a row, parent after parent in the order of the stage's
    `parents`, and the row is repeated. For each place in it, an indicator (a gene with two values) says whether the
    path includes that layer. The first parent is the owner: embeddings, head, tokenizer and configuration are its own.
    The search starts at the owner's own layers.
    """

    kind: Literal["dataflow"]
    """Data-flow space."""
    repeats: Annotated[int, Field(ge=1, le=16)] = 3
    """How often the row of layers is repeated (the paper's r)."""
    scales: Literal["per_hop", "matrix", "network", "none"] = "per_hop"
    """Which factors on the inputs of layers are searched: `per_hop`, one for each place in the row;
    `matrix`, one for each pair of successive layers (the paper's W);
    `network`, the weights of a small network that computes them from layer, next layer and step; or `none`."""
    scale_range: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest factor; must include 1."""
    hidden: Annotated[int, Field(ge=1, le=64)] = 4
    """Hidden units of the network, with `scales: network`."""
    fixed_ends: bool = True
    """Every path begins with the owner's first layer and ends with its last one."""
    start_probability: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """In the first generation, the probability that an indicator differs from the owner's own layers."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Number format of the merged model's weights."""

    @model_validator(mode="after")
    def _one_lies_within_the_range(self) -> DataflowSpace:
        low, high = self.scale_range
        if not low < high:
            raise ValueError(f"scale_range [{low}, {high}] is empty; the first value is smaller")
        if not low <= 1 <= high:
            raise ValueError(
                f"scale_range [{low}, {high}] does not hold 1, where the search starts"
            )
        return self
