"""Which documents tell nothing apart."""

from __future__ import annotations

from typing import Any

from tsugiki.evolve.informative import answered_alike

POOL = {"maths": [2, 4, 6, 8], "words": [1, 3]}


def answers(**changes: Any) -> dict[tuple[str, int], Any]:
    """Somebody who answers everything right, but for changes such as `maths_4`."""
    right = dict.fromkeys([(task, one) for task, of in POOL.items() for one in of], 1.0)
    for name, value in changes.items():
        task, _, document = name.partition("_")
        right[task, int(document)] = value
    return right


def test_documents_on_which_somebody_differs_are_kept() -> None:
    """All right, or all wrong, is left out."""
    found = answered_alike(
        [answers(maths_2=0.0), answers(maths_2=0.0, maths_4=0.0), answers(maths_2=0.0)], POOL, 1
    )
    assert found == {"maths": [2, 6, 8], "words": [1]}


def test_enough_documents_are_kept_for_a_generation() -> None:
    """Whatever they tell."""
    assert answered_alike([answers(), answers()], POOL, 3) == {"maths": [2]}


def test_a_document_that_somebody_was_not_asked_is_kept() -> None:
    """As are all, where nobody was asked anything."""
    some = {place: one for place, one in answers().items() if place != ("words", 3)}
    assert answered_alike([answers(), some], POOL, 0) == {"maths": [2, 4, 6, 8], "words": [1]}
    assert answered_alike([], POOL, 0) == {}
