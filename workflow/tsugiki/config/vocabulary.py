"""Which vocabulary the models of a run get."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tsugiki.config.base import Name, Section


class Vocabulary(Section):
    """One vocabulary for all models. Rows of embeddings and head are matched by token."""

    kind: Literal["same", "union", "parent"] = "same"
    """`same`: the models have one already, or the run is refused. `union`: the tokens of `of`, and
    the added tokens of all others. `parent`: the tokens of `of` alone."""
    of: Name | None = None
    """The parent whose tokenizer all models get."""
    multiple_of: Annotated[int, Field(ge=1, le=65536)] = 1
    """Rows are filled up to a multiple of this."""

    @model_validator(mode="after")
    def _owner_is_named(self) -> Vocabulary:
        if self.kind != "same" and self.of is None:
            raise ValueError(f"kind {self.kind} needs `of`: the parent whose tokenizer is kept")
        if self.kind == "same" and (self.of is not None or self.multiple_of != 1):
            raise ValueError("kind same changes nothing, and takes no other key")
        return self
