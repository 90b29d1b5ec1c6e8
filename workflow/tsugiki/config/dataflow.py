"""Data-flow space (DFS): which path a model's layers take (arXiv 2403.13187, section 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tsugiki.contracts.data import Section


class DataflowSpace(Section):
    """Data-flow space (DFS): the path through the parents' layers.

    The layers of all parents stand in a row, parent after parent in the order of the stage's
    `parents`, and the row is repeated. For each place an indicator says whether the path takes
    it. The first parent is the owner: it gives embeddings, head, tokenizer and configuration.
    The search starts at the owner itself.
    """

    kind: Literal["dataflow"]
    """Data-flow space."""
    repeats: Annotated[int, Field(ge=1, le=16)] = 3
    """How often the row of layers is repeated (the paper's r)."""
    scales: Literal["per_hop", "matrix", "network", "none"] = "per_hop"
    """What is searched of the factors on a layer's input: `per_hop`, one for each place;
    `matrix`, one for each pair of layers that may follow one another (the paper's W);
    `network`, the few weights of a network of layer, next layer and step; or `none`."""
    scale_range: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest factor; 1 has to lie within."""
    hidden: Annotated[int, Field(ge=1, le=64)] = 4
    """Hidden units of the network."""
    fixed_ends: bool = True
    """Every path begins with the owner's first layer and ends with its last one."""
    start_probability: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """At the start, the probability that an indicator differs from the owner's own path."""
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
