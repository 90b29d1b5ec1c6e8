"""Where parent models come from, and which vocabulary the models of a run get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag, model_validator

from tsugiki.contracts.data import IfSet, Name, Section, by_key, folder_of


class Vocabulary(Section):
    """Which vocabulary all models get. Rows of embeddings and head are matched by token, not by number."""

    kind: Literal["same", "union", "parent"] = "same"
    """`same`: the models must have the same vocabulary already. `union`: the tokens of the model `of`, and
    the added tokens of all others. `parent`: the tokens of the model `of` alone."""
    of: Name | None = None
    """The parent whose tokenizer all models get, for `union` and `parent`."""
    multiple_of: Annotated[int, Field(ge=1, le=65536)] = 1
    """Pad the rows to a multiple of this."""

    @model_validator(mode="after")
    def _owner_is_named(self) -> Vocabulary:
        if self.kind != "same" and self.of is None:
            raise ValueError(f"kind {self.kind} needs `of`: the parent whose tokenizer is kept")
        if self.kind == "same" and (self.of is not None or self.multiple_of != 1):
            raise ValueError("kind same changes nothing, and takes no other key")
        return self


def _valid_expressions(names: dict[str, str | None]) -> dict[str, str | None]:
    for pattern in names:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"`{pattern}` is no regular expression: {error}") from error
    return names


TensorNames = Annotated[dict[str, str | None], AfterValidator(_valid_expressions)]


class LocalParent(Section):
    """A checkpoint, or a LoRA adapter, in a folder."""

    path: str
    """Folder with config.json, tokenizer and safetensors files; relative to the working folder."""
    trust_remote_code: bool = False
    """Run modelling code that comes with the checkpoint."""
    adapter_of: IfSet[Name | None] = None
    """The parent that this LoRA adapter was trained on, by name; absent for a whole model."""
    names: IfSet[TensorNames | None] = None
    """Names of its tensors in the merge, if they differ between parents: a mapping of regular expressions for whole
    stored names to the name in the merge (`\\1` is the first group), or to null for tensors that are not merged. Not needed
    for vision-language models, whose language model is found automatically."""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return folder_of(self.path)


class HubParent(Section):
    """A checkpoint, or a LoRA adapter, on the Hugging Face Hub."""

    hub: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    """Repository, such as `augmxnt/shisa-gamma-7b-v1`."""
    revision: str = "main"
    """Branch, tag or commit. What it points to at the first run is locked."""
    trust_remote_code: bool = False
    """Run modelling code that comes with the checkpoint."""
    adapter_of: IfSet[Name | None] = None
    """The parent that this LoRA adapter was trained on, by name; absent for a whole model."""
    names: IfSet[TensorNames | None] = None
    """Names of its tensors in the merge, if they differ between parents: a mapping of regular expressions for whole
    stored names to the name in the merge (`\\1` is the first group), or to null for tensors that are not merged. Not needed
    for vision-language models, whose language model is found automatically."""


class DemoParent(Section):
    """A tiny model of the embedded demo, trained on this machine and cached."""

    demo: Literal["base", "japanese", "maths"]
    """Which of the demo's models."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of its initial weights and training text."""


ParentSource = Annotated[
    Annotated[LocalParent, Tag("path")]
    | Annotated[HubParent, Tag("hub")]
    | Annotated[DemoParent, Tag("demo")],
    by_key("a parent", ("path", "hub", "demo")),
]


def adapter_base(source: ParentSource) -> str | None:
    """Name of the parent that an adapter belongs to; none for a whole model."""
    return None if isinstance(source, DemoParent) else source.adapter_of
