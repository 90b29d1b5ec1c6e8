"""What all recorded data and every section of a configuration share: no unknown key, no change."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field

from tsugiki.canonical import pretty_json

T = TypeVar("T")

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
NAME_RULE = "lower-case letters, digits, `-` and `_`; at most 64; no `-` or `_` first"
"""The pattern in words."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that is also a folder name."""

IfSet = Annotated[T, Field(exclude_if=lambda value: value is None)]
"""Of a field that came later: where it is None nothing is written, so that files and digests from before it stay."""
IfAny = Annotated[T, Field(exclude_if=lambda value: not value)]
"""The same of a field that is empty where there is nothing to say."""


class Data(BaseModel):
    """Frozen plain data without unknown keys. An alias is what a field has been called in files from the start."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    def to_json(self) -> bytes:
        """The content of its file; equal bytes for equal data."""
        return pretty_json(self.model_dump(mode="json"))


class Section(BaseModel):
    """Base of all sections. No number in one is infinite, or none at all (NaN)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def by_key(what: str, keys: Collection[str]) -> Discriminator:
    """Tells the kinds of a section, read or still raw, by the key that only one of them has.

    `what` it is, with its article, is for the message where a section has none of the keys, or several.
    """

    def kind(value: Any) -> str | None:
        fields = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
        found = [key for key in keys if key in fields]
        return found[0] if len(found) == 1 else None

    listed = ", ".join(f"`{key}`" for key in keys)
    message = f"{what} has exactly one of the keys {listed}"
    return Discriminator(kind, custom_error_type="one_key", custom_error_message=message)


def by_kind(default: str) -> Discriminator:
    """Tells the kinds of a section, read or still raw, by its `kind`; the default if it does not say."""

    def kind(value: Any) -> str:
        found = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
        return default if found is None else str(found)

    return Discriminator(kind)


def folder_of(path: str) -> Path:
    """A folder that a configuration names; a leading `~` is the user's home, as in a shell."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - leaves the `~` of an unknown user
