"""lm-eval's samples as records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.contracts.samples import Sample
from tsugiki.errors import EvaluationError
from tsugiki.evaluate.aggregation import finite_number, write_part

LIMITS = ("max_gen_toks", "max_new_tokens")
"""How tasks name the most tokens of an answer."""


def samples_of(
    task: str, objective: LmEvalObjective, results: Mapping[str, Any], asked: Sequence[int]
) -> dict[int, Mapping[str, Any]]:
    """lm-eval's own records of the documents that were asked of a task, by place, as an objective's metric has them.

    Raises:
        EvaluationError: the results lack the task, its metric or some document.
    """
    of_task = results["results"].get(task)
    if of_task is None:
        raise EvaluationError(f"the results lack task {task}")
    filter_name = objective.metric.partition(",")[2]
    if objective.counts_tokens:  # the same answer goes through every filter
        filter_name = next((one["filter"] for one in results["samples"][task]), "")
    elif objective.metric not in of_task:
        keys = sorted(
            key for key in of_task if "," in key and not key.partition(",")[0].endswith("_stderr")
        )
        raise EvaluationError(
            f"task {task} reports no `{objective.metric}`",
            expected=f"one of {', '.join(keys)}",
            fix="set the objective's `metric` to one of these keys",
        )
    samples = [one for one in results["samples"][task] if one["filter"] == filter_name]
    if [sample["doc_id"] for sample in samples] != list(range(len(asked))):
        raise EvaluationError(f"task {task} answered {len(samples)} of {len(asked)} documents")
    return dict(zip(asked, samples, strict=True))


def record_of(
    objective: LmEvalObjective,
    doc_id: int,
    doc_hash: str,
    sample: Mapping[str, Any],
    task: str,
    *,
    sampled: bool,
) -> Sample:
    """What lm-eval says of one document (its place and digest, and lm-eval's own record of it), as a record.

    Raises:
        EvaluationError: what the metric says of the document is no plain data.
    """
    arguments = sample["arguments"]
    value = None if objective.counts_tokens else sample.get(objective.metric.partition(",")[0])
    generation: Mapping[str, Any] = next(
        (part[1] for part in arguments if len(part) > 1 and isinstance(part[1], dict)), {}
    )
    answers = tuple(map(str, sample["resps"][0])) if sampled else None
    return Sample(
        objective=objective.name,
        task=objective.task,
        doc_id=doc_id,
        doc_hash=doc_hash,
        prompt=str(arguments[0][0]) if arguments else "",
        prompt_hash=sample["prompt_hash"],
        response=_response(sample["resps"])
        if answers is None
        else json.dumps(answers, ensure_ascii=False),
        responses=answers,
        target=str(sample["target"]),
        value=finite_number(value),
        counts_tokens=objective.counts_tokens,
        member=task if objective.aggregate is not None else None,
        part=_part(objective, doc_id, value),
        max_tokens=next((int(generation[key]) for key in LIMITS if key in generation), None),
        language=finite_number(sample.get("language")),
        parsed=finite_number(sample.get("parsed")),
    )


def _response(responses: Any) -> str:
    """The generated text, or the choices' log-likelihoods."""
    first = responses[0][0] if responses and responses[0] else ""
    if isinstance(first, str):
        return first
    scores = [one[0][0] if isinstance(one[0], tuple) else one[0] for one in responses if one]
    return json.dumps([round(score, 4) for score in scores if isinstance(score, float)])


def _part(objective: LmEvalObjective, doc_id: int, value: Any) -> str | None:
    """What a document contributes to a metric that is only defined over all documents."""
    if value is None or finite_number(value) is not None:
        return None
    try:
        return write_part(value)
    except TypeError as error:
        raise EvaluationError(
            f"objective {objective.name} has a value that cannot be recorded for document {doc_id}",
            got=str(error),
        ) from error
