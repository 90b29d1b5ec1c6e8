"""Figure: the path of a model in data-flow space, hop by hop (as in arXiv 2403.13187, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence

from tsugiki.contracts.recipe import DataflowRecipe, Hop
from tsugiki.report.svg import Figure, Scale, axes, circle, path, rectangle, text, ticks

WIDTH, HEIGHT = 860.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 24.0, 64.0, 64.0
SIZE, SMALLEST, LARGEST = 7.0, 2.5, 13.0
"""Pixels: radius of a hop with scale 1, and limits of all radii."""
COLOURS = 4
"""Parents beyond the fourth take the colours again, in the other shape."""
MOST_NUMBERS = 32
"""Scales are written beside the hops of paths up to this length."""


def path_figure(recipe: DataflowRecipe, name: str = "path") -> Figure:
    """Draw which layer of which parent each step goes through; larger marks scale more."""
    order = list(dict.fromkeys([recipe.owner, *(hop.parent for hop in recipe.path)]))
    deepest = max(hop.layer for hop in recipe.path)
    x = Scale(1, max(2, len(recipe.path)), LEFT + 16, WIDTH - RIGHT - 16)
    y = Scale(0, max(1, deepest), HEIGHT - BOTTOM - 16, TOP + 8)
    points = [(x(step), y(hop.layer)) for step, hop in enumerate(recipe.path, start=1)]
    steps = len(recipe.path)
    marks = {1, *(int(one) for one in ticks(1, max(steps, 2), 12)), steps}
    ground = axes(
        (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        [(x(one), str(one)) for one in sorted(marks)],
        [(y(one), str(one)) for one in sorted({int(one) for one in ticks(y.low, y.high)})],
        "step",
        "layer",
    )
    parts = [ground, _legend(order), path(points, "f-path")]
    for (across, up), (step, hop) in zip(points, enumerate(recipe.path, start=1), strict=True):
        parts.append(_mark(across, up, order.index(hop.parent), hop, step))
        if len(recipe.path) <= MOST_NUMBERS and hop.scale != 1:
            label = f"{hop.scale:.2f}".replace("-", "\N{MINUS SIGN}")
            above = up - _radius(hop) - 4
            parts.append(text(across, above, label, "f-value f-muted", text_anchor="middle"))
    title = f"Path of the best model: {len(recipe.path)} hops through {len(order)} models"
    data = [
        ("step", "parent", "layer", "scale"),
        *((step, hop.parent, hop.layer, hop.scale) for step, hop in enumerate(recipe.path, 1)),
    ]
    return Figure(name, title, _description(recipe.path), WIDTH, HEIGHT, "".join(parts), data)


def _mark(x: float, y: float, parent: int, hop: Hop, step: int) -> str:
    radius = _radius(hop)
    hollow = " f-hollow" if hop.scale < 0 else ""
    class_ = f"f-lane f-lane-{parent % COLOURS}{hollow}"
    tip = f"step {step}: layer {hop.layer} of {hop.parent}, input times {hop.scale:g}"
    if (parent + parent // COLOURS) % 2:
        return rectangle(x - radius, y - radius, 2 * radius, 2 * radius, class_, tip)
    return circle(x, y, radius, class_, tip)


def _radius(hop: Hop) -> float:
    """The area is in proportion to the scale."""
    return float(min(max(SIZE * abs(hop.scale) ** 0.5, SMALLEST), LARGEST))


def _legend(order: Sequence[str]) -> str:
    parts, left = [], LEFT
    for index, parent in enumerate(order):
        parts.append(_mark(left + 8, 20, index, Hop(parent=parent, layer=0), 0))
        label = f"{parent} (owner)" if index == 0 else parent
        parts.append(text(left + 22, 24, label))
        left += 44 + 7.2 * len(label)
    note = "area: scale of the layer's input; hollow: negative"
    parts.append(text(LEFT, 46, note, "f-muted"))
    return "".join(parts)


def _description(hops: Sequence[Hop]) -> str:
    """Runs of consecutive layers of one parent, and the range of scales."""
    runs: list[list[Hop]] = []
    for hop in hops:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.parent, last.layer + 1) == (hop.parent, hop.layer):
            runs[-1].append(hop)
        else:
            runs.append([hop])
    words = [
        f"{run[0].parent} {run[0].layer}" + (f" to {run[-1].layer}" if len(run) > 1 else "")
        for run in runs
    ]
    scales = [hop.scale for hop in hops]
    return f"Layers in order: {', '.join(words)}. Scales from {min(scales):g} to {max(scales):g}."
