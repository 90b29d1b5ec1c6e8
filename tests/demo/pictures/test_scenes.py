"""Scenes, and what is asked about them."""

from __future__ import annotations

from collections import Counter

from tsugiki.demo.pictures.scenes import (
    COLOURS,
    KINDS,
    NUMBERS,
    PLACES,
    draw_question,
    draw_scene,
    is_held_out,
)
from tsugiki.keyed import generator


def test_a_colour_a_kind_and_a_place_each_name_one_shape() -> None:
    """No two shapes of a scene share one of them."""
    rng = generator("test-scenes")
    for _ in range(300):
        scene = draw_scene(rng, held_out=False)
        assert 1 <= len(scene) <= len(NUMBERS)
        assert all(len(set(column)) == len(scene) for column in zip(*scene, strict=True))


def test_scenes_are_on_one_side_and_a_fifth_is_held_out() -> None:
    """Both sides are drawn from, and the share is about what it should be."""
    rng = generator("test-sides")
    assert all(is_held_out(draw_scene(rng, held_out=True)) for _ in range(100))
    trained = {draw_scene(rng, held_out=False) for _ in range(300)}
    assert not any(map(is_held_out, trained))


def test_answers_are_true_in_both_languages() -> None:
    """What an answer names belongs to the shape that its question names."""
    rng = generator("test-answers")
    asked = Counter[str]()
    words = {"place": PLACES, "colour": COLOURS, "kind": KINDS}
    for _ in range(600):
        scene = draw_scene(rng, held_out=False)
        question = draw_question(rng, scene)
        asked[question.asked] += 1
        if question.asked == "number":
            right = NUMBERS[len(scene) - 1]
        else:
            named = [
                shape
                for shape in scene
                for name in words
                if name != question.asked
                and words[name][getattr(shape, name)].ja in question.text.ja.split("は")[0]
            ]
            assert len(named) == 1
            right = words[question.asked][getattr(named[0], question.asked)]
        assert question.answer.en == f" {right.en}."
        assert question.answer.ja == f"{right.ja}です。"
    assert set(asked) == {"colour", "kind", "place", "number"}
