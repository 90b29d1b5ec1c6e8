"""Whether models look as if they had grown from one base, from a few of their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from tsugiki.parents.sources import ParentFiles
from tsugiki.parents.weight_sample import Sample, distance, same_weights

UNRELATED = 0.9
"""A distance, as a share of the weights: independent ones have 1 at least, fine-tunes seldom 0.5."""


def note_relatives(
    names: Sequence[str], base: str | None, samples: Mapping[str, Sample]
) -> Iterator[str]:
    """Say which models are as far from the first as random weights are.

    Args:
        names: The models of a stage, the base first if there is one.
        base: The base's name.
        samples: Some weights of those models whose weights lie on this machine.
    """
    first, *others = names
    far = {
        name: ratio
        for name in others
        if (ratio := distance(samples.get(first, {}), samples.get(name, {}))) is not None
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
        if samples.get(one, {}) == samples.get(other, {}) and same_weights(mine, theirs):
            yield f"{one} and {other} have the same weights: merging them with each other does nothing"
