"""Score one candidate: every fault of its own becomes a failure, every fault of the machine is raised."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tsugiki.canonical import digest_bytes
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.records import ItemRecord, rows_of, to_parquet
from tsugiki.errors import EvaluationError, InfrastructureError, RecipeError
from tsugiki.evaluate.aggregation import Aggregation, read_part
from tsugiki.evaluate.backends import Model
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.language_model import BrokenModelError


@dataclass(frozen=True)
class Evaluated:
    """All that came of one candidate."""

    outcome: Scored | Failed
    items: bytes | None
    """Content of items.parquet; None for a failure."""
    cost: dict[str, Any]
    """Content of cost.json."""


def score(
    build: Callable[[], tuple[Model, str]],
    evaluators: Evaluators,
    *,
    recipe: str,
    ids: Mapping[str, Sequence[int]],
    evaluation: str,
    hardware: str,
    prompts: bool = False,
) -> Evaluated:
    """Build a candidate and score it.

    Args:
        build: Makes the model and returns it with the digest of its weights.
        evaluators: What scores it.
        recipe: Digest of the recipe.
        ids: Document ids by task.
        evaluation: Identity of the evaluation.
        hardware: What the model computes with, for cost.json.
        prompts: Keep the prompts' text in items.parquet.

    Raises:
        InfrastructureError: the machine failed, not the candidate.
        Exception: whatever else is no fault of the candidate, as it was raised.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    merged = forward = 0.0
    table: bytes | None = None
    tokens = 0
    outcome: Scored | Failed
    try:
        model, weights = build()
        merged = time.perf_counter() - clock
        model.clock.reset()
        records = evaluators.score(model, ids)
        forward = model.clock.stop()
        rows = rows_of(records, _tokens(records, model.tokenizer), prompts=prompts)
        table = to_parquet(rows)
        answers = generated_answers(records, rows)
        tokens = sum(row["tokens"] for row in answers)
        outcome = Scored(
            recipe=recipe,
            evaluation=evaluation,
            measured=_measure(records, evaluators.aggregations),
            rates=_rates(answers) | _share_cut(records, model.cut),
            weights=weights,
            records=digest_bytes(table),
        )
    except (RecipeError, EvaluationError) as error:
        kind, reason = describe_failure(error)
        outcome = Failed(recipe=recipe, evaluation=evaluation, kind=kind, reason=reason)
    except Exception as error:
        if not is_machine_fault(error):
            raise  # a fault of the parents, the configuration or tsugiki: no candidate is to blame
        raise InfrastructureError(
            "the machine failed while a candidate was scored",
            where=f"recipe {recipe[:12]} on {os.uname().nodename}",
            got=f"{type(error).__name__}: {error}",
            fix="the job is tried again, on another node where there is one",
        ) from error
    return Evaluated(
        outcome,
        table,
        {
            "seconds_merge": merged,
            "seconds_forward": forward,
            "seconds_total": time.perf_counter() - clock,
            "tokens": tokens,
            "host": os.uname().nodename,
            "device": hardware,
            "started": started.isoformat(),
            "finished": datetime.now(UTC).isoformat(),
        },
    )


def describe_failure(
    error: RecipeError | EvaluationError,
) -> tuple[Literal["recipe", "model", "evaluation"], str]:
    """Kind and reason of a candidate's own fault."""
    if isinstance(error, RecipeError):
        return "recipe", str(error)
    return "model" if isinstance(error, BrokenModelError) else "evaluation", str(error)


def _tokens(records: Sequence[ItemRecord], tokenizer: Any) -> dict[str, int]:
    """How many tokens each generated answer has; many documents have the same one."""
    texts = sorted({one.response or "" for one in records if one.max_tokens is not None})
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return {text: len(ids) for text, ids in zip(texts, encoded, strict=True)}


def generated_answers(
    records: Sequence[ItemRecord], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Rows with a generated answer, each answer once: several objectives may judge the same one."""
    answers: dict[tuple[str, int], Mapping[str, Any]] = {}
    for record, row in zip(records, rows, strict=True):
        if record.max_tokens is not None:
            answers.setdefault((record.task, record.doc_id), row)
    return list(answers.values())


def _measure(
    records: Sequence[ItemRecord], aggregations: Mapping[str, Aggregation | None]
) -> dict[str, Measured]:
    by_objective: dict[str, list[ItemRecord]] = {}
    for record in records:
        if record.value is None and (record.part is None or not aggregations[record.objective]):
            raise EvaluationError(
                f"objective {record.objective} has no finite value for document {record.doc_id}",
                fix="use a metric that is defined for every document",
            )
        by_objective.setdefault(record.objective, []).append(record)
    return {name: _aggregate(of_name, aggregations[name]) for name, of_name in by_objective.items()}


def _aggregate(records: Sequence[ItemRecord], aggregation: Aggregation | None) -> Measured:
    """One objective's value, from what items.parquet holds, so that it can be computed again."""
    if aggregation is None:
        values = [record.value or 0.0 for record in records]
        return Measured(value=sum(values) / len(values), items=len(values))
    parts = [record.value if record.part is None else read_part(record.part) for record in records]
    return Measured(value=aggregation(parts), items=len(parts), aggregation=aggregation.name)


def _rates(answers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for name in ("tokens", "truncated", "empty", "language", "parsed"):
        known = [float(row[name]) for row in answers if row[name] is not None]
        if known:
            rates[name] = sum(known) / len(known)
    return rates


def _share_cut(records: Sequence[ItemRecord], cut: set[tuple[str, bool]]) -> dict[str, float]:
    """Share of documents whose prompt lost its start; nothing where all were read whole."""
    lost = {
        (record.task, record.doc_id): (record.prompt, record.max_tokens is not None) in cut
        for record in records
        if record.prompt is not None
    }
    return {"cut": sum(lost.values()) / len(lost)} if any(lost.values()) else {}
