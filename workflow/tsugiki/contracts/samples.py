"""items.parquet: what a model made of each document, a row for each objective and document."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tsugiki.errors import LineageError

TEXT = frozenset(
    {"prompt", "prompt_hash", "target", "tokens", "truncated", "empty", "language", "parsed"}
)
"""Columns of evaluators that put prompts to a model; absent where there is no other one."""
RESPONSE = "response"
"""Absent where no record has any."""
PART = "part"
"""Only there where some objective's documents contribute other than numbers."""
REPEATS = "repeats"
"""Only there where answers were sampled."""
SCHEMA = pa.schema(
    [
        ("objective", pa.string()),
        ("doc_id", pa.int64()),
        ("doc_hash", pa.string()),
        ("prompt", pa.string()),
        ("prompt_hash", pa.string()),
        (RESPONSE, pa.string()),
        ("target", pa.string()),
        ("value", pa.float64()),
        ("tokens", pa.int64()),
        ("truncated", pa.bool_()),
        ("empty", pa.bool_()),
        ("language", pa.float64()),
        ("parsed", pa.float64()),
        (PART, pa.string()),
        (REPEATS, pa.int64()),
    ]
)
"""All columns that there may be, in their order."""


@dataclass(frozen=True)
class Sample:
    """What a model made of one document, for one objective."""

    objective: str
    task: str
    """Source of the document."""
    doc_id: int
    """Its place there."""
    doc_hash: str
    """SHA-256 of its content."""
    value: float | None
    """The metric on this document; None if it is no finite number."""
    counts_tokens: bool = False
    """Whether the metric is the number of tokens of the generated answer, in place of `value`."""
    member: str | None = None
    """The task of a group that the document is of, where the group's tasks are told apart."""
    part: str | None = None
    """JSON of what the document contributes to an aggregation, where that is no finite number."""
    response: str | None = None
    """What the model answered, where that can be told; of sampled answers a JSON list."""
    responses: tuple[str, ...] | None = None
    """Sampled answers, each of them; None where there is one that is not sampled."""
    prompt: str | None = None
    """The text put to the model. This and what follows is None where an evaluator shows none."""
    prompt_hash: str | None = None
    target: str | None = None
    """The right answer."""
    max_tokens: int | None = None
    """Limit of the generated answer; None where nothing is generated."""
    language: float | None = None
    """1 if the answer is in the language that was asked for; None if the task does not report it."""
    parsed: float | None = None
    """1 if an answer was found in the text; None if the task does not report it."""

    @property
    def repeats(self) -> int | None:
        """How many answers were sampled; None where none was."""
        return None if self.responses is None else len(self.responses)

    @property
    def answers(self) -> tuple[str, ...]:
        """Each answer's text."""
        return (self.response or "",) if self.responses is None else self.responses


def rows_of(
    records: Sequence[Sample], lengths: Mapping[str, int], *, prompts: bool
) -> list[dict[str, Any]]:
    """The rows of items.parquet as plain data, with all columns, and with `task` and `generated` besides.

    `lengths` are the tokens of each generated answer; the prompts' text is kept with `prompts`.
    """
    rows = []
    for record in records:
        generated, shown = record.max_tokens is not None, record.prompt_hash is not None
        tokens = [lengths[answer] for answer in record.answers] if generated else [0]
        mean = sum(tokens) / len(tokens)
        value, part = (mean if record.counts_tokens else record.value), record.part
        if record.member is not None and value is not None:
            part = json.dumps([record.member, value], ensure_ascii=False)
        rows.append(
            {
                "objective": record.objective,
                "doc_id": record.doc_id,
                "doc_hash": record.doc_hash,
                "prompt": record.prompt if prompts else None,
                "prompt_hash": record.prompt_hash,
                "response": record.response,
                "target": record.target,
                "value": value,
                "tokens": sum(tokens) if shown else None,
                "truncated": generated and _most(one >= (record.max_tokens or 0) for one in tokens)
                if shown
                else None,
                "empty": generated and _most(not one.strip() for one in record.answers)
                if shown
                else None,
                "language": record.language,
                "parsed": record.parsed,
                "part": part,
                REPEATS: record.repeats,
                "task": record.task,
                "generated": generated,
            }
        )
    return rows


def _most(found: Iterable[bool]) -> bool:
    """Whether something holds for at least half."""
    flags = list(found)
    return 2 * sum(flags) >= len(flags)


def rows_again(table: Any, tasks: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows that an items.parquet was made of, as `rows_of` gives them.

    `table` is what `read_samples` returns, `tasks` the source of the documents by objective.
    """
    rows = []
    for row in table.to_pylist():
        whole = {**dict.fromkeys(SCHEMA.names), **row, "task": tasks[row["objective"]]}
        # an answer of no tokens is empty, and what was not generated has no tokens and is not
        rows.append({**whole, "generated": bool(whole["tokens"] or whole["empty"])})
    return rows


def to_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The content of items.parquet: the columns that some row needs."""
    absent: set[str] = set()
    if all(row["prompt_hash"] is None for row in rows):
        absent |= TEXT
        if all(row[RESPONSE] is None for row in rows):
            absent.add(RESPONSE)
    if all(row[PART] is None for row in rows):
        absent.add(PART)
    if all(row.get(REPEATS) is None for row in rows):
        absent.add(REPEATS)
    schema = pa.schema([field for field in SCHEMA if field.name not in absent])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    return buffer.getvalue()


def read_samples(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read items.parquet (or those of some columns that it has) as a `pyarrow.Table`.

    Raises:
        LineageError: the file is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            known = file.schema_arrow.names
            return file.read([name for name in columns or known if name in known])
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise LineageError(
            "the record of the items cannot be read", where=str(path), got=str(error)
        ) from error


def read_values(path: Path) -> dict[str, dict[int, float]]:
    """By objective and document, in the order of documents, what a model scored there; NaN where that is no number.

    Raises:
        LineageError: the file is missing or damaged.
    """
    rows = read_samples(path, ["objective", "doc_id", "value"]).to_pylist()
    found: dict[str, dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: int(row["doc_id"])):
        value = math.nan if row["value"] is None else row["value"]
        found.setdefault(row["objective"], {})[row["doc_id"]] = value
    return found


def read_by_document(path: Path, objectives: Sequence[str]) -> NDArray[np.float64]:
    """Each document's own number on each objective, from items.parquet.

    Returns:
        float64, shape (documents, objectives): of each objective the documents of its task, by id.
        NaN where a document has no number, and below the last one of a task with fewer documents.

    Raises:
        LineageError: the file is missing or damaged.
    """
    values = read_values(path)
    columns = [list(values.get(name, {}).values()) for name in objectives]
    found = np.full((max(map(len, columns), default=0), len(columns)), np.nan)
    for place, column in enumerate(columns):
        found[: len(column), place] = column
    return found
