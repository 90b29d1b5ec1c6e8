"""Drawn pictures."""

from __future__ import annotations

import numpy as np

from tsugiki.demo.pictures.drawing import CELL, CELLS, PAINTS, SIDE, draw_picture
from tsugiki.demo.pictures.scenes import KINDS, Shape
from tsugiki.keyed import generator


def test_a_shape_is_in_its_cell_and_of_its_colour() -> None:
    """The rest of the picture is dark, and the brightest pixels are near the paint."""
    for place, (column, row) in enumerate(CELLS):
        scene = (Shape(place, place, 1),)
        pixels = np.asarray(draw_picture(generator("test-place", place), scene)).astype(int)
        assert pixels.shape == (SIDE, SIDE, 3)
        inside = (slice(row * CELL, (row + 1) * CELL), slice(column * CELL, (column + 1) * CELL))
        centre = pixels[row * CELL + CELL // 2, column * CELL + CELL // 2]
        assert np.abs(centre - PAINTS[place]).max() <= 15
        pixels[inside] = 0
        assert pixels.max() < 40


def test_kinds_differ_and_one_scene_is_drawn_in_many_ways() -> None:
    """Each kind covers other pixels; equal keys draw equal pictures, others do not."""
    drawn = [
        np.asarray(draw_picture(generator("test-kind"), (Shape(2, 4, kind),)))
        for kind in range(len(KINDS))
    ]
    assert len({picture.tobytes() for picture in drawn}) == len(KINDS)
    again = np.asarray(draw_picture(generator("test-kind"), (Shape(2, 4, 0),)))
    other = np.asarray(draw_picture(generator("test-other"), (Shape(2, 4, 0),)))
    assert (again == drawn[0]).all()
    assert (other != drawn[0]).any()
