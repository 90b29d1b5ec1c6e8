"""What can be known of a model without its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tsugiki.errors import ParentError
from tsugiki.models.components import CLASS, present_components, read_components
from tsugiki.models.fault import Fault
from tsugiki.models.headers import TensorHeader, read_headers
from tsugiki.models.kinds.kind import Kind, Layout, Names
from tsugiki.models.kinds.registry import kind_of, layout_of
from tsugiki.models.names import naming
from tsugiki.models.sidecar_files import check_encoding
from tsugiki.models.sources import FolderFiles, ParentFiles
from tsugiki.models.vocabulary import LoadedTokenizer, Vocabulary, read_tokenizer


@dataclass(frozen=True)
class ModelFacts:
    """A model's configuration, tensors and tokenizer, as far as they could be read."""

    name: str
    where: str
    sizes: Mapping[str, int]
    """Bytes of every file."""
    config: Mapping[str, Any]
    """Content of its file of settings; empty if it cannot be read."""
    tensors: Mapping[str, TensorHeader]
    """By their stored names."""
    whole: bool
    """Whether all headers could be read."""
    garbled: bool = False
    """Whether a file is in an encoding that transformers cannot read."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Stored name of each tensor that is merged, by its name in the merge (see `names`)."""
    trusted: bool = False
    """Whether modelling code that comes with it may run."""
    vocabulary: Vocabulary | None = None
    template: str | None = None
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The tokens that were added to its tokenizer: entries of tokenizer.json, by content."""
    loaded: LoadedTokenizer | None = None
    """What transformers makes of its tokenizer; None if there is none, or only code makes one."""

    @cached_property
    def kind(self) -> Kind:
        """Its kind, by its configuration."""
        return kind_of(self.config)

    @property
    def merged(self) -> dict[str, TensorHeader]:
        """The tensors that are merged, by their names in the merge."""
        return {name: self.tensors[stored] for name, stored in self.names.items()}

    @cached_property
    def planned(self) -> dict[str, TensorHeader]:
        """Those of them that a merged model stores: no tied head, and nothing that is derived."""
        tied = self.tied_head
        return {
            name: header
            for name, header in self.merged.items()
            if name != tied and self.kind.use(name) != "derived"
        }

    @property
    def tied_head(self) -> str | None:
        """Name in the merge of a stored head that is tied to the embeddings."""
        head = next((name for name in self.names if self.kind.use(name) == "head"), None)
        embedded = any(self.kind.use(name) == "embeddings" for name in self.names)
        return head if head is not None and embedded and self.is_tied else None

    @property
    def is_tied(self) -> bool:
        """Whether the configuration, or its architecture's default, ties head and embeddings."""
        declared = self.config.get("tie_word_embeddings")
        return bool(self.settings.get("tie_word_embeddings") if declared is None else declared)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration with all defaults filled in, nested keys joined by dots.

        As written, where the architecture is not known or refuses the values.
        """
        try:
            return dict(_flat(self.kind.settings(self.config) if self.config else {}, ""))
        except ValueError:
            return dict(_flat(self.config, ""))

    @cached_property
    def core_settings(self) -> dict[str, Any]:
        """Settings of what is merged, as they would be stated if it stood by itself."""
        try:
            return dict(_flat(self.kind.core_settings(self.config), ""))
        except ValueError:
            return self.settings

    @property
    def embeddings(self) -> str | None:
        """Stored name of the token embeddings."""
        return next((name for name in self.tensors if self.kind.use(name) == "embeddings"), None)

    @property
    def head(self) -> str | None:
        """Name of the stored output head."""
        return next((name for name in self.tensors if self.kind.use(name) == "head"), None)

    @property
    def rows(self) -> int:
        """Rows of the token embeddings; 0 if it has none."""
        return self.tensors[self.embeddings].shape[0] if self.embeddings else 0

    @property
    def stored(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def read_facts(
    name: str, files: ParentFiles, names: Names | None = None
) -> tuple[ModelFacts, list[Fault]]:
    """Read a model's headers, index and configuration, as far as they can be read.

    Returns what could be read, and the faults met on the way. `names` says what its tensors are called in
    the merge, if the user does; errors are those of `files`.
    """
    tensors, faults = read_headers(name, files)
    whole = not faults
    garbled = list(check_encoding(name, files))
    faults += garbled
    config: dict[str, Any] = {}
    layout = layout_of(files.sizes)
    file = layout.config
    try:
        # Where there is neither, the missing weights say enough.
        config = read_config(files, layout) if whole or file in files.sizes else {}
    except ParentError as error:
        # what else there is to say would only follow from that
        faults, whole = [Fault.of(error, files.where)], False
        config = dict(present_components(files, layout)) if layout.parts else {}
    except ValueError as error:
        faults.append(
            Fault(
                f"the configuration of `{name}` cannot be read",
                files.where,
                expected=f"{file}, as transformers writes it",
                got=str(error),
                fix="fetch or copy the file again",
            )
        )
    found: Mapping[str, str] = {tensor: tensor for tensor in tensors}
    try:
        found = naming(name, tensors, config, names)
    except ParentError as error:
        faults.append(Fault.of(error, files.where))
        whole = False  # what else there is to say of its tensors would only follow from that
    facts = ModelFacts(
        name=name,
        where=files.where,
        sizes=files.sizes,
        config=config,
        tensors=tensors,
        whole=whole,
        garbled=bool(garbled),
        names=found,
    )
    return facts, faults


def read_model(
    name: str, files: ParentFiles, *, trusted: bool, names: Names | None = None
) -> tuple[ModelFacts, list[Fault]]:
    """Read all of a parent but its weights, its tokenizer too, as far as it can be read.

    Returns what could be read, and the faults met on the way. `trusted` says whether modelling code that
    comes with it may run, `names` what its tensors are called in the merge, if the user says so; errors are
    those of `files`.
    """
    facts, faults = read_facts(name, files, names)
    tokenizer, broken = read_tokenizer(name, files, trusted=trusted)
    model = replace(
        facts,
        trusted=trusted,
        vocabulary=tokenizer.vocabulary,
        template=tokenizer.template,
        added=tokenizer.added,
        loaded=None if facts.garbled else tokenizer.loaded,  # else told twice
    )
    return model, faults + broken


def read_config(files: ParentFiles, layout: Layout) -> dict[str, Any]:
    """A model's settings: its file of them, with those of its components in place of their names.

    Raises:
        ParentError: a component is missing, or it is one itself.
        ValueError: the file is not there, or is not what it should be.
    """
    file = layout.config
    if file not in files.sizes:
        raise ValueError(f"there is no {file}")
    content = json.loads(files.read(file))
    if not isinstance(content, dict):
        raise ValueError(f"{file} is not a JSON object")  # noqa: TRY004 - of the file
    if layout.parts:
        content |= read_components(files, layout)
    if kind_of(content).type_key not in content:
        if CLASS in content:
            raise ParentError(
                "it is one component of an image generator, and not a whole one",
                where=files.where,
                expected="a folder with settings that list all components, and a folder for each",
                got=f"a folder of {content[CLASS]}",
                fix="name the folder above it",
            )
        raise ValueError(f"{file} is not a JSON object that names an architecture")
    return content


def kind_in(folder: Path) -> Kind:
    """The kind of the model in a folder.

    Raises:
        ParentError: a component is missing.
        ValueError: its file of settings is not what it should be.
    """
    files = FolderFiles(folder)
    return kind_of(read_config(files, layout_of(files.sizes)))


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
