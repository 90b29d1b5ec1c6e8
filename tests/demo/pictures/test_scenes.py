"""Scenes, and what is asked about them."""

from __future__ import annotations

from collections import Counter

from tsugiki.demo.pictures.scenes import (
    ASKED,
    COLOURS,
    KINDS,
    NUMBERS,
    PLACES,
    SIDES,
    describe,
    draw_scene,
    is_held_out,
    question,
)
from tsugiki.keyed import generator


def test_a_scene_is_at_one_side_only() -> None:
    """Its cells are of the side that is said, and of no other side all of them are."""
    rng = generator("test-scenes")
    for _ in range(300):
        scene = draw_scene(rng, held_out=False)
        at = [place for place, side in enumerate(SIDES) if set(scene.cells) <= set(side)]
        assert at == [scene.place]


def test_scenes_are_on_one_side_of_the_division_and_a_fifth_is_held_out() -> None:
    """Whatever the cells: a combination of place, colour, kind and number is not seen in both."""
    rng = generator("test-division")
    sides = [
        {(one.place, one.colour, one.kind, len(one.cells)) for one in drawn}
        for drawn in (
            [draw_scene(rng, held_out=held_out) for _ in range(3000)] for held_out in (True, False)
        )
    ]
    assert not sides[0] & sides[1]
    assert all(is_held_out(draw_scene(rng, held_out=True)) for _ in range(50))
    whole = len(PLACES) * len(COLOURS) * len(KINDS) * len(NUMBERS)
    assert 0.15 < len(sides[0]) / whole < 0.25


def test_questions_are_answered_from_the_scene_in_both_languages() -> None:
    """The answer is the word that the scene, told in the same language, holds."""
    rng = generator("test-answers")
    for _ in range(100):
        scene = draw_scene(rng, held_out=False)
        answers = {asked: question(scene, asked).answer for asked in ASKED}
        english = describe(rng, scene, "en").rstrip(".").split()
        japanese = describe(rng, scene, "ja").rstrip("。").split("、")
        assert Counter(english) == Counter(one.en.strip(" .") for one in answers.values())
        assert Counter(japanese) == Counter(
            one.ja.removesuffix("です。") for one in answers.values()
        )
        assert answers["number"].ja == f"{NUMBERS[len(scene.cells) - 1].ja}です。"
        assert answers["colour"].en == f" {COLOURS[scene.colour].en}."
        assert answers["kind"].ja == f"{KINDS[scene.kind].ja}です。"
        assert answers["place"].en == f" {PLACES[scene.place].en}."
