"""What a kind of model has to say of itself, so that its models can be compared, merged and made live."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tsugiki.models.kinds.layers import Layers

Names = Mapping[str, str | None]
"""Expression for whole stored names -> the name in the merge (`\\1` is the first group), or None for
tensors that are not merged. A tensor that no expression matches keeps its name."""


Use = Literal["embeddings", "head", "derived"]
"""Token embeddings, a row for each token; the output head, which may be tied to them; what follows from the
configuration, so that no checkpoint needs it."""


@dataclass(frozen=True)
class Layout:
    """Names of the files of a model, within its folder."""

    config: str
    weights: str
    """Where all weights are in one file; empty if there are none."""
    parts: tuple[Layout, ...] = ()
    """Where a model is a folder of components, each in a folder of its own with a layout of these. The file of
    settings then says which components there are, and tensors get their component's name in front."""

    @property
    def index(self) -> str:
        """Where they are in several: the file that says which tensor is in which."""
        return f"{self.weights}.index.json"

    def holds(self, file: str) -> bool:
        """Whether a file of this name has weights of this layout, or says which file has them."""
        stem, _, suffix = self.weights.rpartition(".")
        numbered = rf"{re.escape(stem)}(?:-\d+-of-\d+)?\.{re.escape(suffix)}"
        return file == self.index or re.fullmatch(numbered, file) is not None

    def shards(self, count: int) -> list[str]:
        """Names of so many files of weights."""
        if count == 1:
            return [self.weights]
        stem, _, suffix = self.weights.rpartition(".")
        return [f"{stem}-{n:05d}-of-{count:05d}.{suffix}" for n in range(1, count + 1)]


@dataclass(frozen=True)
class SidecarFiles:
    """What lies beside weights and configuration, and goes into the merged model's folder as it is."""

    one_of: tuple[str, ...]
    """A model needs at least one of these to be used; any will do if there are none."""
    others: tuple[str, ...]
    folders: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All names of files."""
        return self.one_of + self.others


@dataclass(frozen=True)
class Agreement:
    """Settings of the configuration, without the sections that they are in, by what may differ.

    All others have to agree, unless the user accepts that they differ.
    """

    fixed: frozenset[str]
    """They decide which tensors there are, or which numbers in them belong together: no user can
    accept that they differ."""
    ignored: frozenset[str]
    """No influence on what a merged model computes, or checked with the tensors themselves."""
    free: frozenset[str]
    """May differ: the merged model takes the value of the model that gives its configuration."""


@dataclass(frozen=True)
class Place:
    """Where a tensor stands in its model."""

    group: str
    """Its block, such as `block.0`; outside the blocks, a name such as `embeddings`."""
    in_block: bool = False
    part: str | None = None
    """Part of the block, such as `attention`, if it is known."""


class Kind(ABC):
    """One kind of model. Everything that is peculiar to it is said here, and nowhere else.

    What has a default is that of a model without a vocabulary, whose settings all stand at the top.
    """

    name: str
    """For messages: `a merged model would be a …`."""
    core: str
    """For messages: what is merged of a model."""
    besides: str = ""
    """For messages: what a model of this kind has besides that others lack; empty if nothing."""
    sees: bool = False
    """Whether its models can be asked about pictures."""
    output: Literal["text", "images"]
    """What it makes: only text can be asked for by prompts of tasks."""
    layout: Layout
    before: tuple[str, ...]
    """Groups of tensors before the first block, in the order of the data's way."""
    after: tuple[str, ...]
    """Those after the last one."""
    type_key: str
    """The setting of the configuration that names the architecture."""
    sidecar: SidecarFiles
    agreement: Agreement
    stackable: Mapping[str, Layers] = {}
    """Architectures whose layers can be stacked in data-flow space, by name (see `layers_as_in`)."""
    unstackable: Mapping[str, str] = {}
    """Why not, where it is known of others."""

    @abstractmethod
    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration is that of a model of this kind."""

    def expressions(self, stored: Collection[str]) -> Names:  # noqa: ARG002 - for other kinds
        """What stored tensors are called in a merge, where the user declares nothing."""
        return {}

    def is_unused(self, name: str, config: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Whether a tensor is no part of what the model computes: not merged, but copied."""
        return False

    def use(self, name: str) -> Use | None:  # noqa: ARG002
        """What a tensor is for, if more is known of that than where it stands."""
        return None

    @abstractmethod
    def place(self, name: str) -> Place | None:
        """Where a tensor stands, by its name in the merge; None if that is not known."""

    @abstractmethod
    def blocks(self, names: Iterable[str]) -> list[str]:
        """The blocks of a model with these tensors, from the first to the last, without a gap."""

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with all defaults filled in, as far as they are known.

        Raises:
            ValueError: the architecture is not known, or refuses a value.
        """
        return dict(config)

    def core_settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of what is merged, as they would be stated if it stood by itself.

        Raises:
            ValueError: the architecture is not known, or refuses a value.
        """
        return self.settings(config)

    def with_core(self, config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with other settings of what is merged, where it states them."""
        return {**config, **changes}

    def layers_as_in(self, config: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """The architecture whose layers what is merged has, as `stackable` names it; None if not stated."""
        return None

    def rows(self, config: Mapping[str, Any]) -> int | None:  # noqa: ARG002
        """Rows of the embeddings, as the configuration states them."""
        return None

    def needs_head(self, config: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Whether a model of this configuration is of no use without an output head."""
        return False

    @abstractmethod
    def loader(self) -> Any:
        """The class whose `from_pretrained` and `from_config` make a live model."""

    def classes(self) -> Any:
        """The class of a live model, by the class of its configuration."""
        return {}
