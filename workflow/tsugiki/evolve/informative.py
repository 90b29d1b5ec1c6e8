"""Documents that tell candidates apart: those that all answer alike are left out of later generations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

Answers = Mapping[tuple[str, int], Hashable]
"""By source and document: what somebody scored there, whatever that is."""


def answered_alike(
    answers: Sequence[Answers], pool: Mapping[str, Sequence[int]], kept: int
) -> dict[str, list[int]]:
    """Documents on which all score the same, such as those that all answer right, or all wrong.

    Args:
        answers: Of the parents and of the candidates of a first generation. A document that one of them was not
            asked is none of these.
        pool: Documents by source.
        kept: How many documents of each source are kept at least.

    Returns:
        Places of documents by source, ascending; sources without any are absent.
    """
    if not answers:
        return {}
    first, *others = answers
    found: dict[str, list[int]] = {}
    for source, documents in pool.items():
        alike = [
            one
            for one in sorted(documents)
            if (source, one) in first
            and all(other.get((source, one)) == first[source, one] for other in others)
        ]
        if alike := alike[: max(0, len(documents) - kept)]:
            found[source] = alike
    return found
