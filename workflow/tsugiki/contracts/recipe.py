"""Recipes: everything that determines a merged model, as plain data.

In parameter space these are values of a merge method, in data-flow space a path through the layers of the
parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    TypeAdapter,
    model_validator,
)

from tsugiki.canonical import canonical_json, digest_bytes
from tsugiki.contracts.data import Data, IfAny, Section
from tsugiki.errors import RecipeError
from tsugiki.json_files import read_json

SHARED = "*"
"""In place of a parent's name: the value belongs to no parent."""


class Gradient(Section):
    """Values along the depth of the model: straight lines between anchors."""

    gradient: Annotated[int, Field(ge=2, strict=True)]
    """How many anchors, spread evenly from the first block to the last."""


Grouping = Annotated[
    Literal["model", "block", "block_part"] | Gradient | dict[str, str],
    Field(union_mode="left_to_right"),
]
"""How tensors share a value: the whole model; each block (embeddings and head apart); each of
attention, MLP and norms inside a block; a gradient over the blocks; or named regular expressions over
tensor names."""


class ParentRef(Data):
    """A parent, by its name in the configuration and the digest of its files."""

    name: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    names: IfAny[dict[str, str | None]] = {}
    """What its tensors are called in the merge, if the configuration says so (see `models.names`)."""


class Parameter(Data):
    """Values of one parameter of the merge method.

    `values[parent][group]`; the parent is `SHARED` for a parameter that belongs to no parent.
    """

    grouping: Grouping = "model"
    values: dict[str, dict[str, float]]


class Identified(Data):
    """A recipe of either space, which its content identifies."""

    @property
    def digest(self) -> str:
        """Identity of the candidate: SHA-256 of the canonical JSON."""
        return digest_bytes(canonical_json(self.model_dump(mode="json")))

    @property
    def short(self) -> str:
        """First twelve digits of the digest, used in folder names."""
        return self.digest[:12]


class Recipe(Identified):
    """A merge in parameter space.

    Two recipes are the same candidate if and only if their digests are equal. Parents are kept
    in the order of their names, so that listing them differently gives the same recipe.
    """

    version: Literal[1] = 1
    space: Literal["parameter"] = "parameter"
    method: str
    base: ParentRef | None = None
    parents: tuple[ParentRef, ...]
    parameters: dict[str, Parameter] = {}
    options: dict[str, bool | float | str] = {}
    mask_seed: int = 0
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    owner: Annotated[str, Field(validation_alias="tokenizer", serialization_alias="tokenizer")]
    """Name of the parent (or base) whose configuration, architecture, tokenizer and unmerged tensors the
    model gets. Recipes of version 1 call it `tokenizer`."""

    @model_validator(mode="after")
    def _parents_are_ordered_and_distinct(self) -> Recipe:
        names = [parent.name for parent in self.parents]
        if len(set(names)) != len(names):
            raise ValueError(f"a parent is named twice: {names}")
        object.__setattr__(
            self, "parents", tuple(sorted(self.parents, key=lambda parent: parent.name))
        )
        return self

    @property
    def models(self) -> tuple[ParentRef, ...]:
        """Every model that the recipe names: the parents and the base."""
        return (*self.parents, *([self.base] if self.base else []))


def names_in(models: Iterable[ParentRef]) -> dict[str, dict[str, str | None]]:
    """What tensors are called in the merge, for those models of which a recipe says so."""
    return {ref.name: ref.names for ref in models if ref.names}


def with_names(recipe: Recipe, names: Mapping[str, Mapping[str, str | None]]) -> Recipe:
    """The recipe with the tensors of some models named by the configuration."""

    def named(ref: ParentRef) -> ParentRef:
        return ref.model_copy(update={"names": dict(names.get(ref.name, {}))})

    return recipe.model_copy(
        update={
            "parents": tuple(named(ref) for ref in recipe.parents),
            "base": named(recipe.base) if recipe.base else None,
        }
    )


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


AnyRecipe = Annotated[Recipe | DataflowRecipe, Field(discriminator="space")]
"""A recipe of either space; `space` in its JSON says of which."""
_ANY: TypeAdapter[Recipe | DataflowRecipe] = TypeAdapter(AnyRecipe)


def read_recipe(path: Path) -> Recipe | DataflowRecipe:
    """Read a recipe file.

    Raises:
        RecipeError: the file does not hold a valid recipe.
    """
    validate = partial(_ANY.validate_json, by_alias=True, by_name=False)
    return read_json(path, validate, "recipe", error=RecipeError)
