"""Writing a merged model of either space as an ordinary checkpoint, streamed tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from tsugiki import atomic
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, names_in
from tsugiki.merge import stream
from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.engine import Merge, one_thread_per_operation
from tsugiki.merge.marker import write_marker
from tsugiki.merge.models import OpenModels
from tsugiki.models.components import in_component
from tsugiki.models.digest import FORMAT_NAMES, WeightsDigest, pieces_digest
from tsugiki.models.headers import TensorHeader
from tsugiki.models.plan import PlannedTensor
from tsugiki.models.sidecar_files import copy_weights, write_sidecar_files

AnyMerge = Merge | DataflowMerge
"""Both have a `plan`, the `format` of each tensor, `tensor` or `pieces` to make it, and an `owner` and
`config` for the files beside the weights."""


def open_merge(recipe: AnyRecipe, models: OpenModels) -> AnyMerge:
    """Check a recipe against its models.

    Raises:
        RecipeError: the recipe describes no valid merge of these models.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: the models do not fit together.
    """
    if isinstance(recipe, DataflowRecipe):
        return DataflowMerge(recipe, DataflowParents(models))
    return Merge(recipe, models)


def write_merge(  # noqa: PLR0913 - all but three have defaults
    recipe: AnyRecipe,
    folders: Mapping[str, Path],
    digests: Mapping[str, str],
    out: Path,
    *,
    replace: bool = False,
    beside: Mapping[str, bytes] | None = None,
    decompositions: Mapping[str, Path] | None = None,
    shard_bytes: int = stream.SHARD_BYTES,
    threads: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> str:
    """Merge a recipe and write the model to the folder `out`, which appears as a whole or not at all.

    Memory holds a few tensors at a time. The bytes do not depend on `threads`. The folder gets a
    marker, by which it is known again (see `merge.marker`). Components of which nothing is merged are
    copied file by file.

    Args:
        recipe: The recipe.
        folders: Folder of every model that the recipe names; others are left alone.
        digests: Digest of each one's files, by name.
        out: Where the model goes: nothing, or an empty folder, stands there.
        replace: Replace whatever stands there. It has to be the caller's own.
        beside: Content of files beside the weights that are not the owner's, by name.
        decompositions: Files of decompositions of task vectors, if there are some, by their keys.
        shard_bytes: Most bytes of weights in one file, unless one tensor is larger.
        threads: How many tensors to merge at the same time.
        progress: Called after each tensor that is merged: tensors of its component written, all of
            them, bytes written.

    Returns:
        Digest of the weights: the one that `InPlaceMerger.load_into` or `LiveDataflow.assemble`
        returns for this recipe.

    Raises:
        RecipeError: the recipe describes no valid merge, or a result is not finite.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: a model cannot be read, holds numbers that are not finite, or does not fit the
            others.
        InfrastructureError: the disk is full or fails, or something stands at `out`.
    """
    named = {model.name for model in recipe.models} | {recipe.owner}
    models = OpenModels(
        {name: folder for name, folder in folders.items() if name in named},
        digests,
        names=names_in(recipe.models),
        decompositions=decompositions,
    )
    merge = open_merge(recipe, models)
    plan = {planned.stored: planned for planned in merge.plan.tensors}
    stored = {name: _header(merge, planned) for name, planned in plan.items()}
    with stream.faults_of_the_disk(out), one_thread_per_operation():
        stream.require_space(out.parent, sum(tensor.size for tensor in stored.values()))
        with atomic.folder(out, replace=replace) as folder:
            owner = merge.owner
            write_sidecar_files(recipe, owner.folder, owner.kind, merge.config, folder)
            for name, content in (beside or {}).items():
                (folder / name).write_bytes(content)
            digest = WeightsDigest()
            for component, layout in owner.layouts.items():
                of = {name: one for name, one in stored.items() if in_component(name, component)}
                if component and not any(plan[name].merged for name in of):
                    copy_weights(owner.folder, component, folder)
                    for name, one in of.items():
                        bytes_digest = pieces_digest(merge.pieces(plan[name]))
                        digest.add(name, one.dtype, one.shape, bytes_digest)
                    continue
                stream.write_tensors(
                    folder / component,
                    of,
                    lambda name: merge.pieces(plan[name]),
                    layout=layout,
                    component=component,
                    shard_bytes=shard_bytes,
                    threads=threads,
                    progress=progress,
                    digest=digest,
                )
            weights = digest.hexdigest()
            write_marker(folder, weights)
        return weights


def _header(merge: AnyMerge, planned: PlannedTensor) -> TensorHeader:
    dtype = merge.format(planned)
    size = math.prod(planned.shape) * dtype.itemsize
    return TensorHeader(FORMAT_NAMES[dtype], planned.shape, size)
