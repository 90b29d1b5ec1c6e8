"""What can be told of an lm-eval task with pictures before a model is at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lm_eval.models.utils import normalize_gen_kwargs

from tsugiki.errors import ConfigError, ParentError
from tsugiki.evaluate.pictures import PLACEHOLDER, pictures_in
from tsugiki.evaluate.readers import Reader

TRIED = 20
"""Prompts of a task whose tokens are counted with their pictures."""


def picture_fault(
    name: str, task: Any, documents: Iterable[tuple[int, Any, int]]
) -> ConfigError | None:
    """Why a task's pictures cannot be shown, if so.

    Args:
        name: The task.
        task: lm-eval's.
        documents: By place, with the number of pictures of each.
    """
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


def blindness(name: str, readers: Sequence[Reader]) -> ConfigError | None:
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
    """Why a prompt with its pictures, and room for an answer, is more than a model can read, if so.

    Args:
        name: The task.
        reader: Stands for the model.
        requests: What it is asked; the longest ones in characters are tried.
    """
    if not reader.sees or reader.max_length is None:
        return None
    pictured = [one for one in requests if pictures_in(one)]
    for one in sorted(pictured, key=lambda one: -len(str(one.args[0])))[:TRIED]:
        prompt = reader.count(str(one.args[0]), pictures_in(one))
        answer = 1
        if one.request_type == "generate_until":
            answer = int(normalize_gen_kwargs(dict(one.args[1]), 256)["max_gen_toks"])
        if prompt + answer + reader.thinking_budget > reader.max_length:
            return ConfigError(
                f"a prompt of task {name} is longer than `{reader.name}` can read, with its pictures and an "
                "answer, and pictures cannot be cut",
                where=f"task {name}, document {one.doc_id} of those that are used",
                expected=f"at most {reader.max_length} tokens",
                got=f"{prompt} + {answer + reader.thinking_budget}",
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
