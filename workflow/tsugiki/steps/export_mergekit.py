"""A recipe, or a run's best one, as a mergekit configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tsugiki.config.parents import HubParent, LocalParent
from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import folder_of
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import read_lock
from tsugiki.contracts.recipe import AnyRecipe, Recipe
from tsugiki.errors import RecipeError
from tsugiki.finalists.files import winning_recipe
from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.models import OpenModels
from tsugiki.mergekit.exporting import export_mergekit, is_whole_model
from tsugiki.mergekit.frankenmerges import export_frankenmerge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.fault import refuse
from tsugiki.models.headers import read_headers
from tsugiki.models.plan import make_plan
from tsugiki.parents import hub
from tsugiki.parents.hub import HubFiles, HubUnreachableError
from tsugiki.parents.run_models import run_models


def export_recipe(recipe: AnyRecipe, models: Mapping[str, str]) -> str:
    """The mergekit configuration of a recipe.

    Names of tensors, where they are needed, are read from a model in a folder, or else from the headers of
    one on the Hub. For a path, all of its parents have to be in folders. `models` are folders or Hub
    repositories (`owner/name`, `owner/name@revision`).

    Raises:
        RecipeError: mergekit cannot express the recipe, or a model is not given.
        ParentError: a model cannot be read.
    """
    folders = {name: folder_of(place) for name, place in models.items()}
    return _export(recipe, {n: one for n, one in folders.items() if one.is_dir()}, models)


def export_best(files: RunFiles, config: RunConfig, models: Mapping[str, str]) -> str:
    """The mergekit configuration of a run's best model.

    The configuration says where parents are, folders as they are written there and repositories of the Hub
    with the locked commit; `models` says where they are instead. Best models of stages are in folders.

    Raises:
        RecipeError: mergekit cannot express the recipe.
        LineageError: the run has no winner yet.
        ParentError: the parents are not on this machine.
    """
    recipe = winning_recipe(files)
    lock = read_lock(files.parents)
    folders = run_models(files, config).folders
    sources = {name: str(folder) for name, folder in folders.items()}
    for name, source in config.parents.items():
        if lock.parents[name].prepared is not None:
            continue  # only the prepared folder has the rows, or the adapter, that were merged
        if isinstance(source, HubParent):
            sources[name] = f"{source.hub}@{lock.parents[name].commit}"
        elif isinstance(source, LocalParent):
            sources[name] = os.path.expanduser(source.path)  # noqa: PTH111 - keeps a leading `./`
    return _export(recipe, folders, sources | dict(models))


def _export(recipe: AnyRecipe, folders: Mapping[str, Path], sources: Mapping[str, str]) -> str:
    """Write a recipe.

    `folders` are of the models that are in one, `sources` what each model is called in the configuration.
    """
    _require_whole(recipe, folders)
    if isinstance(recipe, Recipe):
        return export_mergekit(recipe, sources, _tensors(recipe, folders, sources))
    for ref in recipe.parents:
        if ref.name not in folders:
            raise RecipeError(
                "a path can be exported only where its parents' configurations can be read",
                where=f"model {ref.name}",
                expected="a folder",
                got=sources.get(ref.name, "nothing"),
                fix=f"fetch it, then add --models {ref.name}=FOLDER",
            )
    here = {ref.name: folders[ref.name] for ref in recipe.parents}
    models = OpenModels(here, {ref.name: ref.digest for ref in recipe.parents})
    return export_frankenmerge(DataflowMerge(recipe, DataflowParents(models)), sources)


def _require_whole(recipe: AnyRecipe, folders: Mapping[str, Path]) -> None:
    """Refuse what mergekit would lose without a word."""
    for ref in recipe.models:
        if ref.name not in folders:
            continue
        model = Checkpoint(ref.name, folders[ref.name])
        if model.kind.output == "images":
            raise RecipeError(
                f"mergekit merges language models, and `{ref.name}` is an {model.kind.name}",
                where=str(model.folder),
                fix="merge with `tsugiki merge` or `tsugiki reproduce`",
            )
        if outside := model.outside:
            raise RecipeError(
                "mergekit cannot merge the language model inside another model",
                where=f"model {ref.name}",
                got=f"{len(outside)} tensors outside it, such as {next(iter(outside))}",
                fix="merge with `tsugiki merge` or `tsugiki reproduce`",
            )


def _tensors(recipe: Recipe, folders: Mapping[str, Path], sources: Mapping[str, str]) -> list[str]:
    """Names of all tensors that are merged, as far as the recipe depends on them."""
    if is_whole_model(recipe):
        return ["model"]
    names = [parent.name for parent in recipe.parents if parent.name in sources]
    for name in names:
        if name in folders:
            return make_plan([Checkpoint(name, folders[name])]).merged
    if not names:
        raise RecipeError(
            "it is not said where the recipe's models are",
            expected=", ".join(parent.name for parent in recipe.parents),
            got=", ".join(sorted(sources)) or "none",
            fix=f"add --models {recipe.parents[0].name}=PATH",
        )
    return _names_on_hub(names[0], sources[names[0]])


def _names_on_hub(name: str, source: str) -> list[str]:
    repo, _, revision = source.partition("@")
    try:
        headers, faults = read_headers(name, HubFiles(hub.list_repo(repo, revision or "main")))
    except HubUnreachableError as error:
        raise RecipeError(
            "values differ between tensors, but no model is here to read their names from",
            where=f"model {name}",
            expected="a folder of at least one parent, or access to the Hub",
            got=f"{source}: {error}",
        ) from error
    refuse(faults)
    return sorted(headers)
