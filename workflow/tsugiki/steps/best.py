"""Writing the best model of a run, or of a stage that later stages merge.

A model in data-flow space is written in an ordinary architecture, its input scales folded into
weights; how far that is from the explicit form is measured when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, read_recipe
from tsugiki.evaluate.chat import open_chat
from tsugiki.finalists.files import find_candidate, winning_recipe
from tsugiki.merge.dataflow.explicit import FoldingDifference, folding_difference, is_scaled
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.models import OpenModels
from tsugiki.merge.write import write_merge
from tsugiki.parents.run_models import RunModels, lock_stage, models_of, run_models
from tsugiki.steps.output import require_place_beside


def measure_folding(
    recipe: AnyRecipe, folders: Mapping[str, Path], digests: Mapping[str, str]
) -> FoldingDifference | None:
    """How far a written model is from its explicit form; None for a recipe that scales no hidden state.

    Computed on the CPU.
    """
    if not isinstance(recipe, DataflowRecipe) or not is_scaled(recipe):
        return None
    here = {ref.name: folders[ref.name] for ref in recipe.parents}
    return folding_difference(LiveDataflow(OpenModels(here, digests), torch.device("cpu")), recipe)


def record_folding(files: RunFiles, config: RunConfig) -> FoldingDifference | None:
    """Measure the winner of a run, and write folding.json, beside the model that it tells of.

    It is no part of the model: the last digits of a measurement depend on the machine.
    """
    models = run_models(files, config)
    measured = measure_folding(winning_recipe(files), models.folders, models.digests)
    if measured is not None:
        atomic.write_bytes(files.folding, measured.to_json())
    return measured


def describe_folding(measured: FoldingDifference) -> str:
    """One line on a measured difference."""
    return (
        f"input scales folded into the weights: logits differ from the explicit form by "
        f"{measured.relative:.1e} of their spread, the same token in {measured.agreement:.1%} of "
        f"{measured.positions} places"
    )


def write_model(
    config: RunConfig,
    recipe: AnyRecipe,
    models: RunModels,
    out: Path,
    *,
    replace: bool = False,
    threads: int = 1,
) -> str:
    """Write a model of a run as a checkpoint; returns the digest of its weights.

    It gets the chat template and the ends of answers that it was scored with, where these are not those of
    the tokenizer's owner, whose files it gets. `folders` are of the parents, and of the stages that the
    recipe names. With `replace`, whatever stands at `out` is replaced: it has to be the caller's own.

    Raises:
        RecipeError, LineageError, ParentError, InfrastructureError: as `write_merge` does.
    """
    chat = open_chat(config, {name: models.folders[name] for name in config.parents})
    beside = chat.files(models.folders[recipe.owner])
    return write_merge(
        recipe,
        models.folders,
        models.digests,
        out,
        replace=replace,
        beside=beside,
        decompositions=models.decompositions,
        threads=threads,
    )


def write_best(files: RunFiles, config: RunConfig, out: Path, *, threads: int) -> str:
    """Write the winner as a checkpoint; returns the digest of its weights.

    The run's own place, results/<run>/best, is always replaced.

    Raises:
        ConfigError: `out` is another place, and may not be replaced (see `require_place`).
    """
    models = models_of(files, config, config.stages[-1].name, read=True)
    own = out.absolute() == files.best.absolute()
    replace = own or require_place_beside(files, config, out)
    return write_model(config, winning_recipe(files), models, out, replace=replace, threads=threads)


def write_candidate(
    files: RunFiles, config: RunConfig, stage: str, candidate: str, out: Path, *, threads: int
) -> str:
    """Write any candidate of a stage as a checkpoint; returns the digest of its weights.

    A candidate is named by its id, such as `003-07`, or by the start of its recipe's digest.

    Raises:
        ConfigError: `out` may not be replaced (see `require_place`).
        LineageError: there is no such candidate.
    """
    phase = files.phase(stage)
    found = find_candidate(entries(phase), candidate, where=f"stage {stage}")
    recipe = read_recipe(phase.candidate(found.recipe).recipe)
    replace = require_place_beside(files, config, out)
    models = models_of(files, config, stage, read=True)
    return write_model(config, recipe, models, out, replace=replace, threads=threads)


def write_stage_best(files: RunFiles, config: RunConfig, stage: str, *, threads: int) -> str:
    """Write a stage's winner as a checkpoint, and lock it; returns the digest of its files.

    The winner is the finalist of the stage that was chosen by search and validation documents, as it is
    for the run: the best of a search on its own documents would owe much to luck.
    """
    recipe = winning_recipe(files, config.finalists_of(stage))
    models = models_of(files, config, stage, read=True)
    phase = files.phase(stage)
    write_model(config, recipe, models, phase.best, replace=True, threads=threads)
    locked = lock_stage(stage, phase.best, recipe.digest)
    atomic.write_bytes(phase.best_lock, locked.to_json())
    return locked.digest
