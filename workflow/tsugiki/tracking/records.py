"""What MLflow is told of a candidate, its recipe, a generation, and where numbers come from.

Times come from cost.json, so that logging the same files again logs the same records.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tsugiki.canonical import digest
from tsugiki.contracts.document_sets import Split, read_document_sets
from tsugiki.contracts.environment import source_commit
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.outcome import Cost, Failed, Scored
from tsugiki.contracts.population import Candidate, Ranked
from tsugiki.contracts.recipe import SHARED, AnyRecipe, DataflowRecipe, Hop, Recipe
from tsugiki.errors import LineageError
from tsugiki.progress.diagnosis import Diagnosis
from tsugiki.progress.summary import Course, Summary

MOST_VALUES = 64
"""A recipe with more values keeps them in recipe.json only: MLflow's parameters are for tables."""
LONGEST_PATH = 400
"""Hops; MLflow cuts parameters of more than 6000 characters without a word."""
LONGEST_TAG = 5000
"""Characters; MLflow cuts longer tags without a word."""
LONGEST_DIGEST = 36
"""Characters; MLflow refuses longer digests of data sets."""
CONTEXT = "mlflow.data.context"
"""The tag that says what a run used a data set for."""
PREFIX = "tsugiki"


def recipe_params(recipe: AnyRecipe) -> dict[str, str]:
    """What a recipe says, as far as it is short enough to be read in a table."""
    shown = {"method": recipe.method, "dtype": recipe.dtype, "tokenizer": recipe.owner}
    if isinstance(recipe, DataflowRecipe):
        return shown | _path(recipe)
    return shown | _values(recipe)


def _path(recipe: DataflowRecipe) -> dict[str, str]:
    shown = {"path.length": str(len(recipe.path)), "owner": recipe.owner}
    if recipe.head is not None:
        shown["head"] = recipe.head
    if len(recipe.path) <= LONGEST_PATH:
        shown["path"] = " ".join(map(_hop, recipe.path))
    return shown


def _hop(hop: Hop) -> str:
    """`a.3`, or `a.3*0.9` where the hidden state is scaled."""
    return f"{hop.parent}.{hop.layer}" + ("" if hop.scale == 1.0 else f"*{hop.scale:g}")


def _values(recipe: Recipe) -> dict[str, str]:
    shown = {
        "mask_seed": str(recipe.mask_seed),
        **{f"option.{name}": str(value) for name, value in recipe.options.items()},
    }
    values = {
        ".".join(part for part in (name, "" if parent == SHARED else parent, group) if part): value
        for name, parameter in recipe.parameters.items()
        for parent, by_group in parameter.values.items()
        for group, value in by_group.items()
    }
    if len(values) <= MOST_VALUES:
        shown |= {name: repr(value) for name, value in values.items()}
    return shown


@dataclass(frozen=True)
class Record:
    """A child run."""

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    started: int
    """Milliseconds since 1970."""
    finished: int
    failed: bool
    rung: int | None = None
    """Where it was left, if it was not scored on all documents."""


def candidate_record(
    candidate: Candidate, ranked: Ranked, recipe: AnyRecipe, cost: Cost | None, instant: datetime
) -> Record:
    """The child run of one candidate.

    Args:
        candidate: From the population.
        ranked: The same candidate's ledger entry.
        recipe: Its recipe.
        cost: What it took, if known.
        instant: Stands for its start and end if `cost` is None.
    """
    started = instant if cost is None else cost.started
    finished = instant if cost is None else cost.finished
    return Record(
        name=str(candidate.origin.get("name", candidate.id)),
        tags=_tags(candidate, ranked, recipe),
        params={legal(name): value for name, value in recipe_params(recipe).items()},
        metrics=_finite(_metrics(ranked, cost)),
        started=milliseconds(started),
        finished=milliseconds(finished),
        failed=isinstance(ranked.outcome, Failed),
        rung=ranked.outcome.rung,
    )


def generation_metrics(
    summary: Summary, costs: Sequence[Cost], diagnosis: Diagnosis | None = None
) -> dict[str, float]:
    """Metrics of the parent run for one generation.

    Those of the weighted sum have plain names, those of each of several objectives end in its name.
    `costs` are those of what it had to score.
    """
    numbers = {
        **({} if summary.fitness is None else _course(summary.fitness)),
        **{
            f"{key}.{name}": value
            for name, course in summary.objectives.items()
            for key, value in _course(course).items()
        },
        "front": None if summary.front is None else float(summary.front),
        "failures": float(summary.failures),
        "candidates": float(summary.candidates),
        "seconds": sum(cost.seconds_total for cost in costs),
        "tokens": float(sum(cost.tokens for cost in costs)),
        **{
            f"search.{key}": getattr(diagnosis, key, None)
            for key in ("step", "condition", "diversity", "moved", "signal")
        },
    }
    return _finite({name: number for name, number in numbers.items() if number is not None})


def _course(course: Course) -> dict[str, float | None]:
    names = ("best_so_far", "best", "mean", "median", "spread")
    return {name: getattr(course, name) for name in names}


def ledger_digest(ranked: Ranked) -> str:
    """Tells whether a run in MLflow still says what the ledger says."""
    return digest(ranked.model_dump(mode="json"))


def milliseconds(instant: datetime) -> int:
    """MLflow's unit of time."""
    return round(instant.timestamp() * 1000)


def _tags(candidate: Candidate, ranked: Ranked, recipe: AnyRecipe) -> dict[str, str]:
    tags = {
        "candidate": candidate.id,
        "recipe": candidate.recipe,
        "ledger": ledger_digest(ranked),
        "parents": ", ".join(parent.name for parent in recipe.parents),
        **{f"parent.{parent.name}": parent.digest for parent in recipe.models},
    }
    if isinstance(recipe, Recipe) and recipe.base is not None:
        tags["base"] = recipe.base.name
    for name, value in candidate.origin.items():
        tags[f"origin.{name}"] = value if isinstance(value, str) else ", ".join(value)
    if candidate.genome:  # tags, since MLflow draws parameters that differ as axes
        tags["genome.length"] = str(len(candidate.genome))
        tags["genome.sha256"] = digest(list(candidate.genome))
    outcome = ranked.outcome
    if isinstance(outcome, Failed):
        tags |= {"failure.kind": outcome.kind, "failure.reason": outcome.reason}
    else:
        tags |= {"weights": outcome.weights, "evaluation": outcome.evaluation}
    if outcome.rung is not None:
        tags["rung"] = str(outcome.rung)
    return {f"{PREFIX}.{legal(name)}": text[:LONGEST_TAG] for name, text in tags.items() if text}


def _metrics(ranked: Ranked, cost: Cost | None) -> dict[str, float]:
    metrics: dict[str, float] = {}
    if ranked.fitness is not None:
        metrics["fitness"] = ranked.fitness
    if isinstance(ranked.outcome, Scored):
        for name, measured in ranked.outcome.measured.items():
            metrics[f"objective.{name}"] = measured.value
        for name, rate in ranked.outcome.rates.items():
            metrics[f"rate.{name}"] = rate
    if cost is not None:
        metrics |= {
            "cost.seconds_merge": cost.seconds_merge,
            "cost.seconds_forward": cost.seconds_forward,
            "cost.seconds_total": cost.seconds_total,
            "cost.tokens": float(cost.tokens),
        }
    return metrics


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    """Without NaN and infinities, which MLflow would store as other numbers."""
    return {legal(name): value for name, value in metrics.items() if math.isfinite(value)}


def legal(name: str) -> str:
    """`name` if MLflow accepts it; else with the other characters replaced, and still unique."""
    replaced = re.sub(r"[^\w\-. ]", "_", name, flags=re.ASCII)[:200]
    return name if replaced == name else f"{replaced}-{digest(name)[:8]}"


def data_sets(files: RunFiles, split: Split) -> list[Any]:
    """The documents of each task that a phase is scored on, as MLflow's `DatasetInput`.

    Its digest is that of the documents' digests, so that equal ones are equal in any run. Candidates
    left at a rung, and generations with documents of their own, are scored on a part of it.

    Raises:
        LineageError: items.json is missing or damaged.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = []
    for task, sets in read_document_sets(files.items).tasks.items():
        if documents := getattr(sets, split):
            content = digest([document.hash for document in documents])[:LONGEST_DIGEST]
            source = json.dumps({"task": task, "set": split, "listed_in": files.items.name})
            profile = json.dumps({"documents": len(documents)})
            one = Dataset(task, content, "items", source, profile=profile)
            found.append(DatasetInput(one, [InputTag(CONTEXT, split)]))
    return found


def source_tags(files: RunFiles, entry_point: str) -> dict[str, str]:
    """MLflow's tags for the code that made something.

    Args:
        files: The run's files; the commit is the one in environment.json, if that has any.
        entry_point: The command that made it.
    """
    tags = {
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": "tsugiki",
        "mlflow.project.entryPoint": entry_point,
    }
    try:
        commit = source_commit(files)
    except LineageError:  # what is wrong with the file is for audits to say
        commit = None
    if commit is not None:
        plain, _, changes = commit.partition("+")
        tags["mlflow.source.git.commit"] = plain
        tags["tsugiki.source.changed"] = str(bool(changes)).lower()
    return tags
