"""Score one candidate: every fault of its own becomes a failure, every fault of the machine is raised."""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow
import pyarrow.parquet
import torch

from tsugiki.canonical import digest_bytes
from tsugiki.errors import (
    ConfigError,
    EvaluationError,
    InfrastructureError,
    ParentError,
    RecipeError,
)
from tsugiki.evaluate.harness import Harness, ItemRecord
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.outcome import Failed, Measured, Scored

ITEM_SCHEMA = pyarrow.schema(
    [
        ("objective", pyarrow.string()),
        ("doc_id", pyarrow.int64()),
        ("doc_hash", pyarrow.string()),
        ("prompt", pyarrow.string()),
        ("prompt_hash", pyarrow.string()),
        ("response", pyarrow.string()),
        ("target", pyarrow.string()),
        ("value", pyarrow.float64()),
        ("tokens", pyarrow.int64()),
        ("truncated", pyarrow.bool_()),
        ("empty", pyarrow.bool_()),
        ("language", pyarrow.float64()),
        ("parsed", pyarrow.float64()),
    ]
)

_MACHINE_ERRNO = {errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EDQUOT, errno.ENOMEM}
_MACHINE_WORDS = ("CUDA error", "CUDA out of memory", "CUBLAS", "CUDNN", "NCCL", "can't allocate")


@dataclass(frozen=True)
class Evaluated:
    """All that came of one candidate."""

    outcome: Scored | Failed
    items: bytes | None
    """Content of items.parquet; None for a failure."""
    cost: dict[str, Any]
    """Content of cost.json."""


def score(
    build: Callable[[], tuple[LanguageModel, str]],
    harness: Harness,
    *,
    recipe: str,
    ids: Mapping[str, Sequence[int]],
    evaluation: str,
    prompts: bool = False,
) -> Evaluated:
    """Build a candidate and score it.

    Args:
        build: Makes the model and returns it with the digest of its weights.
        harness: The tasks.
        recipe: Digest of the recipe.
        ids: Document ids by task.
        evaluation: Identity of the evaluation.
        prompts: Keep the prompts' text in items.parquet.

    Raises:
        InfrastructureError: the machine failed, not the candidate.
        ConfigError, ParentError: nothing that a candidate could be blamed for.
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
        records = harness.run(model, ids)
        forward = model.clock.stop()
        table, rows = item_table(records, model.tokenizer, prompts=prompts)
        tokens = sum(row["tokens"] for row in rows)
        outcome = Scored(
            recipe=recipe,
            evaluation=evaluation,
            measured=_measure(records),
            rates=_rates(rows),
            weights=weights,
            records=digest_bytes(table),
        )
    except (ConfigError, ParentError, InfrastructureError):
        raise
    except Exception as error:
        if is_machine_fault(error):
            raise InfrastructureError(
                "the machine failed while a candidate was scored",
                where=f"recipe {recipe[:12]} on {os.uname().nodename}",
                got=f"{type(error).__name__}: {error}",
                fix="the job is tried again, on another node where there is one",
            ) from error
        kind, reason = describe_failure(error)
        outcome = Failed(recipe=recipe, evaluation=evaluation, kind=kind, reason=reason)
    device = str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu"
    return Evaluated(
        outcome,
        table,
        {
            "seconds_merge": merged,
            "seconds_forward": forward,
            "seconds_total": time.perf_counter() - clock,
            "tokens": tokens,
            "host": os.uname().nodename,
            "device": device,
            "started": started.isoformat(),
            "finished": datetime.now(UTC).isoformat(),
        },
    )


def describe_failure(error: Exception) -> tuple[Any, str]:
    """Kind and reason of a candidate's own fault."""
    if isinstance(error, RecipeError):
        return "recipe", str(error)
    if isinstance(error, EvaluationError):
        kind = "model" if "logits" in error.what else "evaluation"
        return kind, str(error)
    return "evaluation", f"{type(error).__name__}: {error}"


def is_machine_fault(error: BaseException) -> bool:
    """Whether an exception speaks of the machine and not of the candidate."""
    if isinstance(error, MemoryError | ConnectionError | torch.cuda.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno in _MACHINE_ERRNO
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MACHINE_WORDS)


def item_table(
    records: Sequence[ItemRecord], tokenizer: Any, *, prompts: bool
) -> tuple[bytes, list[dict[str, Any]]]:
    """items.parquet, and its rows as plain data; prompts are kept only where asked for."""
    encoded = tokenizer([record.response for record in records], add_special_tokens=False)
    rows = []
    for record, ids in zip(records, encoded["input_ids"], strict=True):
        generated = record.max_tokens is not None
        rows.append(
            {
                "objective": record.objective,
                "doc_id": record.doc_id,
                "doc_hash": record.doc_hash,
                "prompt": record.prompt if prompts else None,
                "prompt_hash": record.prompt_hash,
                "response": record.response,
                "target": record.target,
                "value": record.value,
                "tokens": len(ids) if generated else 0,
                "truncated": generated and len(ids) >= (record.max_tokens or 0),
                "empty": generated and not record.response.strip(),
                "language": record.language,
                "parsed": record.parsed,
            }
        )
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows, ITEM_SCHEMA), buffer, compression="zstd"
    )
    return buffer.getvalue(), rows


def _measure(records: Sequence[ItemRecord]) -> dict[str, Measured]:
    values: dict[str, list[float]] = {}
    for record in records:
        if record.value is None:
            raise EvaluationError(
                f"objective {record.objective} has no finite value for document {record.doc_id}",
                fix="use a metric that is defined for every document",
            )
        values.setdefault(record.objective, []).append(record.value)
    return {
        name: Measured(value=sum(of_name) / len(of_name), items=len(of_name))
        for name, of_name in values.items()
    }


def _rates(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for name in ("tokens", "truncated", "empty", "language", "parsed"):
        known = [float(row[name]) for row in rows if row[name] is not None]
        if known:
            rates[name] = sum(known) / len(known)
    return rates
