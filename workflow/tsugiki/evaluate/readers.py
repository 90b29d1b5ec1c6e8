"""Stand-ins for the parents of a run, by which prompts are tried before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import has_bos_prefix, normalize_gen_kwargs, resolve_max_length

from tsugiki.config.parents import (
    DemoParent,
    HubParent,
    LocalParent,
    ParentSource,
    adapter_base,
)
from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError, ParentError
from tsugiki.evaluate.chat import OWN, Chat, open_chat
from tsugiki.evaluate.language_model import end_tokens, generation_config
from tsugiki.evaluate.pictures import PLACEHOLDER, Picture
from tsugiki.evaluate.processors import marker_of, misfits, open_processor, turns_for
from tsugiki.models.kinds.registry import kind_of
from tsugiki.models.kinds.text import OTHERS, TOKENIZER
from tsugiki.models.sources import FolderFiles
from tsugiki.parents import hub
from tsugiki.parents.prepare.write import TEMPLATES, AdapterFiles

THINKING = ("<think>", "</think>")


class NotLoadedError(Exception):
    """Something was asked of a stand-in that only a model has."""


class Reader(LM):  # type: ignore[misc]
    """Stands for a model that is not loaded: gives answers that are made up, to prompts of plain text."""

    name = ""
    """The parent that it stands for; none."""
    chat_template_args: Mapping[str, Any] = {}
    max_length: int | None = None
    ends: Sequence[int] = ()
    thinking_budget = 0
    """Most tokens of the thinking part of an answer."""
    sees = False
    """Whether it can be shown pictures."""
    owns: Sequence[str] = ()
    """Stages whose models are like it: they have its configuration, tokenizer and processor."""
    thinks = False
    """Whether its tokenizer or chat template knows marks around a thinking part."""
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[Any], str] = lambda _request: ""
        """What it answers to a request of lm-eval."""

    @property
    def tokenizer(self) -> Any:
        """Raises NotLoadedError: it has none."""
        raise NotLoadedError

    @property
    def model(self) -> Any:
        """Raises NotLoadedError: that is what it stands for."""
        raise NotLoadedError

    @property
    def tokenizer_name(self) -> str:
        """Prompts are rendered once for each name."""
        return self.name

    def require_processor(self) -> None:
        """It has a processor, which fits its tower.

        Raises:
            ParentError: it has none, or another model's.
            NotLoadedError: it stands for no parent.
        """
        raise NotLoadedError

    def count(self, prompt: str, pictures: Sequence[Picture]) -> int:
        """Tokens of a prompt with its pictures."""
        del prompt, pictures
        raise NotLoadedError

    def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
        """As the model does it."""
        turns = turns_for(self.tokenizer, chat_history) if self.sees else chat_history
        return str(HFLM.apply_chat_template(self, turns, add_generation_prompt))

    def encode(self, prompt: str) -> list[int]:
        """Tokens of a prompt, as either backend puts it: with no other BOS where it begins with one."""
        begins = has_bos_prefix(prompt, getattr(self.tokenizer, "bos_token", None))
        settings = {"add_special_tokens": False} if begins else {}
        return list(self.tokenizer(prompt, **settings)["input_ids"])

    def answer_tokens(self, request: Any) -> int:
        """The most tokens of what comes after the prompt of one of lm-eval's requests: an answer, or its end."""
        if request.request_type == "generate_until":
            settings = normalize_gen_kwargs(dict(request.args[1]), 256)
            return int(settings["max_gen_toks"]) + self.thinking_budget
        return len(self.tokenizer(request.args[1], add_special_tokens=False)["input_ids"])

    def generate_until(self, requests: Any, **settings: Any) -> list[str]:
        """Made-up answers, from the function `answer`."""
        del settings
        return [self.answer(one) for one in requests]

    def loglikelihood(self, requests: Any, **settings: Any) -> list[tuple[float, bool]]:
        """One and the same number for all."""
        del settings
        return [(-1.0, True) for _ in requests]

    def loglikelihood_rolling(self, requests: Any, **settings: Any) -> list[float]:
        """One and the same number for all."""
        del settings
        return [-1.0 for _ in requests]


class ParentReader(Reader):
    """Stands for a parent before it is loaded, with its tokenizer and processor.

    Args:
        name: The parent.
        folder: Its files.
        config: The run.
        chat: What it has from elsewhere than from there.
    """

    def __init__(self, name: str, folder: Path, config: RunConfig, chat: Chat = OWN) -> None:
        super().__init__()
        evaluation, trust = config.evaluation, name in config.trusted
        settings = {"local_files_only": True, "trust_remote_code": trust}
        self.name, self._folder, self._trust = name, folder, trust
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
        chat.apply(self._tokenizer, evaluation)
        self.chat_template_args = evaluation.chat_template_args
        self._config = transformers.AutoConfig.from_pretrained(folder, **settings)
        self.sees = kind_of(self._config.to_dict()).sees
        self.owns = [one.name for one in config.stages if config.owner(one) == name]
        self.max_length = resolve_max_length(self._config, self._tokenizer)
        if evaluation.backend == "vllm":
            self.max_length = min(self.max_length, evaluation.vllm.max_length or self.max_length)
        own = end_tokens(generation_config(folder, self._config), self._tokenizer)
        self.ends = sorted({*own, *chat.ends})
        if evaluation.thinking is not None:
            self.thinking_budget = evaluation.thinking.max_tokens
        known = self._tokenizer.get_vocab()
        template = str(self._tokenizer.chat_template or "")
        self.thinks = any(mark in known or mark in template for mark in THINKING)

    @property
    def tokenizer(self) -> Any:
        """The parent's tokenizer."""
        return self._tokenizer

    @cached_property
    def _processor(self) -> Any:
        return open_processor(self._folder, self._tokenizer, trust=self._trust)

    def require_processor(self) -> None:
        """It has a processor, which fits its tower.

        Raises:
            ParentError: it has none, or another model's.
        """
        if faults := misfits(self._processor, self._config):
            raise ParentError(
                f"the processor of `{self.name}` does not fit its vision tower",
                expected="one that cuts pictures as the tower was trained on them",
                got="; ".join(faults),
                fix="fetch or copy the processor's files of the model that the tower is from",
            )

    def count(self, prompt: str, pictures: Sequence[Picture]) -> int:
        """Tokens of a prompt with its pictures."""
        marker = marker_of(self._processor, self._tokenizer, self._config)
        images = [[one.image.convert("RGB") for one in pictures]]
        found = self._processor(
            text=[prompt.replace(PLACEHOLDER, marker)], images=images, return_tensors="pt"
        )
        return int(found["input_ids"].shape[1])


def open_readers(config: RunConfig, faults: list[ConfigError], notes: list[str]) -> list[Reader]:
    """A reader for each parent whose files are on this machine, or one of plain text.

    Args:
        config: The run.
        faults: Takes those of tokenizers.
        notes: Takes what else there is to say of them.
    """
    readers: list[Reader] = []
    folders = parents_here(config)
    chat = _chat(config, folders, faults)
    for name, folder in folders.items():
        try:
            reader = ParentReader(name, folder, config, chat)
        except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
            faults.append(
                ConfigError(
                    f"the tokenizer of `{name}` cannot be loaded",
                    where=str(folder),
                    got=f"{type(error).__name__}: {error}",
                    fix="fetch or copy the tokenizer's files again",
                )
            )
            continue
        if config.evaluation.apply_chat_template and not reader.tokenizer.chat_template:
            notes.append(
                f"{name} has no chat template: by itself it cannot be scored, unless "
                "`evaluation.chat_template` names one for all models"
            )
            continue
        readers.append(reader)
    if readers or config.evaluation.apply_chat_template:
        return readers
    return [Reader()]


def _chat(config: RunConfig, folders: Mapping[str, Path], faults: list[ConfigError]) -> Chat:
    try:
        return open_chat(config, folders)
    except ConfigError as error:
        faults.append(error)
    except Exception:  # noqa: BLE001 - tokenizers raises Exception itself, and so will the reader
        return OWN
    return OWN


def parents_here(config: RunConfig) -> dict[str, Path]:
    """Folders of the parents whose own tokenizers are used, as far as they are on this machine.

    An adapter that brings no tokenizer or chat template is asked as its base is.
    """
    folders = {}
    shared = config.vocabulary
    for name, source in config.parents.items():
        if shared.kind != "same" and name != shared.of:
            continue
        folder, base = _folder(source), adapter_base(source)
        if folder is not None and base is not None and base in config.parents:
            below = _folder(config.parents[base])
            folder = None if below is None else _with_base(folder, below)
        if folder is not None and (folder / "config.json").is_file():
            folders[name] = folder
    return folders


def _folder(source: ParentSource) -> Path | None:
    """Where a parent's files are on this machine, if they are."""
    match source:
        case DemoParent():
            return None
        case HubParent():
            return hub.cached_snapshot(source.hub, source.revision, code=source.trust_remote_code)
        case LocalParent():
            return source.folder


_together: dict[tuple[Path, Path], TemporaryDirectory[str]] = {}
"""Small files of adapters and their bases, for as long as this process lives."""


def _with_base(adapter: Path, base: Path) -> Path | None:
    """A folder with the small files of a model that an adapter is merged into; None if all are the base's."""
    if not (adapter.is_dir() and base.is_dir()):
        return None
    own = FolderFiles(adapter)
    if own.sizes.keys().isdisjoint({*TOKENIZER, *TEMPLATES}):
        return None
    files = AdapterFiles(own, FolderFiles(base))
    if (adapter, base) not in _together:
        _together[adapter, base] = TemporaryDirectory(prefix="tsugiki-adapter-")
    folder = Path(_together[adapter, base].name)
    for name in {"config.json", *TOKENIZER, *OTHERS} & files.sizes.keys():
        (folder / name).write_bytes(files.read(name))
    return folder


def note_chat(config: RunConfig) -> Iterator[str]:
    """Say whose tokenizer, chat template and end tokens each stage's models have, where prompts are chats."""
    if not config.evaluation.apply_chat_template:
        return
    folders = parents_here(config)
    chat = _chat(config, folders, [])
    for stage in config.stages:
        owner = config.owner(stage)
        if owner in folders:
            lent = "its own" if chat.source in (None, owner) else f"that of {chat.source}"
            yield (
                f"stage `{stage.name}`: configuration, tokenizer and generation settings of {owner}, chat "
                f"template {lent}"
                + (f", answers also end at tokens {list(chat.ends)}" if chat.ends else "")
            )


def note_ends(config: RunConfig, readers: Sequence[Reader]) -> Iterator[str]:
    """Say at which tokens answers end, where the models of a stage differ in them."""
    known = {reader.name: reader for reader in readers}
    for stage in config.stages:
        owner = known.get(config.owner(stage))
        if owner is None:
            continue
        others = [known[name] for name in config.origins(stage) if name in known]
        more = [other for other in others if set(other.ends) - set(owner.ends)]
        if more:
            yield (
                f"answers of stage `{stage.name}` end at the tokens of {owner.name}, "
                f"{token_texts(owner, owner.ends)}, and go on after those of "
                + ", ".join(
                    f"{one.name}, {token_texts(one, sorted({*one.ends} - {*owner.ends}))}"
                    for one in more
                )
                + ": where answers are to end at these too, set `evaluation.end_tokens: parents`"
            )


def token_texts(reader: Reader, ids: Sequence[int]) -> str:
    """Tokens with their ids, in words."""
    texts = reader.tokenizer.convert_ids_to_tokens(list(ids))
    return " ".join(f"{text} ({id_})" for text, id_ in zip(texts, ids, strict=True)) or "none"
