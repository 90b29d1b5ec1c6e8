"""Draws a scene as a small picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tsugiki.demo.pictures.scenes import Scene

CELL = 12
"""Pixels of a cell's side; a picture has three by three cells."""
SIDE = 3 * CELL
PAINTS = (
    (220, 40, 40),
    (50, 80, 230),
    (40, 170, 60),
    (230, 210, 40),
    (245, 245, 245),
    (150, 60, 190),
)
"""Red, green and blue (0 to 255) of each of `scenes.COLOURS`."""
FINER = 4
"""Pictures are drawn so many times larger, then made smaller, so that edges are smooth."""


def draw_picture(rng: np.random.Generator, scene: Scene) -> Image.Image:
    """A picture of `SIDE` times `SIDE` pixels; sizes, places and colours vary a little."""
    unit = CELL * FINER
    dark = int(rng.integers(40))
    image = Image.new("RGB", (SIDE * FINER, SIDE * FINER), (dark, dark, dark))
    canvas = ImageDraw.Draw(image)
    red, green, blue = (
        int(np.clip(part + rng.integers(-15, 16), 0, 255)) for part in PAINTS[scene.colour]
    )
    for cell in scene.cells:
        row, column = divmod(cell, 3)
        radius = rng.uniform(0.36, 0.44) * unit
        x = (column + rng.uniform(0.45, 0.55)) * unit
        y = (row + rng.uniform(0.45, 0.55)) * unit
        _draw_shape(canvas, scene.kind, x, y, radius, (red, green, blue))
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _draw_shape(
    canvas: ImageDraw.ImageDraw,
    kind: int,
    x: float,
    y: float,
    radius: float,
    paint: tuple[int, int, int],
) -> None:
    """One of `scenes.KINDS`."""
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == 0:
        canvas.ellipse(box, fill=paint)
    elif kind == 1:
        canvas.rectangle(box, fill=paint)
    elif kind == 2:
        canvas.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=paint)
    elif kind == 3:
        arm = 0.3 * radius
        canvas.rectangle((x - arm, box[1], x + arm, box[3]), fill=paint)
        canvas.rectangle((box[0], y - arm, box[2], y + arm), fill=paint)
    elif kind == 5:
        canvas.polygon([(x, box[1]), (box[2], y), (x, box[3]), (box[0], y)], fill=paint)
    else:
        canvas.ellipse(box, outline=paint, width=int(0.4 * radius))
