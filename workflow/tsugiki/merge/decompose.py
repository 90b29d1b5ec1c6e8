"""Writing decompositions of task vectors, for methods that have one (see `decompositions`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tsugiki import atomic
from tsugiki.canonical import digest
from tsugiki.contracts.locks import LockedDecomposition, LockedFile
from tsugiki.contracts.recipe import Recipe, names_in
from tsugiki.merge.decompositions import WEIGHTS, decomposed_from, header, key_of
from tsugiki.merge.engine import Merge, one_thread_per_operation
from tsugiki.merge.models import OpenModels
from tsugiki.merge.stream import faults_of_the_disk, require_space, write_tensors
from tsugiki.models.files import describe, intact, manifest_of
from tsugiki.models.kinds.kind import Layout

MANIFEST = "made-from.json"
WHAT = "the decomposition of a task vector"


def write_decompositions(
    recipe: Recipe,
    folders: Mapping[str, Path],
    digests: Mapping[str, str],
    cache: Path,
    *,
    threads: int = 1,
    log: Callable[[str], None] = print,
) -> dict[str, LockedDecomposition]:
    """Keep the decompositions of a recipe's task vectors, for merges with other parameters.

    What is there already, undamaged, is left. Memory holds a few tensors at a time. The bytes do not depend on
    `threads`.

    Args:
        recipe: The recipe, of any parameters.
        folders: Folder of every model that it names.
        digests: Digest of each one's files, by name.
        cache: Where they are kept, each in a folder of its own.
        threads: How many tensors to decompose at the same time, each by one thread.
        log: Takes a line for each parent, and others on the way.

    Returns:
        What is kept, by its key; nothing if the method decomposes nothing.

    Raises:
        RecipeError: the recipe describes no valid merge.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: a model cannot be read, or holds numbers that are not finite.
        InfrastructureError: the disk is full or fails.
    """
    named = {name: folders[name] for name in {one.name for one in recipe.models} | {recipe.owner}}
    merge = Merge(recipe, OpenModels(named, digests, names=names_in(recipe.models)))
    found = {}
    for index, (parent, inputs) in enumerate(decomposed_from(recipe).items()):
        content = {**inputs, "torch": torch.__version__}  # which may round in another way
        folder = cache / digest(content)[:16]
        with faults_of_the_disk(folder, WHAT):
            if (kept := intact(folder, MANIFEST, content)) is None:
                log(f"{parent}: decomposing, {folder.name}")
                say = partial(_say, log, parent)
                kept = _write(folder, merge, index, content, threads=threads, progress=say)
        (file,) = kept
        found[key_of(inputs)] = LockedDecomposition(parent=parent, folder=folder.name, file=file)
    return found


def _write(
    folder: Path,
    merge: Merge,
    index: int,
    content: Mapping[str, Any],
    *,
    threads: int,
    progress: Callable[[int, int, int], None],
) -> tuple[LockedFile, ...]:
    settings = merge.settings
    planned = {one.name: one for one in merge.plan.tensors if one.merged}
    headers = {
        name: header(settings.method, settings.options, one.shape) for name, one in planned.items()
    }
    stored = {name: one for name, one in headers.items() if one is not None}
    size = sum(one.size for one in stored.values())
    require_space(folder.parent, size, WHAT)
    atomic.sweep(folder.parent)
    # another run may write the same meanwhile: the same bytes, so that either may stay
    with one_thread_per_operation(), atomic.folder(folder, replace=True) as temporary:
        write_tensors(
            temporary,
            stored,
            lambda name: merge.decomposition(planned[name], index),
            layout=Layout(config="", weights=WEIGHTS),
            shard_bytes=size,
            threads=threads,
            progress=progress,
        )
        files = (describe(temporary / WEIGHTS),)
        (temporary / MANIFEST).write_bytes(manifest_of(content, files))
    return files


def _say(log: Callable[[str], None], parent: str, done: int, of: int, _: int) -> None:
    """A line for each tenth of the tensors."""
    if done * 10 // of > (done - 1) * 10 // of:
        log(f"{parent}: {done} of {of} tensors")
