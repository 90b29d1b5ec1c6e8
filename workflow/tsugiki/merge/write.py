"""Writing a merged model as an ordinary checkpoint, streamed tensor by tensor."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from tsugiki import atomic
from tsugiki.canonical import canonical_json, pretty_json
from tsugiki.errors import InfrastructureError
from tsugiki.merge.checkpoint import INDEX, SINGLE
from tsugiki.merge.companions import write_companions
from tsugiki.merge.digest import FORMAT_NAMES, WeightsDigest, raw_bytes, tensor_digest
from tsugiki.merge.engine import one_thread_per_operation
from tsugiki.merge.models import Models
from tsugiki.merge.open import AnyMerge, open_merge
from tsugiki.merge.parallel import ordered
from tsugiki.merge.plan import PlannedTensor
from tsugiki.recipe.read import AnyRecipe

SHARD_BYTES = 5_000_000_000
SPARE_BYTES = 1 << 20
"""Room for everything that is not weights."""


def write_merge(
    recipe: AnyRecipe,
    folders: Mapping[str, Path],
    digests: Mapping[str, str],
    out: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    threads: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> str:
    """Merge a recipe and write the model to the folder `out`, which appears as a whole or not at all.

    Memory holds a few tensors at a time. The bytes do not depend on `threads`.

    Args:
        recipe: The recipe.
        folders: Folder of every model that the recipe names; others are left alone.
        digests: Digest of each one's files, by name.
        out: Where the model goes. What stands there is replaced.
        shard_bytes: Most bytes of weights in one file, unless one tensor is larger.
        threads: How many tensors to merge at the same time.
        progress: Called after each tensor: tensors written, all tensors, bytes written.

    Returns:
        Digest of the weights: the one that `ResidentMerger.load_into` or `LiveDataflow.assemble`
        returns for this recipe.

    Raises:
        RecipeError: the recipe describes no valid merge, or a result is not finite.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: a model cannot be read, holds numbers that are not finite, or does not fit the
            others.
        InfrastructureError: the disk is full or fails.
    """
    named = {model.name for model in recipe.models} | {recipe.tokenizer}
    models = Models({name: folder for name, folder in folders.items() if name in named}, digests)
    merge = open_merge(recipe, models)
    sizes = {planned.name: _size(merge, planned) for planned in merge.plan.tensors}
    with _faults_of_the_disk(out), one_thread_per_operation():
        out.parent.mkdir(parents=True, exist_ok=True)
        _require_space(out.parent, sum(sizes.values()) + SPARE_BYTES)
        with atomic.folder(out) as folder:
            write_companions(recipe, merge.owner, merge.config, folder)
            return _write_weights(merge, sizes, folder, shard_bytes, threads, progress)


def shards(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Share tensors out to files, in order of their names, each file as full as `limit` allows."""
    files: list[list[str]] = []
    room = 0
    for name in sorted(sizes):
        if not files or sizes[name] > room:
            files.append([])
            room = limit
        files[-1].append(name)
        room -= sizes[name]
    return files


def _write_weights(
    merge: AnyMerge,
    sizes: Mapping[str, int],
    folder: Path,
    shard_bytes: int,
    threads: int,
    progress: Callable[[int, int, int], None] | None,
) -> str:
    plan = {planned.name: planned for planned in merge.plan.tensors}
    files = shards(sizes, shard_bytes)
    names = (
        [SINGLE]
        if len(files) == 1
        else [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    )

    def finish(planned: PlannedTensor) -> tuple[Tensor, str]:
        merged = merge.tensor(planned)
        return merged, tensor_digest(merged)

    order = [plan[name] for tensors in files for name in tensors]
    results = ordered(finish, order, threads)
    digest = WeightsDigest()
    done = written = 0
    for file, tensors in zip(names, files, strict=True):
        with (folder / file).open("wb") as stream:
            stream.write(_header(merge, [plan[name] for name in tensors], sizes))
            for name in tensors:
                tensor, sha256 = next(results)
                stream.write(raw_bytes(tensor))
                digest.add(name, tensor, sha256)
                done, written = done + 1, written + sizes[name]
                if progress is not None:
                    progress(done, len(sizes), written)
    if len(files) > 1:
        places = {name: file for file, group in zip(names, files, strict=True) for name in group}
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": places}
        (folder / INDEX).write_bytes(pretty_json(index))
    return digest.hexdigest()


def _header(merge: AnyMerge, tensors: Sequence[PlannedTensor], sizes: Mapping[str, int]) -> bytes:
    """The head of a safetensors file: its length in 8 bytes, then JSON, padded to 8 bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for planned in tensors:
        start, end = end, end + sizes[planned.name]
        header[planned.name] = {
            "dtype": FORMAT_NAMES[merge.format(planned)],
            "shape": list(planned.shape),
            "data_offsets": [start, end],
        }
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _size(merge: AnyMerge, planned: PlannedTensor) -> int:
    return math.prod(planned.shape) * merge.format(planned).itemsize


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InfrastructureError(
            "the disk has no room for the merged model",
            where=str(folder),
            expected=f"{needed:,} bytes",
            got=f"{free:,} bytes free",
            fix="free some space, or write elsewhere",
        )


@contextmanager
def _faults_of_the_disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            "the merged model could not be written",
            where=str(out),
            got=str(error),
            fix="see to the disk and start again; nothing half-written was left",
        ) from error
