"""Checks of the best models of stages that later stages merge."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.finalists.choose import winner
from tsugiki.lineage.finding import Finding
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import finalists_of, read_generation
from tsugiki.lineage.run_models import read_stage_lock
from tsugiki.recipe.read import read_recipe


def check_stage(files: RunFiles, config: RunConfig, stage: str) -> Iterator[Finding]:
    """The stage's best model has the bytes that were locked, and the recipe of its winner.

    A model that was removed to make room is no fault: its recipe builds it again.
    """
    series = files.series(stage)
    if not series.best_lock.is_file():
        return
    where = series.best_lock.relative_to(files.root).as_posix()
    locked = read_stage_lock(series.best_lock)
    for file in locked.files if series.best.is_dir() else ():
        path = series.best / file.name
        got = digest_file(path) if path.is_file() else "no such file"
        if got != file.sha256:
            yield Finding(
                f"the best model of stage {stage} has changed since it was locked",
                path.relative_to(files.root).as_posix(),
                expected=file.sha256,
                got=got,
            )
    outcomes = files.series(finalists_of(config, stage)).generation(0).outcomes
    expected = winner(read_generation(outcomes)).recipe
    if locked.source.get("recipe") != expected:
        yield Finding(
            f"the best model of stage {stage} was not made from its winner's recipe",
            where,
            expected=expected,
            got=str(locked.source.get("recipe")),
        )
    recipe = series.best_recipe
    if recipe.is_file() and (digest := read_recipe(recipe).digest) != expected:
        yield Finding(
            f"the best model of stage {stage} holds another recipe",
            recipe.relative_to(files.root).as_posix(),
            expected=expected,
            got=digest,
        )
