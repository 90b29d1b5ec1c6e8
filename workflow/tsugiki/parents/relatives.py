"""Whether models have grown from one base or are copies of each other, from a few thousand weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from tsugiki.canonical import digest_file
from tsugiki.models.facts import ModelFacts
from tsugiki.models.files import needed
from tsugiki.models.sources import FolderFiles, ParentFiles
from tsugiki.parents.hub import HubFiles

MATRICES = 4
"""Most matrices of the middle block that are looked at."""
NUMBERS = 4096
"""About how many numbers are read of each."""
UNRELATED = 0.9
"""A distance, as a share of the weights: independent ones have 1 at least, fine-tunes seldom 0.5."""

Sample = Mapping[str, Sequence[float]]
"""Numbers by the name that their matrix has in the merge."""


def read_sample(model: ModelFacts, files: ParentFiles) -> Sample:
    """Some rows of matrices in the middle block; nothing where they do not lie on this machine."""
    from safetensors import SafetensorError, safe_open

    sample = {}
    try:
        for name in _middle(model):
            stored = model.names[name]
            path = _local_path(files, model.tensors[stored].file)
            if path is None:
                return {}
            rows, columns = model.tensors[stored].shape
            count = min(rows, math.ceil(NUMBERS / columns))
            first = (rows - count) // 2
            with safe_open(path, framework="pt") as file:
                piece = file.get_slice(model.tensors[stored].key(stored))[first : first + count]
            sample[name] = piece.double().flatten().tolist()
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return {}  # the checks of the headers say what is wrong
    return sample


def _local_path(files: ParentFiles, name: str) -> Path | None:
    """Where a file of a parent lies on this machine, if it does."""
    if isinstance(files, HubFiles):
        return files.cached(name)
    return files.folder / name if isinstance(files, FolderFiles) else None


def _distance(reference: Sample, other: Sample) -> float | None:
    """The median over matrices of ‖other - reference‖ / ‖reference‖; None if nothing can be compared.

    It is the square root of 2 for independent weights of one size, and at least 1 of any size.
    """
    ratios = []
    for name in reference.keys() & other.keys():
        mine, theirs = reference[name], other[name]
        norm = math.hypot(*mine)
        if len(mine) == len(theirs) and norm > 0:
            ratios.append(math.dist(mine, theirs) / norm)
    return sorted(ratios)[len(ratios) // 2] if ratios else None


def _same_weights(one: ParentFiles, other: ParentFiles) -> bool:
    """Whether two parents have weight files of the same names and digests."""
    mine, theirs = (
        {name: files.sizes[name] for name in needed(files.sizes) if name.endswith(".safetensors")}
        for files in (one, other)
    )
    return (
        bool(mine)
        and mine == theirs
        and all(_digest(one, name) == _digest(other, name) is not None for name in mine)
    )


def _digest(files: ParentFiles, name: str) -> str | None:
    if isinstance(files, HubFiles):
        return next((file.sha256 for file in files.listing.files if file.name == name), None)
    path = _local_path(files, name)
    return digest_file(path) if path is not None else None


def _middle(model: ModelFacts) -> list[str]:
    """Matrices of the middle one of the blocks that have any, in the order of their names."""
    found: dict[str, list[str]] = {}
    for name, tensor in sorted(model.merged.items()):
        matrix = len(tensor.shape) == 2 and min(tensor.shape) > 1 and tensor.is_float
        place = model.kind.place(name) if matrix else None
        if place is not None and place.in_block:
            found.setdefault(place.group, []).append(name)
    blocks = [block for block in model.kind.blocks(model.merged) if block in found]
    return found[blocks[len(blocks) // 2]][:MATRICES] if blocks else []


def note_relatives(
    names: Sequence[str], base: str | None, samples: Mapping[str, Sample]
) -> Iterator[str]:
    """Say which models are as far from the first, the base if there is one, as random weights are."""
    first, *others = names
    far = {
        name: ratio
        for name in others
        if (ratio := _distance(samples.get(first, {}), samples.get(name, {}))) is not None
        and ratio >= UNRELATED
    }
    if far:
        each = ", ".join(f"{ratio:.2f} ({name})" for name, ratio in far.items())
        doubt = (
            f"{first} does not look like the base of {' and '.join(far)}"
            if first == base
            else f"{first} and {' and '.join(far)} do not look like fine-tunes of one base"
        )
        yield (
            f"{doubt}: the distance, in shares of the weights, is {each}; random weights give 1 or "
            "more, fine-tunes mostly less than 0.5"
        )


def note_copies(files: Mapping[str, ParentFiles], samples: Mapping[str, Sample]) -> Iterator[str]:
    """Say which parents have the same weights; large files are read only where samples are equal."""
    for (one, mine), (other, theirs) in combinations(files.items(), 2):
        if samples.get(one, {}) == samples.get(other, {}) and _same_weights(mine, theirs):
            yield f"{one} and {other} have the same weights: merging them with each other does nothing"
