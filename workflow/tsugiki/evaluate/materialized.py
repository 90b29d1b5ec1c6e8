"""Candidates as temporary checkpoints on disk, for `storage: disk`."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import InfrastructureError, RecipeError
from tsugiki.evaluate.shards import read_split, shard_of
from tsugiki.json_files import read_json
from tsugiki.merge.write import write_merge
from tsugiki.parents.run_models import models_of

REFUSED = "refused.json"


class _Refusal(BaseModel):
    reason: str


def materialize(files: RunFiles, config: RunConfig, phase: str, generation: int, job: int) -> None:
    """Write the merged models of a job's shard; a recipe without a valid merge leaves its reason.

    Models that a killed job had finished are kept.
    """
    phase_files = files.phase(phase)
    generation_files = phase_files.generation(generation)
    population = read_population(generation_files.population)
    models = models_of(files, config, phase)
    root = generation_files.weights(job)
    root.mkdir(parents=True, exist_ok=True)
    jobs = read_split(files, generation_files, config.evaluation.jobs)
    for digest in shard_of(population, job, jobs):
        candidate = phase_files.candidate(digest)
        target = root / candidate.root.name
        if _digest_path(target).is_file() or _refusal_path(target).is_file():
            continue
        try:
            weights = write_merge(
                read_recipe(candidate.recipe),
                models.folders,
                models.digests,
                target,
                replace=True,
                decompositions=models.decompositions,
                threads=config.evaluation.threads,
            )
        except RecipeError as error:
            atomic.write_bytes(_refusal_path(target), pretty_json({"reason": str(error)}))
            continue
        atomic.write_bytes(_digest_path(target), weights.encode())


def read_weights_digest(folder: Path) -> str:
    """Digest of the weights of a materialized candidate.

    Raises:
        RecipeError: the recipe has no valid merge.
        InfrastructureError: the model is not there.
    """
    refusal = _refusal_path(folder)
    if refusal.is_file():
        raise RecipeError(read_json(refusal, _Refusal.model_validate_json, "refusal").reason)
    try:
        return _digest_path(folder).read_text(encoding="ascii")
    except OSError as error:
        raise InfrastructureError(
            "a candidate was not materialized",
            where=str(folder),
            got=os.strerror(error.errno or 0),
            fix="the job is tried again after its materialize job",
        ) from error


def _digest_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.digest")


def _refusal_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.{REFUSED}")
