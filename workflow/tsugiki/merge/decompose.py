"""Writing decompositions of task vectors, for methods that have one (see `decompositions`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tsugiki import atomic
from tsugiki.canonical import digest_file, pretty_json
from tsugiki.contracts.recipe import Recipe, names_in
from tsugiki.locked import locked
from tsugiki.merge.decompositions import WEIGHTS, header, key
from tsugiki.merge.engine import Merge, one_thread_per_operation
from tsugiki.merge.models import OpenModels
from tsugiki.merge.stream import faults_of_the_disk, require_space, write_tensors
from tsugiki.models.kinds.kind import Layout

MANIFEST = "made-from.json"


def write_decompositions(
    recipe: Recipe,
    folders: Mapping[str, Path],
    digests: Mapping[str, str],
    cache: Path,
    *,
    threads: int = 1,
    log: Callable[[str], None] = print,
) -> dict[str, str]:
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
        Name of each parent's folder in `cache`; nothing if the method has no decomposition.

    Raises:
        RecipeError: the recipe describes no valid merge.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: a model cannot be read, or holds numbers that are not finite.
        InfrastructureError: the disk is full or fails.
    """
    named = {name: folders[name] for name in {one.name for one in recipe.models} | {recipe.owner}}
    merge = Merge(recipe, OpenModels(named, digests, names=names_in(recipe.models)))
    found = {}
    for index, (parent, inputs) in enumerate(merge.decomposed_from.items()):
        folder = cache / key(inputs)
        found[parent] = folder.name
        # two stages, or two runs, may be about to make the same
        with faults_of_the_disk(folder), locked(cache / f"{folder.name}.lock"):
            if _intact(folder, inputs):
                log(f"{parent}: decomposed before, {folder.name}")
                continue
            log(f"{parent}: decomposing, {folder.name}")
            _write(folder, merge, index, inputs, threads=threads, log=partial(_say, log, parent))
    return found


def _intact(folder: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether a folder holds a whole decomposition of that."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return bool(manifest == _manifest(folder / WEIGHTS, inputs))
    except (OSError, ValueError):
        return False


def _manifest(weights: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"made_from": dict(inputs), "sha256": digest_file(weights)}


def _write(
    folder: Path,
    merge: Merge,
    index: int,
    inputs: Mapping[str, Any],
    *,
    threads: int,
    log: Callable[[int, int, int], None],
) -> None:
    settings = merge.settings
    planned = {one.name: one for one in merge.plan.tensors if one.merged}
    headers = {
        name: header(settings.method, settings.options, one.shape) for name, one in planned.items()
    }
    stored = {name: one for name, one in headers.items() if one is not None}
    size = sum(one.size for one in stored.values())
    require_space(folder.parent, size)
    with one_thread_per_operation(), atomic.folder(folder, replace=True) as temporary:
        write_tensors(
            temporary,
            stored,
            lambda name: merge.decomposition(planned[name], index),
            layout=Layout(config="", weights=WEIGHTS),
            shard_bytes=size,
            threads=threads,
            progress=log,
        )
        manifest = _manifest(temporary / WEIGHTS, inputs)
        (temporary / MANIFEST).write_bytes(pretty_json(manifest))


def _say(log: Callable[[str], None], parent: str, done: int, of: int, _: int) -> None:
    """A line for each tenth of the tensors."""
    if done * 10 // of > (done - 1) * 10 // of:
        log(f"{parent}: {done} of {of} tensors")
