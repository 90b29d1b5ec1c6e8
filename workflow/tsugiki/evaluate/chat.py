"""Whose chat template a run's models have, and at whose tokens their answers end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from tsugiki.canonical import digest_bytes, pretty_json
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError
from tsugiki.evaluate.chat_template import stop_clock
from tsugiki.evaluate.language_model import end_tokens, generation_config
from tsugiki.models.sources import FolderFiles
from tsugiki.models.vocabulary import read_template

TEMPLATE = "chat_template.jinja"
GENERATION = "generation_config.json"


@dataclass(frozen=True)
class Chat:
    """What the models of a run have from elsewhere than from the owner of their tokenizer."""

    source: str | None = None
    """The parent, or the file, that the chat template is from; None for each model's own."""
    template: str | None = None
    """That template."""
    ends: tuple[int, ...] = ()
    """Tokens that end answers besides the owner's, ascending."""

    def identity(self) -> dict[str, Any]:
        """What it adds to a score's identity: nothing if all is the owner's."""
        found: dict[str, Any] = {}
        if self.template is not None:
            found["chat_template"] = digest_bytes(self.template.encode())
        if self.ends:
            found["end_tokens"] = list(self.ends)
        return found

    def apply(self, tokenizer: Any, evaluation: Evaluation) -> None:
        """Give a tokenizer the template, and stop the clock that it may read.

        Args:
            tokenizer: A transformers tokenizer.
            evaluation: Of the run, whose date is written.
        """
        if self.template is not None:
            tokenizer.chat_template = self.template
        stop_clock(tokenizer, evaluation.date)

    def files(self, owner: Path) -> dict[str, bytes]:
        """Files beside the weights of a merged model that say so too, by name.

        Args:
            owner: The folder of its tokenizer's owner.
        """
        found = {} if self.template is None else {TEMPLATE: self.template.encode()}
        if self.ends:
            settings = owner / GENERATION
            content = json.loads(settings.read_bytes()) if settings.is_file() else {}
            ends = sorted({*ends_of(owner), *self.ends})
            found[GENERATION] = pretty_json({**content, "eos_token_id": ends})
        return found


OWN = Chat()
"""All is the owner's."""


def open_chat(config: RunConfig, folders: Mapping[str, Path]) -> Chat:
    """Decide what the configuration leaves open, by the parents' files.

    Args:
        config: The run.
        folders: What is merged of its parents, by name; some may be missing before a run.

    Raises:
        ConfigError: the parent that the template is to be from has none.
    """
    evaluation = config.evaluation
    source = evaluation.chat_template
    template: str | None = None
    if evaluation.template_file is not None:
        template = evaluation.template_file.read_text("utf-8")
    elif source is not None and source in folders:
        template = read_template(FolderFiles(folders[source]))
        if template is None:
            raise ConfigError(
                f"`{source}` has no chat template",
                where="evaluation.chat_template",
                fix="name another parent, or a file",
            )
    elif source is None and evaluation.apply_chat_template:
        known = {name: read_template(FolderFiles(folder)) for name, folder in folders.items()}
        owners = {config.owner(stage) for stage in config.stages}
        if any(name in known and known[name] is None for name in owners):
            having = (name for name in config.parents if known.get(name) is not None)
            source = next(having, None)
            template = None if source is None else known[source]
    lenders: list[str] = []
    if evaluation.end_tokens == "parents":
        lenders = [name for name in config.parents if name in folders]
    elif evaluation.end_tokens is None and source is not None and source in folders:
        lenders = [source]
    ends = {end for name in lenders for end in ends_of(folders[name], trust=_trusted(config, name))}
    return Chat(source, template, tuple(sorted(ends)))


def ends_of(folder: Path, *, trust: bool = False) -> list[int]:
    """Ids of the tokens at which a model of these files ends its answers, ascending."""
    settings = {"local_files_only": True, "trust_remote_code": trust}
    model = transformers.AutoConfig.from_pretrained(folder, **settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
    return end_tokens(generation_config(folder, model), tokenizer)


def _trusted(config: RunConfig, name: str) -> bool:
    return bool(getattr(config.parents[name], "trust_remote_code", False))
