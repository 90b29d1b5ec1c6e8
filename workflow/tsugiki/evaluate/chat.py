"""The chat template and the end tokens of a run's models, and the date that templates write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import transformers

from tsugiki.canonical import digest_bytes, pretty_json
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError
from tsugiki.evaluate.language_model import end_tokens, generation_config
from tsugiki.evaluate.processors import takes_texts
from tsugiki.models.facts import kind_in
from tsugiki.models.sources import FolderFiles
from tsugiki.models.vocabulary import read_template
from tsugiki.parents.between import template_lender

TEMPLATE = "chat_template.jinja"
GENERATION = "generation_config.json"
CLOCK = "strftime_now"
"""The one function by which a template can read the clock, given to it by transformers."""
WITHOUT_DATE = date(2024, 7, 26)
"""The date of runs that recorded none: the one that Llama's templates write where there is no clock."""
_DIRECTIVE = re.compile(r"%[-_0^#]?[A-Za-z]")


@dataclass(frozen=True)
class Chat:
    """Chat template and end tokens, where a run's models do not have those of their tokenizer's owner."""

    source: str | None = None
    """The parent, or the file, that the chat template is from; None for each model's own."""
    template: str | None = None
    """That template."""
    ends: tuple[int, ...] = ()
    """Tokens that end answers besides the owner's, ascending."""

    def identity(self, config: RunConfig, owners: Mapping[str, Path]) -> dict[str, Any]:
        """What determines prompts and ends of answers, besides tasks and documents; part of a score's identity.

        Empty if nothing is configured and everything is the owner's, whose template reads no clock and takes
        texts: the owner is already part of the identity.

        Args:
            config: The run, with its date.
            owners: Folders of the models whose tokenizers a population has.

        Raises:
            ValueError: a model's chat template cannot be read.
        """
        evaluation, found = config.evaluation, dict[str, Any]()
        if self.template is not None:
            found["chat_template"] = digest_bytes(self.template.encode())
        if self.ends:
            found["end_tokens"] = list(self.ends)
        if evaluation.chat_template_args:
            found["chat_template_args"] = evaluation.chat_template_args
        if evaluation.thinking is not None:
            found["thinking"] = evaluation.thinking.model_dump(mode="json")
        if not evaluation.apply_chat_template:
            return found
        templates = {self.template or read_template(FolderFiles(one)) for one in owners.values()}
        if any(CLOCK in template for template in templates if template is not None):
            found["date"] = (evaluation.date or WITHOUT_DATE).isoformat()
        if len(templates) > 1:
            found["chat_templates"] = "of each model"
        if any(self._in_parts(config, *owner) for owner in owners.items()):
            found["chat_contents"] = "in parts"  # once they were texts, which these do not write
        return found

    def _in_parts(self, config: RunConfig, name: str, folder: Path) -> bool:
        """Whether a model sees, and the template that it has writes no contents that are texts."""
        if not kind_in(folder).sees:
            return False
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=name in config.trusted
        )
        tokenizer.chat_template = self.template or tokenizer.chat_template
        return not takes_texts(tokenizer)

    def apply(self, tokenizer: Any, evaluation: Evaluation) -> None:
        """Give a tokenizer the template, and let it write the run's date, whenever it is used.

        Args:
            tokenizer: A transformers tokenizer; changed.
            evaluation: Of the run.
        """
        if self.template is not None:
            tokenizer.chat_template = self.template
        day = evaluation.date or WITHOUT_DATE
        match tokenizer.chat_template:
            case str() as template:
                tokenizer.chat_template = at_date(template, day)
            case dict() as named:
                tokenizer.chat_template = {name: at_date(one, day) for name, one in named.items()}

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
    template = None
    known: dict[str, str | None] = {}
    if evaluation.template_file is not None:
        template = evaluation.template_file.read_text("utf-8")
    elif evaluation.apply_chat_template:
        known = {name: read_template(FolderFiles(folder)) for name, folder in folders.items()}
    source = template_lender(config, known)
    if source is not None and source in known:
        template = known[source]
        if template is None:
            raise ConfigError(
                f"`{source}` has no chat template",
                where="evaluation.chat_template",
                fix="name another parent, or a file",
            )
    lenders = [] if source is None or evaluation.end_tokens is not None else [source]
    if evaluation.end_tokens == "parents":
        lenders = list(config.parents)
    ends = {
        end
        for name in lenders
        if name in folders
        for end in ends_of(folders[name], trust=name in config.trusted)
    }
    return Chat(source, template, tuple(sorted(ends)))


def ends_of(folder: Path, *, trust: bool = False) -> list[int]:
    """Ids of the tokens at which a model of these files ends its answers, ascending."""
    settings = {"local_files_only": True, "trust_remote_code": trust}
    model = transformers.AutoConfig.from_pretrained(folder, **settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
    return end_tokens(generation_config(folder, model), tokenizer)


def decides_ends(folder: Path, *, trust: bool = False) -> bool:
    """Whether answers of a model of these files would end at other tokens without generation_config.json."""
    files = [folder / name for name in (GENERATION, "config.json")]
    if not all(file.is_file() for file in files):
        return False
    stated, by_config = (json.loads(file.read_bytes()).get("eos_token_id") for file in files)
    if stated == by_config:  # as in most models: no tokenizer has to be loaded
        return False
    settings = {"local_files_only": True, "trust_remote_code": trust}
    model = transformers.AutoConfig.from_pretrained(folder, **settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
    alone = transformers.GenerationConfig.from_model_config(model)
    return end_tokens(generation_config(folder, model), tokenizer) != end_tokens(alone, tokenizer)


def at_date(template: str, day: date) -> str:
    """A template that writes what the given one wrote at 0:00 on a day.

    Its source gets a macro of the clock's name, which hides the clock. transformers offers no other way:
    arguments of a template are made plain data.
    """
    if CLOCK not in template:
        return template
    moment = datetime.combine(day, time())
    steps = "".join(
        f".replace({directive!r}, {moment.strftime(directive)!r})"
        for directive in sorted(set(_DIRECTIVE.findall(template)), key=lambda one: (-len(one), one))
    )
    percent = "\N{SUBSTITUTE}"  # stands for %% until all directives are replaced
    text = f"format.replace('%%', '{percent}'){steps}.replace('{percent}', '%')"
    # the line break is removed with the block's end, and the template begins at the start of a line
    return f"{{% macro {CLOCK}(format) %}}{{{{ {text} }}}}{{% endmacro %}}\n{template}"
