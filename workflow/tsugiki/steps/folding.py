"""How far a saved model in data-flow space is from its explicit form, measured when it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.run_models import run_models
from tsugiki.merge.dataflow.explicit import FoldingDifference, folding_difference, is_scaled
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.models import Models
from tsugiki.recipe.dataflow import DataflowRecipe
from tsugiki.recipe.read import AnyRecipe
from tsugiki.steps.finals import winning_recipe


def measure_folding(
    recipe: AnyRecipe, folders: Mapping[str, Path], digests: Mapping[str, str]
) -> FoldingDifference | None:
    """The difference, on the CPU; None for a recipe that scales no hidden state."""
    if not isinstance(recipe, DataflowRecipe) or not is_scaled(recipe):
        return None
    here = {ref.name: folders[ref.name] for ref in recipe.parents}
    return folding_difference(LiveDataflow(Models(here, digests), torch.device("cpu")), recipe)


def record_folding(files: RunFiles, config: RunConfig) -> FoldingDifference | None:
    """Measure the winner of a run, and write folding.json, beside the model that it tells of.

    It is no part of the model: the last digits of a measurement depend on the machine.
    """
    models = run_models(files, config)
    measured = measure_folding(winning_recipe(files), models.folders, models.digests)
    if measured is not None:
        atomic.write_bytes(files.folding, pretty_json(measured.model_dump(mode="json")))
    return measured


def describe_folding(measured: FoldingDifference) -> str:
    """One line about it."""
    return (
        f"input scales folded into the weights: logits differ from the explicit form by "
        f"{measured.relative:.1e} of their spread, the same token in {measured.agreement:.1%} of "
        f"{measured.positions} places"
    )
