"""Pictures that documents of lm-eval's tasks show: opened for whoever asks, and checked before a model is at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tsugiki.errors import ConfigError, ParentError
from tsugiki.evaluate.pictures import PLACEHOLDER, Picture, has_pictures, pictures_in, pictures_of
from tsugiki.evaluate.readers import Reader

TRIED = 20
"""Prompts of a task whose tokens are counted with their pictures."""


class TaskPictures:
    """The pictures that documents show.

    Args:
        tasks: lm-eval's, by name.
        files: Files of local ones, beside which paths of pictures begin.
    """

    def __init__(self, tasks: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        self._tasks, self._files = tasks, files
        self._kept: dict[str, Picture] = {}
        self._digests: dict[tuple[str, int], list[str]] = {}

    def opened(self, task: str, document: Any, place: int | None = None) -> list[Picture]:
        """The pictures that a document of a task shows, in their order.

        Raises:
            ConfigError: one of them cannot be opened.
        """
        folder = self._files[task].parent if task in self._files else None
        where = f"task {task}" if place is None else f"task {task}, document {place}"
        return pictures_of(self._tasks[task], document, folder, where)

    def kept(self, task: str, document: Any) -> list[Picture]:
        """As `opened`, but each is in memory once, whoever is asked."""
        return [self._kept.setdefault(one.digest, one) for one in self.opened(task, document)]

    def digests(self, task: str, place: int, document: Any) -> list[str] | None:
        """Digests of what a document shows, opened once for them; None if its task shows nothing."""
        if not has_pictures(self._tasks[task]):
            return None
        if (task, place) not in self._digests:
            self._digests[task, place] = [one.digest for one in self.opened(task, document, place)]
        return self._digests[task, place]

    def fault(
        self, name: str, documents: Iterable[tuple[int, Any]], readers: Sequence[Reader]
    ) -> ConfigError | None:
        """Why the pictures of some documents of a task (by place) cannot be shown, if so."""
        counted = (
            (place, document, len(self.opened(name, document, place)))
            for place, document in documents
        )
        return _unshown(name, self._tasks[name], counted) or _blindness(name, readers)


def _unshown(name: str, task: Any, documents: Iterable[tuple[int, Any, int]]) -> ConfigError | None:
    """Why a task does not show the pictures of its documents (by place, with their number), if so."""
    where = f"task {name}"
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return ConfigError(
            "a picture has no likelihood",
            where=where,
            expected="output_type: generate_until, multiple_choice or loglikelihood",
            got=task.OUTPUT_TYPE,
        )
    for place, document, count in documents:
        marks = str(task.doc_to_text(document)).count(PLACEHOLDER)
        if marks != count:
            return ConfigError(
                "a prompt does not show the pictures of its document",
                where=f"{where}, document {place}",
                expected=f"{PLACEHOLDER} once for each of {count} pictures in `doc_to_text`",
                got=f"{marks} times",
                fix=f"put {PLACEHOLDER} into `doc_to_text` where a picture is to be seen",
            )
    if task.config.num_fewshot:
        return ConfigError(
            "solved examples cannot show their pictures: lm-eval gives a prompt those of its own document",
            where=where,
            expected="num_fewshot: 0",
            got=f"num_fewshot: {task.config.num_fewshot}",
            fix="set `num_fewshot: 0` for the task, or describe the examples in its `description`",
        )
    return None


def _blindness(name: str, readers: Sequence[Reader]) -> ConfigError | None:
    """Why the models of some stage could not be shown a task's pictures, if so."""
    for reader in readers:
        if reader.owns and not reader.sees:
            return ConfigError(
                f"task {name} shows pictures, and merged models would see none",
                where=f"stage {', '.join(reader.owns)}",
                expected="a vision-language model as `tokenizer` of the space, whose tower and processor "
                "the merged model gets",
                got=f"{reader.name}, a text model",
                fix="set `tokenizer` to the parent that sees",
            )
        if reader.sees:
            try:
                reader.require_processor()
            except ParentError as error:
                return ConfigError(
                    f"`{reader.name}` cannot be shown the pictures of task {name}",
                    where=f"parent {reader.name}",
                    got=str(error),
                )
    return None


def too_long(name: str, reader: Reader, requests: Sequence[Any]) -> ConfigError | None:
    """Why a prompt with its pictures, and room for an answer, is more than a model can read, if so."""
    if not reader.sees or reader.max_length is None:
        return None
    pictured = [one for one in requests if pictures_in(one)]
    for one in sorted(pictured, key=lambda one: -len(str(one.args[0])))[:TRIED]:
        prompt = reader.count(str(one.args[0]), pictures_in(one))
        answer = reader.answer_tokens(one)
        if prompt + answer > reader.max_length:
            return ConfigError(
                f"a prompt of task {name} is longer than `{reader.name}` can read, with its pictures and an "
                "answer, and pictures cannot be cut",
                where=f"task {name}, document {one.doc_id} of those that are used",
                expected=f"at most {reader.max_length} tokens",
                got=f"{prompt} + {answer}",
                fix="ask for shorter answers, show smaller pictures, or set the processor to fewer tiles",
            )
    return None


def picture_remarks(name: str, readers: Sequence[Reader]) -> Iterator[str]:
    """Parents that see no pictures."""
    if blind := [reader.name for reader in readers if reader.name and not reader.sees]:
        yield (
            f"{', '.join(blind)} see{'s' * (len(blind) == 1)} no pictures: by "
            f"{'itself' if len(blind) == 1 else 'themselves'} asked the questions of task {name} alone"
        )
