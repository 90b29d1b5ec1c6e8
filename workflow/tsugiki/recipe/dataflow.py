"""The recipe of a merge in data-flow space: a path through the layers of the parents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tsugiki.recipe.recipe import Data, Identified, ParentRef

Number = Annotated[float, Field(allow_inf_nan=False)]


class Hop(Data):
    """One step of the path: a layer of a parent."""

    parent: str
    layer: Annotated[int, Field(ge=0)]
    scale: Number = 1.0
    """The whole hidden state that enters the layer is multiplied by it (arXiv 2403.13187, 3.2)."""
    factors: dict[str, Number] = {}
    """Factors of single tensors of the layer, by name within it (`self_attn.o_proj.weight`)."""


class DataflowRecipe(Identified):
    """A merge in data-flow space.

    Two recipes are the same candidate if and only if their digests are equal. Parents are kept in
    the order of their names, and those that take no part are left out, so that the same model has
    one recipe.
    """

    version: Literal[1] = 1
    space: Literal["dataflow"] = "dataflow"
    parents: tuple[ParentRef, ...]
    owner: str
    """The parent whose embeddings, final norm, head, tokenizer and configuration the model gets."""
    head: str | None = None
    """The parent of the final norm and head, if it is not the owner (stacks of layer ranges)."""
    path: Annotated[tuple[Hop, ...], Field(min_length=1)]
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"

    @model_validator(mode="after")
    def _is_in_its_one_form(self) -> DataflowRecipe:
        names = [parent.name for parent in self.parents]
        if len(set(names)) != len(names):
            raise ValueError(f"a parent is named twice: {names}")
        used = {self.owner, *([self.head] if self.head else []), *(hop.parent for hop in self.path)}
        if unknown := sorted(used - set(names)):
            raise ValueError(f"not among the parents: {', '.join(unknown)}")
        kept = sorted((ref for ref in self.parents if ref.name in used), key=lambda ref: ref.name)
        object.__setattr__(self, "parents", tuple(kept))
        if self.head == self.owner:
            object.__setattr__(self, "head", None)
        return self

    @property
    def method(self) -> str:
        """What tables and records call it."""
        return "dataflow"

    @property
    def models(self) -> tuple[ParentRef, ...]:
        """Every model that the recipe names."""
        return self.parents

    @property
    def tokenizer(self) -> str:
        """Name of the parent whose tokenizer and configuration files the model gets."""
        return self.owner
