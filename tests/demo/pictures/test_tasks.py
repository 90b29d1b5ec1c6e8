"""The tasks about pictures."""

from __future__ import annotations

import numpy as np

from tsugiki.demo.pictures.scenes import Scene, is_held_out
from tsugiki.demo.pictures.tasks import pictures, rows, score


def test_documents_are_parallel_held_out_and_drawn_alike() -> None:
    """Both languages ask the same about the same pictures, which no model was trained on."""
    english, japanese = rows("en", 60, 3), rows("ja", 60, 3)
    for one, other in zip(english, japanese, strict=True):
        for part in ("place", "colour", "kind", "cells", "drawing", "asked"):
            assert one[part] == other[part]
        scene = Scene(one["place"], one["colour"], one["kind"], tuple(one["cells"]))
        assert is_held_out(scene)
        assert one["target"].isascii()
        assert not other["target"].isascii()
    assert len({pictures(row)[0].tobytes() for row in english}) == 60
    assert rows("en", 60, 4) != english
    first, again = (np.asarray(pictures(row)[0]) for row in (english[0], japanese[0]))
    assert (first == again).all()


def test_only_the_right_answer_in_the_right_language_counts() -> None:
    """The English answer to a Japanese question is wrong, and told apart from a wrong Japanese one."""
    document = {"target": "赤です。", "language": "ja"}
    assert score(document, ["赤です。"]) == {"exact_match": 1.0, "language": 1.0}
    assert score(document, [" 青です。"]) == {"exact_match": 0.0, "language": 1.0}
    assert score(document, [" red."]) == {"exact_match": 0.0, "language": 0.0}
    assert score(document, [""]) == {"exact_match": 0.0, "language": 0.0}
