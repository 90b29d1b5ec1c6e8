"""The best model of a stage that later stages merge, and building a whole chain of them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tsugiki.config.run import RunConfig
from tsugiki.errors import LineageError
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import finalists_of
from tsugiki.lineage.run_models import (
    lock_stage,
    models_of,
    read_stage_lock,
    run_digests,
    write_stage_lock,
)
from tsugiki.merge.write import write_merge
from tsugiki.parents.locate import locate
from tsugiki.parents.lock import read_lock
from tsugiki.recipe.read import AnyRecipe
from tsugiki.steps.finals import winning_recipe
from tsugiki.steps.output import require_place_beside


def write_stage_best(files: RunFiles, config: RunConfig, stage: str, *, threads: int) -> str:
    """Write a stage's winner as a checkpoint, and lock it; returns the digest of its files.

    The winner is the finalist of the stage that does best on the validation documents, as it is
    for the run: the best of a search on its own documents would owe much to luck.
    """
    recipe = winning_recipe(files, finalists_of(config, stage))
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
            before = winning_recipe(files, finalists_of(config, stage))
            write_merge(before, folders, digests, folders[stage], threads=threads)
            _compare(files, stage, before, folders[stage])
        return write_merge(recipe, folders, digests, out, replace=replace, threads=threads)


def _needed(files: RunFiles, config: RunConfig, recipe: AnyRecipe) -> Iterator[str]:
    """Stages whose best models a recipe is made from, the earliest first."""
    names = {ref.name for ref in recipe.models}
    found: dict[str, AnyRecipe] = {}
    for stage in reversed(config.stages):
        if stage.name in names:
            found[stage.name] = winning_recipe(files, finalists_of(config, stage.name))
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
