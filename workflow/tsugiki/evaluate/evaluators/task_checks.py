"""What stands against lm-eval's tasks and their prompts, and what to know of these, before a model is at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.errors import ConfigError
from tsugiki.evaluate.aggregation import aggregation_of, plain, restored
from tsugiki.evaluate.readers import THINKING, Reader

MEASURED = 50
"""Prompts of a task, the longest ones in characters, whose tokens are counted."""
TRIED = 3
"""Documents whose parts of a metric are made up, to see whether they can be recorded."""


def task_faults(
    name: str, task: Any, objectives: Sequence[LmEvalObjective], *, training: bool
) -> Iterator[ConfigError]:
    """What stands against measuring a task at all; `training` if the search is to have its training split."""
    config = task.config
    examples = f"{config.num_fewshot} examples from the split"
    if config.num_fewshot:
        settings, tested = task.fewshot_cfg, config.test_split or config.validation_split
        source = settings.split
        if source is None and settings.samples is None:
            # lm-eval's own choice where a task makes none
            source = config.training_split or tested
        if source is not None and source == tested:
            yield ConfigError(
                f"task {name} takes its solved examples from the documents that it is tested on",
                where="evaluation.num_fewshot",
                got=f"{examples} `{source}`",
                fix="set `num_fewshot: 0`, or give the task a `fewshot_split` or `fewshot_config.samples`",
            )
        elif training and source == config.training_split and settings.samples is None:
            yield ConfigError(
                f"task {name} takes its solved examples from the training split, which the search is to use",
                where="evaluation.items.search_split",
                got=f"{examples} `{source}`",
                fix="set `num_fewshot: 0`, or give the task another `fewshot_split` or `fewshot_config.samples`",
            )
    counting = [one for one in objectives if one.counts_tokens]
    if counting and task.OUTPUT_TYPE != "generate_until":
        yield ConfigError(
            f"task {name} generates no answers that could be counted in tokens",
            where=f"objective {counting[0].name}",
            expected="a task with `output_type: generate_until`",
            got=f"output_type: {task.OUTPUT_TYPE}",
            fix="take another task, or one of this task's own metrics",
        )
    if training and not task.has_training_docs():
        yield ConfigError(
            f"task {name} has no training split for the search",
            where="evaluation.items.search_split",
            expected="a task with a `training_split`",
            got="only the documents that it is tested on",
            fix="remove the key, or use a copy of the task in `task_paths` that names one",
        )


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


def aggregation_fault(
    name: str, task: Any, objective: LmEvalObjective, file: Path | None = None
) -> ConfigError | None:
    """Why a task's metric does not follow from what can be recorded of each document, if so.

    An answer is made up for a few documents; where the task's code cannot take it, scoring will
    tell. What it reports must be plain data, and aggregate to one number.
    """
    got = None if objective.counts_tokens else _not_aggregated(task, objective)
    if got is None:
        return None
    return ConfigError(
        f"the metric `{objective.metric}` of task {name} has no value over a set of documents",
        where=f"objective {objective.name}" + (f", {file}" if file else ""),
        expected="numbers, or plain data that the task aggregates to a number",
        got=got,
        fix="use another metric, or a copy of the task in `task_paths` with another aggregation",
    )


def _not_aggregated(task: Any, objective: LmEvalObjective) -> str | None:
    metric = objective.metric.partition(",")[0]
    listed = task.aggregation()
    function = listed.get(metric)
    if metric in listed and (function is None or getattr(function, "__name__", "") == "bypass_agg"):
        metrics = task.config.metric_list or []
        said = [one.get("aggregation") for one in metrics if one["metric"] == metric]
        return f"lm-eval has no aggregation of that name: {said}"
    parts = _made_up_parts(task, metric)
    aggregation = aggregation_of(task, objective.metric)
    if aggregation is None:
        wrong = [part for part in parts if isinstance(part, str | list | tuple | dict)]
        return f"there is no mean of {wrong[0]!r}" if wrong else None
    try:
        recorded = [restored(part) for part in parts]
    except TypeError as error:
        return f"its documents cannot be recorded: {error}"
    value, again = (_aggregated(aggregation.function, of) for of in (parts, recorded))
    if value is not None and value != again:
        return "what is recorded of its documents aggregates to something else"
    if value is not None and not isinstance(value, int | float):
        return f"it aggregates to {value!r}"
    return None


def _made_up_parts(task: Any, metric: str) -> list[Any]:
    """What a few documents contribute with an answer that says nothing; none where none can be had."""
    try:
        documents = task.eval_docs
        found = [
            task.process_results(document, _made_up_answers(task, document)).get(metric)
            for document in (documents[index] for index in range(min(TRIED, len(documents))))
        ]
    except Exception:  # noqa: BLE001 - a task's code may want more than this
        return []
    return [part for part in found if part is not None]


def _made_up_answers(task: Any, document: Any) -> list[Any]:
    match task.OUTPUT_TYPE:
        case "multiple_choice":
            return [(-1.0 - place, False) for place, _ in enumerate(task.doc_to_choice(document))]
        case "loglikelihood":
            return [(-1.0, False)]
        case "loglikelihood_rolling":
            return [-1.0]
        case _:
            return [""]


def _aggregated(function: Any, parts: Sequence[Any]) -> Any:
    """None where so few documents, or answers like these, cannot be aggregated."""
    try:
        value = plain(function(list(parts))) if parts else None
    except Exception:  # noqa: BLE001 - a task's own code
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


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
            reader.answer_tokens(one)
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
    """What to know of a task's prompts and answers."""
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


def _longest(requests: Sequence[Any], reader: Reader) -> tuple[int, int]:
    """Tokens of the longest prompt, and the most that its answer may have."""
    longest = sorted(requests, key=lambda one: -len(str(one.args[0])))[:MEASURED]
    found = (
        (len(reader.encode(one.args[0])), reader.answer_tokens(one))
        for one in longest
        if one.request_type != "loglikelihood_rolling"
    )
    return max(found, key=sum, default=(0, 0))
