"""Checks of the files that a run has once: configuration, parents, items, final table."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from pydantic import ValidationError

from tsugiki.config.parents import adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.evaluate.items import evaluation_of, read_items
from tsugiki.finalists.files import load_final_table
from tsugiki.finalists.table import read_final_table
from tsugiki.lineage.finding import Finding
from tsugiki.lineage.layout import RunFiles
from tsugiki.parents.lock import LockedParent, read_lock
from tsugiki.recipe.read import read_recipe


def check_config(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The configuration is the one that was locked."""
    where = files.config.name
    if not files.config.is_file():
        yield Finding("the locked configuration is missing", where)
        return
    try:
        locked = RunConfig.model_validate(yaml.safe_load(files.config.read_text("utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        yield Finding("the locked configuration cannot be read", where, got=str(error))
        return
    # a run that was locked before tasks were asked for their goals has them written out
    locked, config = (
        one.model_copy(update={"evaluation": evaluation_of(one, files.items)})
        for one in (locked, config)
    )
    for section in RunConfig.model_fields:
        then, now = getattr(locked, section), getattr(config, section)
        if then != now:
            yield Finding(
                f"the configuration has changed since it was locked, in `{section}`",
                where,
                expected=str(then),
                got=str(now),
            )


def check_parents(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """The lock covers the configuration's parents and names their sources."""
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
    recipe = files.best / "recipe.json"
    if recipe.is_file():
        expected, got = table.row(table.winner).recipe, read_recipe(recipe).digest
        if expected != got:
            yield Finding(
                "the best model was not made from the winner's recipe",
                recipe.relative_to(files.root).as_posix(),
                expected=expected,
                got=got,
            )
