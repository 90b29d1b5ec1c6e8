"""Merging once, to a folder or into a live model. Libraries are imported where they are used: torch takes long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsugiki.contracts.data import folder_of
from tsugiki.contracts.recipe import AnyRecipe, Recipe, names_in
from tsugiki.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn


def merge(
    source: str | Path | AnyRecipe | Mapping[str, Any],
    out: str | Path,
    models: Mapping[str, str | Path] | None = None,
    *,
    threads: int = 1,
    accept_differences: Collection[str] = (),
    log: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int, int], None] | None = None,
) -> str:
    """Merge once and write the model to a folder, which appears as a whole or not at all.

    Args:
        source: recipe.json, or a recipe; or a mergekit configuration: a file (.yaml, .yml), or its
            content.
        out: Where the model goes. Only an empty folder or an earlier merge is replaced.
        models: Folder of each model, by name. For a mergekit configuration, which has folders
            itself, it names them, or says where a repository of the Hub is.
        threads: CPU threads. The bytes do not depend on them.
        accept_differences: Settings of config.json in which the models may differ.
        log: Takes lines on what is done, such as `print`.
        progress: Called after each tensor: tensors written, all tensors, bytes written.

    Returns:
        Digest of the weights.

    Raises:
        ConfigError: `out` may not be replaced, or the method does not exist.
        RecipeError: the source describes no valid merge, or a model is not given.
        ParentError: a model cannot be read, or does not fit the others.
        LineageError: a model is not the one that the recipe was made for.
        InfrastructureError: the disk is full or fails.
    """
    from tsugiki.merge.write import write_merge
    from tsugiki.steps.best import describe_folding, measure_folding
    from tsugiki.steps.merge_once import open_single

    place = folder_of(str(out))
    one = open_single(source, _texts(models), place, log=log, accepted=accept_differences)
    given = (one.recipe, one.folders, one.digests)
    weights = write_merge(*given, place, replace=one.replace, threads=threads, progress=progress)
    if (measured := measure_folding(*given)) is not None:
        log(describe_folding(measured))
    return weights


def merge_into(
    model: nn.Module,
    source: str | Path | AnyRecipe | Mapping[str, Any],
    models: Mapping[str, str | Path] | None = None,
    *,
    threads: int = 1,
    accept_differences: Collection[str] = (),
    log: Callable[[str], None] = lambda _: None,
) -> str:
    """Merge once into a live model: its weights are overwritten in place, and nothing is written.

    `model` is a transformers model of the architecture of the one that gives the configuration (the recipe's
    `tokenizer`), in the recipe's number format or float32, on any device; `source` is no path through layers.
    All else is as for `merge`.

    Returns:
        Digest of the weights: the one that `merge` returns.

    Raises:
        RecipeError: the source describes no valid merge, or a path through layers, which makes a
            model of its own; or a model is not given.
        ParentError: a model cannot be read, does not fit the others, or `model` does not.
        LineageError: a model is not the one that the recipe was made for.
    """
    from tsugiki.merge.in_place import InPlaceMerger
    from tsugiki.steps.merge_once import open_single

    one = open_single(source, _texts(models), log=log, accepted=accept_differences)
    if not isinstance(one.recipe, Recipe):
        raise RecipeError(
            "a path through layers makes a model of its own, and fits into no other",
            fix="write it to a folder, and load it from there",
        )
    names = names_in(one.recipe.models)
    merger = InPlaceMerger(one.folders, one.digests, names=names)
    return merger.load_into(one.recipe, model, threads=threads)


def _texts(models: Mapping[str, str | Path] | None) -> dict[str, str]:
    return {name: str(place) for name, place in (models or {}).items()}
