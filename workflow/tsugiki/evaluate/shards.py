"""How a generation is split into jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count, takewhile

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.contracts.layout import GenerationFiles, RunFiles
from tsugiki.contracts.population import Population


def distinct_recipes(population: Population) -> list[str]:
    """Digests of a generation's recipes, each once, in population order."""
    return list(dict.fromkeys(candidate.recipe for candidate in population.candidates))


def shard_of(population: Population, job: int, jobs: int) -> list[str]:
    """The recipes that one of `jobs` jobs evaluates: every `jobs`-th, from `job` on."""
    return distinct_recipes(population)[job::jobs]


def jobs_that_scored(files: GenerationFiles) -> int | None:
    """How many jobs a ranked generation was split into: its marks hold the recipes of each shard.

    Marks of a split that was given up before the end may lie beside them.

    Returns:
        The number; None if the generation is not ranked, or its files do not say.
    """
    if not files.outcomes.is_file():
        return None
    marks = takewhile(lambda path: path.is_file(), (files.evaluated(job) for job in count()))
    try:
        candidates = json.loads(files.population.read_bytes())["candidates"]
        recipes = list(dict.fromkeys(candidate["recipe"] for candidate in candidates))
        shards = [set(json.loads(mark.read_bytes())["outcomes"]) for mark in marks]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return max(
        (
            jobs
            for jobs in range(1, len(shards) + 1)
            if all(shards[job] == set(recipes[job::jobs]) for job in range(jobs))
        ),
        default=None,
    )


def write_splits(files: RunFiles, jobs_of: Mapping[GenerationFiles, int]) -> None:
    """Write down for the jobs how a workflow has split generations, where `evaluation.jobs` differs.

    A generation that was split into another number may be drawn and scored again after the plan is
    made, as finalists are: the jobs are then as many as planned.
    """
    content = {str(one.root.relative_to(files.root)): jobs for one, jobs in jobs_of.items()}
    if content or files.splits.is_file():
        atomic.write_if_changed(files.splits, pretty_json(content))


def read_split(files: RunFiles, generation: GenerationFiles, configured: int) -> int:
    """Into how many jobs a generation is split: as written down, or else as configured."""
    if not files.splits.is_file():
        return configured
    content = json.loads(files.splits.read_bytes())
    return int(content.get(str(generation.root.relative_to(files.root)), configured))
