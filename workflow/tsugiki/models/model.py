"""What can be known of a parent without its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from tsugiki.errors import ParentError
from tsugiki.models.checks.encoding import check_encoding
from tsugiki.models.fault import Fault
from tsugiki.models.headers import TensorHeader, read_headers
from tsugiki.models.language_settings import language_config
from tsugiki.models.names import Names, naming
from tsugiki.models.plan import EMBEDDINGS, HEAD
from tsugiki.models.sources import ParentFiles
from tsugiki.models.vocabulary import LoadedTokenizer, Vocabulary, read_tokenizer


@dataclass(frozen=True)
class Model:
    """A parent: configuration, tensors and tokenizer, as far as they could be read."""

    name: str
    where: str
    sizes: Mapping[str, int]
    """Bytes of every file."""
    config: Mapping[str, Any]
    """config.json; empty if it cannot be read."""
    tensors: Mapping[str, TensorHeader]
    whole: bool
    """Whether all headers could be read."""
    vocabulary: Vocabulary | None
    template: str | None
    trusted: bool
    """Whether modelling code that comes with it may run."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Stored name of each tensor that is merged, by its name in the merge (see `merge.names`)."""
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The tokens that were added to its tokenizer: entries of tokenizer.json, by content."""
    loaded: LoadedTokenizer | None = None
    """What transformers makes of its tokenizer; None if there is none, or only code makes one."""

    @property
    def merged(self) -> dict[str, TensorHeader]:
        """The tensors that are merged, by their names in the merge."""
        return {name: self.tensors[stored] for name, stored in self.names.items()}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration with transformers' defaults filled in, nested keys joined by dots.

        As written, where transformers does not know the architecture or refuses the values.
        """
        try:
            full = understood(self.config) if self.config else {}
        except (ValueError, StrictDataclassError):
            full = dict(self.config)
        return dict(_flat(full, ""))

    @cached_property
    def language_settings(self) -> dict[str, Any]:
        """The same of the language model alone, as it would be stated if it stood by itself."""
        try:
            return dict(_flat(language_config(self.config), ""))
        except (ValueError, StrictDataclassError):
            return self.settings

    @property
    def embeddings(self) -> str | None:
        """Name of the token embeddings."""
        return next((name for name in self.tensors if EMBEDDINGS.search(name)), None)

    @property
    def head(self) -> str | None:
        """Name of the stored output head."""
        return next((name for name in self.tensors if HEAD.search(name)), None)

    @property
    def rows(self) -> int:
        """Rows of the token embeddings; 0 if it has none."""
        return self.tensors[self.embeddings].shape[0] if self.embeddings else 0

    @property
    def stored(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def understood(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as transformers understands it, all defaults filled in.

    Raises:
        ValueError: transformers does not know the architecture, or refuses a value.
        StrictDataclassError: likewise.
    """
    from transformers import AutoConfig

    given = {key: value for key, value in config.items() if key != "quantization_config"}
    full: dict[str, Any] = AutoConfig.for_model(**given).to_dict()
    return full


def read_model(
    name: str, files: ParentFiles, *, trusted: bool, names: Names | None = None
) -> tuple[Model, list[Fault]]:
    """Read all of a parent but its weights.

    Args:
        name: Its name in the configuration.
        files: Its files.
        trusted: Whether modelling code that comes with it may run.
        names: What its tensors are called in the merge, if the user says so.

    Returns:
        What could be read, and the faults met on the way.

    Raises:
        ParentError: the Hub refuses access.
        InfrastructureError: the Hub has become unreachable, or its cache cannot be written.
    """
    tensors, faults = read_headers(name, files)
    whole = not faults
    garbled = list(check_encoding(name, files))
    faults += garbled
    config: dict[str, Any] = {}
    try:
        # Where there is neither, the missing weights say enough.
        config = _read_config(files) if whole or "config.json" in files.sizes else {}
    except ValueError as error:
        faults.append(
            Fault(
                f"the configuration of `{name}` cannot be read",
                files.where,
                expected="config.json, as transformers writes it",
                got=str(error),
                fix="fetch or copy the file again",
            )
        )
    found: Mapping[str, str] = {tensor: tensor for tensor in tensors}
    try:
        found = naming(name, tensors, config, names).merged
    except ParentError as error:
        faults.append(Fault.of(error, files.where))
    tokenizer, broken = read_tokenizer(name, files, trusted=trusted)
    faults += broken
    model = Model(
        name=name,
        where=files.where,
        sizes=files.sizes,
        config=config,
        tensors=tensors,
        whole=whole,
        vocabulary=tokenizer.vocabulary,
        template=tokenizer.template,
        trusted=trusted,
        added=tokenizer.added,
        loaded=None if garbled else tokenizer.loaded,  # else told twice
        names=found,
    )
    return model, faults


def _read_config(files: ParentFiles) -> dict[str, Any]:
    if "config.json" not in files.sizes:
        raise ValueError("there is no config.json")
    content = json.loads(files.read("config.json"))
    if not isinstance(content, dict) or "model_type" not in content:
        raise ValueError('config.json is not a JSON object with "model_type"')
    return content


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
