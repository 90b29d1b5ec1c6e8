"""Writing safetensors files tensor by tensor: sharded, indexed, with a digest on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3
from torch import Tensor

from tsugiki.canonical import canonical_json, pretty_json
from tsugiki.errors import InfrastructureError
from tsugiki.merge.parallel import ordered
from tsugiki.models.checkpoint import DTYPES
from tsugiki.models.digest import WeightsDigest, raw_bytes
from tsugiki.models.headers import TensorHeader
from tsugiki.models.kinds.kind import Layout

SHARD_BYTES = 5_000_000_000
SPARE_BYTES = 1 << 20
"""Room for everything that is not weights."""


def write_tensors(  # noqa: PLR0913 - all but four have defaults
    folder: Path,
    stored: Mapping[str, TensorHeader],
    tensor: Callable[[str], Tensor | Iterable[Tensor]],
    *,
    layout: Layout,
    component: str = "",
    shard_bytes: int = SHARD_BYTES,
    threads: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
    digest: WeightsDigest | None = None,
) -> str:
    """Write a file of weights, or its shards and their index, into a folder.

    Memory holds a few tensors at a time. The bytes do not depend on `threads`.

    Args:
        folder: Where; it exists.
        stored: Every tensor, by name.
        tensor: Makes a tensor, in the format and shape that `stored` says, or its elements piece by
            piece. A piece is done with when the next one is asked for.
        layout: What the files are called.
        component: The component that the tensors are of, whose name theirs have in front, but not in
            its files; empty if the model has none.
        shard_bytes: Most bytes of weights in one file, unless one tensor is larger.
        threads: How many tensors to make at the same time.
        progress: Called after each tensor: tensors written, all tensors, bytes written.
        digest: Takes the tensors, after others; a new one if absent.

    Returns:
        Digest of the weights (see `WeightsDigest`).
    """
    start = f"{component}." if component else ""
    files = shards({name: entry.size for name, entry in stored.items()}, shard_bytes)
    places: dict[str, tuple[Path, int]] = {}
    for file, tensors in zip(layout.shards(len(files)), files, strict=True):
        header = _header({name.removeprefix(start): stored[name] for name in tensors})
        (folder / file).write_bytes(header)
        place = len(header)
        for name in tensors:
            places[name] = (folder / file, place)
            place += stored[name].size

    def finish(name: str) -> str:
        made = tensor(name)
        return _write(*places[name], stored[name], [made] if isinstance(made, Tensor) else made)

    digest = digest or WeightsDigest()
    written = 0
    order = list(places)
    for done, (name, content) in enumerate(
        zip(order, ordered(finish, order, threads), strict=True), start=1
    ):
        digest.add(name, stored[name].dtype, stored[name].shape, content)
        written += stored[name].size
        if progress is not None:
            progress(done, len(stored), written)
    if len(files) > 1:
        index = {
            "metadata": {"total_size": written},
            "weight_map": {
                name.removeprefix(start): file.name for name, (file, _) in places.items()
            },
        }
        (folder / layout.index).write_bytes(pretty_json(index))
    return digest.hexdigest()


def _write(file: Path, place: int, stored: TensorHeader, pieces: Iterable[Tensor]) -> str:
    """Write a tensor's pieces to their place in a file, which may lie beyond its end as yet.

    Each is hashed and written while it is in the processor's cache, by the thread that made it.

    Returns:
        BLAKE3 of the tensor's bytes.
    """
    digest = blake3()
    with file.open("r+b", buffering=0) as stream:
        stream.seek(place)
        for piece in pieces:
            assert piece.dtype == DTYPES[stored.dtype], "the header says what is stored"
            content = raw_bytes(piece)
            digest.update(content)
            while content:
                content = content[stream.write(content) :]
        assert stream.tell() - place == stored.size, "the header says how much is stored"
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


def require_space(folder: Path, weights: int, what: str = "the merged model") -> None:
    """Make a folder, and check that what has so many bytes of weights fits on its disk.

    Raises:
        InfrastructureError: it does not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder).free, weights + SPARE_BYTES
    if free < needed:
        raise InfrastructureError(
            f"the disk has no room for {what}",
            where=str(folder),
            expected=f"{needed:,} bytes",
            got=f"{free:,} bytes free",
            fix="free some space, or write elsewhere",
        )


@contextmanager
def faults_of_the_disk(out: Path, what: str = "the merged model") -> Iterator[None]:
    """Turn errors of the operating system into ones that say what could not be written.

    Raises:
        InfrastructureError: the disk is full or fails.
    """
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"{what} could not be written",
            where=str(out),
            got=str(error),
            fix="see to the disk and start again; nothing half-written was left",
        ) from error


def _header(stored: Mapping[str, TensorHeader]) -> bytes:
    """The head of a safetensors file: its length in 8 bytes, then JSON, padded to 8 bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in stored.items():
        start, end = end, end + tensor.size
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
