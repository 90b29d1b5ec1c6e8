"""Drawn pictures."""

from __future__ import annotations

import numpy as np

from tsugiki.demo.pictures.drawing import CELL, PAINTS, SIDE, draw_picture
from tsugiki.demo.pictures.scenes import COLOURS, KINDS, Scene
from tsugiki.keyed import generator


def test_shapes_are_in_their_cells_and_of_their_colour() -> None:
    """The rest of the picture is dark, and the middle of a square has nearly the colour that is said."""
    assert len(PAINTS) == len(COLOURS)
    for colour, paint in enumerate(PAINTS):
        scene = Scene(2, colour, 1, (2, 5))
        pixels = np.asarray(draw_picture(generator("test-colour", colour), scene)).astype(int)
        assert pixels.shape == (SIDE, SIDE, 3)
        for cell in scene.cells:
            row, column = divmod(cell, 3)
            centre = pixels[row * CELL + CELL // 2, column * CELL + CELL // 2]
            assert np.abs(centre - paint).max() <= 15
            pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 0
        assert pixels.max() < 40


def test_kinds_differ_and_one_scene_is_drawn_in_many_ways() -> None:
    """Each kind covers other pixels; equal keys draw equal pictures, others do not."""
    drawn = [
        np.asarray(draw_picture(generator("test-kind"), Scene(0, 4, kind, (1,))))
        for kind in range(len(KINDS))
    ]
    assert len({picture.tobytes() for picture in drawn}) == len(KINDS)
    again, other = (
        np.asarray(draw_picture(generator(key), Scene(0, 4, 0, (1,))))
        for key in ("test-kind", "test-other")
    )
    assert (again == drawn[0]).all()
    assert (other != drawn[0]).any()
