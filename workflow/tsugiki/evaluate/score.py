"""Score one candidate: every fault of its own becomes a failure, every fault of the machine is raised."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tsugiki.canonical import digest_bytes
from tsugiki.contracts.outcome import Failed, Measured, Scored, SoFar
from tsugiki.contracts.samples import Sample, rows_of, to_parquet
from tsugiki.errors import EvaluationError, InfrastructureError, RecipeError
from tsugiki.evaluate.aggregation import Aggregation, read_part
from tsugiki.evaluate.backends import Model
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.language_model import BrokenModelError
from tsugiki.evaluate.thinking import Thought


@dataclass(frozen=True)
class Evaluated:
    """The result of scoring one candidate."""

    outcome: Scored | Failed
    items: bytes | None
    """Content of items.parquet; None for a failure."""
    cost: dict[str, Any]
    """Content of cost.json, but for the device and the generation."""


@dataclass(frozen=True)
class Earlier:
    """A candidate's result on other documents: on the rungs before, or in earlier generations."""

    outcome: Scored
    rows: list[dict[str, Any]]
    """Of items.parquet, as `rows_again` gives them."""
    cost: Mapping[str, Any]
    """Content of cost.json; empty where it is lost, or does not count here."""


@dataclass(frozen=True)
class Own:
    """The documents of a generation that is scored on its own subset (`evaluation.subsets`)."""

    ids: Mapping[str, Sequence[int]]
    """By task; a candidate may have been scored on some of them earlier."""
    times: int
    """How many generations score the candidate, this one included."""
    left_out: Mapping[str, Sequence[int]]
    """By task: documents that a candidate may have been scored on, and that no longer count."""


def score(
    build: Callable[[], tuple[Model, str]],
    evaluators: Evaluators,
    *,
    recipe: str,
    ids: Mapping[str, Sequence[int]],
    evaluation: str,
    prompts: bool = False,
    part: int | Own | None = None,
    earlier: Earlier | None = None,
) -> Evaluated:
    """Build a candidate and score it.

    Args:
        build: Makes the model and returns it with the digest of its weights.
        evaluators: What scores it.
        recipe: Digest of the recipe.
        ids: Document ids by task; not those it was scored on earlier.
        evaluation: Identity of the evaluation.
        prompts: Keep the prompts' text in items.parquet.
        part: For a rung before the last, its number. For a generation with its own subset, that subset: the outcome
            and its records are of these documents alone, and if the candidate was scored on all of them before,
            no model is built. None if neither holds.
        earlier: The candidate's result on other documents, which is included in outcome, records and cost.

    Raises:
        InfrastructureError: the machine failed, not the candidate.
        Exception: whatever else is no fault of the candidate, as it was raised.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    merged = forward = 0.0
    thought = 0
    own, rung = (part, None) if isinstance(part, Own) else (None, part)
    table: bytes | None = None
    tokens = 0
    outcome: Scored | Failed
    try:
        new: list[dict[str, Any]] = []
        shares: dict[str, float] = {}
        if earlier is None or ids:
            model, weights = build()
            merged = time.perf_counter() - clock
            model.clock.reset()
            model.thoughts.clear()
            try:
                records = evaluators.score(model, ids)
            except EvaluationError:
                model.clock.stop()  # code that looks at numbers may choke on those of a broken model
                raise
            forward = model.clock.stop()
            new = rows_of(records, _tokens(records, model.tokenizer), prompts=prompts)
            on_others = earlier if own is None else None
            shares = _share_cut(records, model.cut, on_others)
            shares |= _thinking(records, model.thoughts, on_others)
            thought = sum(one.tokens for one in model.thoughts.values())
        else:
            weights = earlier.outcome.weights
        tokens = thought + sum(row["tokens"] for row in generated_answers(new))
        known = new if earlier is None else _together(earlier.rows, new)
        rows = known if own is None else _of(known, own.ids)
        table = to_parquet(rows)
        outcome = Scored(
            recipe=recipe,
            evaluation=evaluation,
            measured=_measure(rows, evaluators.aggregations),
            rates=_rates(generated_answers(rows)) | shares,
            weights=weights,
            records=digest_bytes(table),
            rung=rung,
            so_far=None
            if own is None
            else SoFar(
                generations=own.times,
                measured=_measure(_of(known, own.left_out, inside=False), evaluators.aggregations),
            ),
        )
    except (RecipeError, EvaluationError) as error:
        kind, reason = describe_failure(error)
        outcome = Failed(recipe=recipe, evaluation=evaluation, kind=kind, reason=reason, rung=rung)
    except Exception as error:
        if not is_machine_fault(error):
            raise  # a fault of the parents, the configuration or tsugiki: no candidate is to blame
        raise InfrastructureError(
            "the machine failed while a candidate was scored",
            where=f"recipe {recipe[:12]} on {os.uname().nodename}",
            got=f"{type(error).__name__}: {error}",
            fix="the job is tried again, on another node where there is one",
        ) from error
    before = {} if earlier is None else earlier.cost
    spent = {
        "seconds_merge": merged,
        "seconds_forward": forward,
        "seconds_total": time.perf_counter() - clock,
        "tokens": tokens,
    }
    cost = {
        **{name: value + before.get(name, 0) for name, value in spent.items()},
        "host": os.uname().nodename,
        "started": before.get("started", started.isoformat()),
        "finished": datetime.now(UTC).isoformat(),
    }
    return Evaluated(outcome, table, cost)


def _together(
    earlier: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows as if all documents had been scored at once: by objective, then by place."""
    names = dict.fromkeys(row["objective"] for row in [*new, *earlier])
    order = {name: place for place, name in enumerate(names)}
    return sorted([*earlier, *new], key=lambda row: (order[row["objective"]], row["doc_id"]))


def _of(
    rows: Sequence[dict[str, Any]], ids: Mapping[str, Sequence[int]], *, inside: bool = True
) -> list[dict[str, Any]]:
    """Rows of some documents, or of all others."""
    named = {task: set(of_task) for task, of_task in ids.items()}
    return [row for row in rows if (row["doc_id"] in named.get(row["task"], ())) is inside]


def describe_failure(
    error: RecipeError | EvaluationError,
) -> tuple[Literal["recipe", "model", "evaluation"], str]:
    """Kind and reason of a candidate's own fault."""
    if isinstance(error, RecipeError):
        return "recipe", str(error)
    return "model" if isinstance(error, BrokenModelError) else "evaluation", str(error)


def _tokens(records: Sequence[Sample], tokenizer: Any) -> dict[str, int]:
    """How many tokens each generated answer has; many documents have the same one."""
    texts = sorted({text for one in records if one.max_tokens is not None for text in one.answers})
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return {text: len(ids) for text, ids in zip(texts, encoded, strict=True)}


def generated_answers(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows with a generated answer, each answer once: several objectives may judge the same one."""
    answers: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in rows:
        if row["generated"]:
            answers.setdefault((row["task"], row["doc_id"]), row)
    return list(answers.values())


def _measure(
    rows: Sequence[Mapping[str, Any]], aggregations: Mapping[str, Aggregation | None]
) -> dict[str, Measured]:
    by_objective: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = row["objective"]
        if row["value"] is None and (row["part"] is None or not aggregations[name]):
            raise EvaluationError(
                f"objective {name} has no finite value for document {row['doc_id']}",
                fix="use a metric that is defined for every document",
            )
        by_objective.setdefault(name, []).append(row)
    return {name: _aggregate(of_name, aggregations[name]) for name, of_name in by_objective.items()}


def _aggregate(rows: Sequence[Mapping[str, Any]], aggregation: Aggregation | None) -> Measured:
    """One objective's value, from what items.parquet holds, so that it can be computed again."""
    if aggregation is None:
        values = [row["value"] or 0.0 for row in rows]
        return Measured(value=sum(values) / len(values), items=len(values))
    parts = [row["value"] if row["part"] is None else read_part(row["part"]) for row in rows]
    return Measured(value=aggregation(parts), items=len(parts), aggregation=aggregation.name)


def _rates(answers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for name in ("tokens", "truncated", "empty", "language", "parsed"):
        known = [
            float(row[name]) / (row["repeats"] or 1 if name == "tokens" else 1)
            for row in answers
            if row[name] is not None
        ]
        if known:
            rates[name] = sum(known) / len(known)
    return rates


def _share_cut(
    records: Sequence[Sample], cut: set[tuple[str, bool]], earlier: Earlier | None
) -> dict[str, float]:
    """Share of documents whose prompt lost its start; nothing where all were read whole."""
    lost = {
        (record.task, record.doc_id): (record.prompt, record.max_tokens is not None) in cut
        for record in records
        if record.prompt is not None
    }
    count, total = sum(lost.values()), len(lost)
    if earlier is not None:
        rows = (row for row in earlier.rows if row["prompt_hash"] is not None)
        before = len({(row["task"], row["doc_id"]) for row in rows})
        count += round(earlier.outcome.rates.get("cut", 0.0) * before)
        total += before
    return {"cut": count / total} if count else {}


def _thinking(
    records: Sequence[Sample], thoughts: Mapping[Hashable, Thought], earlier: Earlier | None
) -> dict[str, float]:
    """Mean tokens of the answers' thinking parts, and the share that was not closed; nothing without any."""
    found = {
        (record.task, record.doc_id): parts
        for record in records
        if record.max_tokens is not None and (parts := _thoughts_of(record, thoughts))
    }
    new = {
        "thinking": sum(sum(one.tokens for one in of) / len(of) for of in found.values()),
        "unclosed": sum(sum(not one.closed for one in of) / len(of) for of in found.values()),
    }
    rows = [] if earlier is None else generated_answers(earlier.rows)
    total = len(found) + len(rows)
    before = {} if earlier is None else earlier.outcome.rates
    counts = {
        name: count + round(before.get(name, 0.0) * len(rows), 6) for name, count in new.items()
    }
    return {name: count / total for name, count in counts.items() if count}


def _thoughts_of(record: Sample, thoughts: Mapping[Hashable, Thought]) -> list[Thought]:
    """Thinking parts of the answers to a document."""
    prompt = record.prompt or ""
    many = record.repeats
    keys = [prompt] if many is None else [(prompt, number) for number in range(many)]
    return [thoughts[key] for key in keys if key in thoughts]
