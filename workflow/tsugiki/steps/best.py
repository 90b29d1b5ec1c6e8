"""The best models of a run and of its stages: written, locked, measured, and built again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import read_lock
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe
from tsugiki.errors import LineageError
from tsugiki.merge.dataflow.explicit import FoldingDifference, folding_difference, is_scaled
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.models import Models
from tsugiki.merge.write import write_merge
from tsugiki.parents.locate import locate
from tsugiki.parents.run_models import (
    lock_stage,
    models_of,
    read_stage_lock,
    run_digests,
    run_models,
    write_stage_lock,
)
from tsugiki.steps.finals import winning_recipe
from tsugiki.steps.output import require_place_beside


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


def write_best(files: RunFiles, config: RunConfig, out: Path, *, threads: int) -> str:
    """Write the winner as a checkpoint; returns the digest of its weights.

    Args:
        files: The run.
        config: Its configuration.
        out: Where the model goes. The run's own place, results/<run>/best, is always replaced.
        threads: CPU threads.

    Raises:
        ConfigError: `out` is another place, and may not be replaced (see `require_place`).
    """
    models = run_models(files, config, config.stages[-1].members, read=True)
    own = out.absolute() == files.best.absolute()
    return write_merge(
        winning_recipe(files),
        models.folders,
        models.digests,
        out,
        replace=own or require_place_beside(files, config, out),
        threads=threads,
    )


def write_stage_best(files: RunFiles, config: RunConfig, stage: str, *, threads: int) -> str:
    """Write a stage's winner as a checkpoint, and lock it; returns the digest of its files.

    The winner is the finalist of the stage that does best on the validation documents, as it is
    for the run: the best of a search on its own documents would owe much to luck.
    """
    recipe = winning_recipe(files, config.finalists_of(stage))
    models = models_of(files, config, stage, read=True)
    series = files.series(stage)
    write_merge(recipe, models.folders, models.digests, series.best, replace=True, threads=threads)
    locked = lock_stage(stage, series.best, recipe.digest)
    write_stage_lock(series.best_lock, locked)
    return locked.digest


def rebuild(
    files: RunFiles, config: RunConfig, recipe: AnyRecipe, out: Path, *, threads: int
) -> str:
    """Build a model from its recipe and the parents alone; returns the digest of its weights.

    The best models of earlier stages that it is made from are built first, in a temporary folder
    beside `out`, and compared with their locks.

    Raises:
        ConfigError: what stands at `out` may not be replaced (see `require_place`).
        LineageError: a stage's best model comes out differently, or a parent's files are not those
            that were locked.
    """
    replace = require_place_beside(files, config, out)
    parents = locate(config, read_lock(files.parents), read=True)
    digests = run_digests(files, config)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-stages-") as temporary:
        folders = dict(parents)
        for stage in _needed(files, config, recipe):
            folders[stage] = Path(temporary) / stage
            before = winning_recipe(files, config.finalists_of(stage))
            write_merge(before, folders, digests, folders[stage], threads=threads)
            _compare(files, stage, before, folders[stage])
        return write_merge(recipe, folders, digests, out, replace=replace, threads=threads)


def _needed(files: RunFiles, config: RunConfig, recipe: AnyRecipe) -> Iterator[str]:
    """Stages whose best models a recipe is made from, the earliest first."""
    names = {ref.name for ref in recipe.models}
    found: dict[str, AnyRecipe] = {}
    for stage in reversed(config.stages):
        if stage.name in names:
            found[stage.name] = winning_recipe(files, config.finalists_of(stage.name))
            names |= {ref.name for ref in found[stage.name].models}
    return reversed(list(found))


def _compare(files: RunFiles, stage: str, recipe: AnyRecipe, folder: Path) -> None:
    lock = files.series(stage).best_lock
    expected, got = read_stage_lock(lock), lock_stage(stage, folder, recipe.digest)
    if expected != got:
        raise LineageError(
            f"the best model of stage `{stage}` could not be reproduced",
            where=str(lock),
            expected=expected.digest,
            got=got.digest,
            fix="compare environment.json with this machine",
        )
