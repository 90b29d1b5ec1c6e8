"""Checks of the files that a run has once: configuration, parents, items, final table.

Checks of the best models of stages that later stages merge.
"""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.audit.finding import Finding
from tsugiki.canonical import digest_file
from tsugiki.config.load import changed_keys, read_config
from tsugiki.config.parents import adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.contracts.item_sets import read_items
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation
from tsugiki.contracts.locks import LockedParent, read_lock
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError
from tsugiki.evaluate.items import decided_evaluation
from tsugiki.finalists.choose import winner
from tsugiki.finalists.files import load_final_table
from tsugiki.finalists.table import read_final_table
from tsugiki.parents.locate import changed_parents
from tsugiki.parents.run_models import read_stage_lock


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
    outcomes = files.series(config.finalists_of(stage)).generation(0).outcomes
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


def check_config(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The configuration is the one that was locked."""
    where = files.config.name
    if not files.config.is_file():
        yield Finding("the locked configuration is missing", where)
        return
    try:
        locked = read_config(files.config)
    except ConfigError as error:
        yield Finding("the locked configuration cannot be read", where, got=error.got)
        return
    # a run that was locked before tasks were asked for their goals has them written out
    locked, config = (
        one.model_copy(update={"evaluation": decided_evaluation(one, files.items)})
        for one in (locked, config)
    )
    for key, (then, now) in changed_keys(locked, config).items():
        what = f"the configuration has changed since it was locked, in `{key}`"
        yield Finding(what, where, expected=then, got=now)


def check_parents(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The lock covers the configuration's parents and names their sources, and those at hand fit it.

    What has not changed since it was read last is not read again.
    """
    where = files.parents.name
    lock = read_lock(files.parents)
    for name, source in config.parents.items():
        if name not in lock.parents:
            yield Finding(f"parent {name} is not locked", where)
        elif (locked := lock.parents[name].source) != (now := source.model_dump(mode="json")):
            yield Finding(
                f"parent {name} was locked from another source",
                where,
                expected=str(now),
                got=str(locked),
            )
        else:
            yield from _check_prepared(name, lock.parents[name], config, where)
    for error in changed_parents(config, lock):
        yield Finding(error.what, error.where or where, error.expected, error.got)


def _check_prepared(
    name: str, locked: LockedParent, config: RunConfig, where: str
) -> Iterator[Finding]:
    """What is merged was prepared as the configuration says, from parents as they are locked."""
    made = locked.prepared
    if made is None:
        if adapter_base(config.parents[name]) is not None:
            yield Finding(f"adapter {name} was not merged into its base", where)
        return
    setting = config.vocabulary.model_dump(mode="json")
    if made.vocabulary not in (None, setting):
        yield Finding(
            f"parent {name} was prepared for another vocabulary",
            where,
            expected=str(setting),
            got=str(made.vocabulary),
        )
    elif made.made_from.get(name) != locked.digest:
        yield Finding(
            f"parent {name} was prepared from other files than those locked",
            where,
            expected=locked.digest,
            got=str(made.made_from.get(name)),
        )


def check_items(files: RunFiles) -> Iterator[Finding]:
    """Search, validation and test documents are disjoint, which reading them checks."""
    if files.items.is_file():
        read_items(files.items)
    yield from ()


def check_final(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The final table follows from the test series; the best model is the winner."""
    if not files.final.is_file():
        return
    where = files.final.name
    table = read_final_table(files.final)
    if load_final_table(files, config) != table:
        yield Finding("the final table does not follow from the scored items", where)
    recipe = files.best_recipe
    if recipe.is_file():
        expected, got = table.row(table.winner).recipe, read_recipe(recipe).digest
        if expected != got:
            yield Finding(
                "the best model was not made from the winner's recipe",
                recipe.relative_to(files.root).as_posix(),
                expected=expected,
                got=got,
            )
