"""Writing safetensors files tensor by tensor: sharded, indexed, with a digest on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import Tensor

from tsugiki.canonical import canonical_json, pretty_json
from tsugiki.errors import InfrastructureError
from tsugiki.merge.checkpoint import DTYPES, INDEX, SINGLE
from tsugiki.merge.digest import WeightsDigest, raw_bytes, tensor_digest
from tsugiki.merge.parallel import ordered

SHARD_BYTES = 5_000_000_000
SPARE_BYTES = 1 << 20
"""Room for everything that is not weights."""


@dataclass(frozen=True)
class Stored:
    """How a tensor is stored."""

    dtype: str
    """The format's name, such as `BF16`."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize


def write_tensors(
    folder: Path,
    stored: Mapping[str, Stored],
    tensor: Callable[[str], Tensor],
    *,
    shard_bytes: int = SHARD_BYTES,
    threads: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> str:
    """Write model.safetensors, or its shards and their index, into a folder.

    Memory holds a few tensors at a time. The bytes do not depend on `threads`.

    Args:
        folder: Where; it exists.
        stored: Every tensor, by name.
        tensor: Makes a tensor, in the format and shape that `stored` says.
        shard_bytes: Most bytes of weights in one file, unless one tensor is larger.
        threads: How many tensors to make at the same time.
        progress: Called after each tensor: tensors written, all tensors, bytes written.

    Returns:
        Digest of the weights (see `WeightsDigest`).
    """
    files = shards({name: entry.size for name, entry in stored.items()}, shard_bytes)
    names = (
        [SINGLE]
        if len(files) == 1
        else [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    )

    def finish(name: str) -> tuple[Tensor, str]:
        made = tensor(name)
        entry = stored[name]
        assert (made.dtype, tuple(made.shape)) == (DTYPES[entry.dtype], entry.shape), name
        return made, tensor_digest(made)

    results = ordered(finish, [name for tensors in files for name in tensors], threads)
    digest = WeightsDigest()
    done = written = 0
    for file, tensors in zip(names, files, strict=True):
        with (folder / file).open("wb") as stream:
            stream.write(_header(tensors, stored))
            for name in tensors:
                made, sha256 = next(results)
                stream.write(raw_bytes(made))
                digest.add(name, made, sha256)
                done, written = done + 1, written + stored[name].size
                if progress is not None:
                    progress(done, len(stored), written)
    if len(files) > 1:
        places = {name: file for file, group in zip(names, files, strict=True) for name in group}
        index = {"metadata": {"total_size": written}, "weight_map": places}
        (folder / INDEX).write_bytes(pretty_json(index))
    return digest.hexdigest()


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


def require_space(folder: Path, weights: int) -> None:
    """Make a folder, and check that a model with so many bytes of weights fits on its disk.

    Raises:
        InfrastructureError: it does not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder).free, weights + SPARE_BYTES
    if free < needed:
        raise InfrastructureError(
            "the disk has no room for the merged model",
            where=str(folder),
            expected=f"{needed:,} bytes",
            got=f"{free:,} bytes free",
            fix="free some space, or write elsewhere",
        )


@contextmanager
def faults_of_the_disk(out: Path) -> Iterator[None]:
    """Turn errors of the operating system into ones that say what could not be written.

    Raises:
        InfrastructureError: the disk is full or fails.
    """
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            "the merged model could not be written",
            where=str(out),
            got=str(error),
            fix="see to the disk and start again; nothing half-written was left",
        ) from error


def _header(names: Sequence[str], stored: Mapping[str, Stored]) -> bytes:
    """The head of a safetensors file: its length in 8 bytes, then JSON, padded to 8 bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        start, end = end, end + stored[name].size
        header[name] = {
            "dtype": stored[name].dtype,
            "shape": list(stored[name].shape),
            "data_offsets": [start, end],
        }
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
