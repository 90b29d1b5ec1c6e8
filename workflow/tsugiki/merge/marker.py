"""The marker file in the folder of a merged model, by which the folder is recognised as whole and unchanged.

A folder whose files fit its marker may be replaced, since it can be made again from its recipe. A file that a user
added, changed or removed makes the folder theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from blake3 import blake3

from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.contracts.data import Data
from tsugiki.errors import LineageError, TsugikiError
from tsugiki.json_files import read_json, reader
from tsugiki.models.digest import WeightsDigest
from tsugiki.models.headers import header_end, parse_header, prefix_of

CHUNK = 1 << 20
"""Bytes that are read at a time."""
MARKER = ".tsugiki.json"
"""Hidden, so that it counts neither as a file of the model nor for the model's digest."""
NOT_OURS = frozenset({".snakemake_timestamp"})
"""What Snakemake leaves in a folder that is a rule's output."""
WEIGHTS = ".safetensors"


class WrittenFile(Data):
    """One file of a written model."""

    size: int
    """Bytes."""
    sha256: str
    """Of its content; of a file of weights, of its header alone."""


class Marker(Data):
    """.tsugiki.json."""

    version: Literal[1] = 1
    files: dict[str, WrittenFile]
    """All files of the folder but this one, by their place in it."""
    weights: str
    """Digest of the weights (see `WeightsDigest`)."""


def write_marker(folder: Path, weights: str) -> None:
    """Mark a model's folder, all its files written; the digest of its weights is known from writing them."""
    files = {name: _describe(folder / name) for name in _entries(folder) if _is_file(folder / name)}
    marker = Marker(files=files, weights=weights)
    (folder / MARKER).write_bytes(marker.to_json())


read_marker = reader(Marker.model_validate_json, "marker")
"""Read the marker file of a merged model; LineageError where there is none, or it is no valid marker."""


def difference(folder: Path) -> str | None:
    """The first difference between a folder and its marker, in words; None if it is whole and unchanged.

    All of its files are read.
    """
    try:
        marker = read_json(folder / MARKER, Marker.model_validate_json, "marker")
        expected = {MARKER, *marker.files}
        expected |= {str(above) for name in marker.files for above in Path(name).parents}
        for name in _entries(folder):
            if name not in expected:
                return f"{name} does not belong to it"
        for name, file in marker.files.items():
            if not _is_file(folder / name):
                return f"{name} is missing"
            if _describe(folder / name) != file:
                return f"{name} has changed"
        if weights_of(folder) != marker.weights:
            return "its weights have changed"
    except FileNotFoundError:
        return f"it holds no {MARKER}"
    except (OSError, ValueError, KeyError, TypeError, TsugikiError):
        return "its files cannot be read as those of a merged model"
    return None


def _entries(folder: Path) -> Iterator[str]:
    """Places of all files and folders in a folder, links among them, but for what is not ours."""
    for path in sorted(folder.rglob("*")):
        if path.name not in NOT_OURS:
            yield path.relative_to(folder).as_posix()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _describe(path: Path) -> WrittenFile:
    size = path.stat().st_size
    if path.suffix == WEIGHTS:
        return WrittenFile(size=size, sha256=digest_bytes(_header(path)))
    return WrittenFile(size=size, sha256=digest_file(path))


def _header(path: Path) -> bytes:
    """The JSON at the head of a safetensors file."""
    with path.open("rb") as file:
        return file.read(min(int.from_bytes(file.read(8), "little"), path.stat().st_size))


def weights_of(folder: Path) -> str:
    """Digest of the weights that a model's folder holds now.

    Raises:
        LineageError: a file of weights cannot be read.
    """
    found = WeightsDigest()
    for path in sorted(folder.rglob(f"*{WEIGHTS}")):
        prefix = prefix_of(path.relative_to(folder).as_posix())
        with path.open("rb") as file:
            start = file.read(8)
            try:
                start += file.read(min(header_end(start), path.stat().st_size) - 8)
                tensors = parse_header(start, path.stat().st_size)
            except (ValueError, KeyError, TypeError) as error:
                raise LineageError(
                    "not a readable file of weights", where=str(path), got=str(error)
                ) from error
            for tensor, header in tensors.items():
                found.add(prefix + tensor, header.dtype, header.shape, _blake3(file, header.size))
    return found.hexdigest()


def _blake3(file: BinaryIO, size: int) -> str:
    """Of the next bytes of a file."""
    content = blake3()
    while piece := file.read(min(CHUNK, size)):
        content.update(piece)
        size -= len(piece)
    return content.hexdigest()
