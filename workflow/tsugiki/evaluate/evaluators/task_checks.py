"""What can be told of an lm-eval task by its columns, and by the prompts it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.models.utils import normalize_gen_kwargs

from tsugiki.errors import ConfigError
from tsugiki.evaluate.readers import THINKING, Reader

MEASURED = 50
"""Prompts of a task, the longest ones in characters, whose tokens are counted."""


def unknown_column(task: Any, name: str, file: Path) -> ConfigError | None:
    """A column that is not there: lm-eval takes its name for a text, the same for all documents."""
    for key in ("doc_to_text", "doc_to_target"):
        value = getattr(task.config, key)
        choices = task.config.doc_to_choice
        if (
            isinstance(value, str)
            and value.isidentifier()
            and value not in task.features
            and not (isinstance(choices, list) and value in choices)
        ):
            return ConfigError(
                f"task {name} names a column that its documents do not have",
                where=f"{key} in {file}",
                expected=f"one of {', '.join(task.features)}",
                got=value,
                fix="correct the name; a text that is the same for all documents is written as a "
                f"template, such as \"{{{{ '{value}' }}}}\"",
            )
    return None


def no_room(
    name: str, readers: Sequence[Reader], asked: Mapping[str, Sequence[Any]]
) -> ConfigError | None:
    """Answers that alone may be as long as all that a stage's models read: each of them would fail.

    Args:
        name: The task.
        readers: Stand-ins for the parents.
        asked: lm-eval's requests to each of them, by its name.
    """
    for reader in readers:
        if reader.max_length is None or not reader.owns:
            continue
        limits = [
            _most_tokens(one, reader)
            for one in asked[reader.name]
            if one.request_type == "generate_until"
        ]
        if limits and max(limits) >= reader.max_length:
            thinking = f", {reader.thinking_budget} of them of thinking"
            return ConfigError(
                f"answers of {name} may be longer than what {reader.name} reads in all",
                where=f"models of stage `{reader.owns[0]}`",
                expected=f"fewer than {reader.max_length} tokens, and room for the prompt",
                got=f"{max(limits)} tokens{thinking if reader.thinking_budget else ''}",
                fix="set a smaller `max_tokens` (a task's `max_gen_toks`; `evaluation.thinking.max_tokens`)",
            )
    return None


def prompt_remarks(
    name: str, readers: Sequence[Reader], asked: Mapping[str, Sequence[Any]]
) -> Iterator[str]:
    """What to know of a task's prompts and answers.

    Args:
        name: The task.
        readers: Stand-ins for the parents.
        asked: lm-eval's requests to each of them, by its name.
    """
    stops = {stop for requests in asked.values() for one in requests for stop in _stops(one)}
    cut: dict[str, str] = {}
    for reader in readers:
        if reader.max_length is None:
            continue
        longest, answer = _longest(asked[reader.name], reader)
        if longest + answer > reader.max_length:
            cut[reader.name] = f"{reader.name} {longest} + {answer} of {reader.max_length}"
    if cut:
        yield (
            f"prompts of task {name} are longer than a model can read, and are cut at their start "
            f"(tokens of the longest one + its answer, of those that fit): {', '.join(cut.values())}"
        )
    thinking = [reader.name for reader in readers if reader.thinks]
    if stops and thinking and not all(reader.thinking_budget for reader in readers):
        shown = ", ".join(repr(stop) for stop in sorted(stops)[:5])
        yield (
            f"task {name} ends answers at {shown}, which may stand within the thinking part of an "
            f"answer ({', '.join(thinking)}: {' and '.join(THINKING)}): set `evaluation.thinking`"
        )


def _stops(request: Any) -> list[str]:
    if request.request_type != "generate_until":
        return []
    until = request.args[1].get("until") or []
    return [stop for stop in ([until] if isinstance(until, str) else until) if stop]


def _most_tokens(request: Any, reader: Reader) -> int:
    """Of an answer, its thinking part included."""
    settings = normalize_gen_kwargs(dict(request.args[1]), 256)
    return int(settings["max_gen_toks"]) + reader.thinking_budget


def _longest(requests: Sequence[Any], reader: Reader) -> tuple[int, int]:
    """Tokens of the longest prompt, and the most that its answer may have."""
    found = (0, 0)
    for request in sorted(requests, key=lambda one: -len(str(one.args[0])))[:MEASURED]:
        if request.request_type == "loglikelihood_rolling":
            continue
        prompt = len(reader.encode(request.args[0]))
        if request.request_type == "generate_until":
            answer = _most_tokens(request, reader)
        else:
            answer = len(reader.tokenizer(request.args[1], add_special_tokens=False)["input_ids"])
        found = max(found, (prompt, answer), key=sum)
    return found
