"""Figure: a recipe's parameters, layer by layer and parent by parent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tsugiki.contracts.recipe import SHARED, AnyRecipe, DataflowRecipe, Parameter
from tsugiki.report.path import path_figure
from tsugiki.report.svg import Figure, element, line, number, text

WIDTH = 860.0
LEFT, RIGHT, TOP = 130.0, 44.0, 8.0
ROW, GAP, KEY = 30.0, 34.0, 160.0
COLUMNS = 40
"""Groups side by side; more are continued below."""
WIDEST = 78.0

COLOURS = (
    (68, 1, 84),
    (71, 45, 123),
    (59, 82, 139),
    (44, 114, 142),
    (33, 145, 140),
    (40, 174, 128),
    (94, 201, 98),
    (173, 220, 48),
    (253, 231, 37),
)
"""Nine steps of viridis (matplotlib's, CC0): even to the eye, safe for the colour-blind, and from dark
to light in grey print."""


def recipe_figure(recipe: AnyRecipe, figure: str = "weights") -> Figure | None:
    """Draw every parameter that differs by parent or group; None if there is none.

    Of a recipe in data-flow space the path is drawn. `figure` is the figure's name.
    """
    if isinstance(recipe, DataflowRecipe):
        return path_figure(recipe, figure)
    parts: list[str] = []
    sentences: list[str] = []
    y = TOP
    for name, parameter in recipe.parameters.items():
        if not parameter.values:
            continue
        drawn, y = _panel(name, parameter, y)
        parts.append(drawn)
        sentences.append(_description(name, parameter))
    if not parts:
        return None
    title = f"Parameters of the best recipe ({recipe.method}) by layer and parent"
    data = [
        ("parameter", "parent", "group", "value"),
        *(
            (name, parent, group, of_parent[group])
            for name, parameter in recipe.parameters.items()
            for parent, of_parent in parameter.values.items()
            for group in ordered_groups(parameter)
            if group in of_parent
        ),
    ]
    return Figure(figure, title, " ".join(sentences), WIDTH, y, "".join(parts), data)


def ordered_groups(parameter: Parameter) -> list[str]:
    """Groups in the order of the model: embeddings, blocks by number, then the rest."""
    groups = dict.fromkeys(group for of in parameter.values.values() for group in of)
    return sorted(groups, key=_depth)


def short(group: str) -> str:
    """A group's name in a column heading: `block.3.mlp` is `3 mlp`."""
    return re.sub(r"^block\.", "", group).replace(".", " ").replace("embeddings", "emb.")


def _depth(group: str) -> tuple[int, int, str]:
    block = re.match(r"block\.(\d+)(.*)", group)
    if block:
        return 1, int(block[1]), block[2]
    return (0 if group == "embeddings" else 2), 0, group


def _panel(name: str, parameter: Parameter, top: float) -> tuple[str, float]:
    values = [value for of in parameter.values.values() for value in of.values()]
    low, high = min(values), max(values)
    groups = ordered_groups(parameter)
    width = min(WIDEST, (WIDTH - LEFT - RIGHT) / min(len(groups), COLUMNS))
    parts = [text(0, top + 16, name, "f-heading"), _key(low, high, top + 4)]
    y = top + 30
    for first in range(0, len(groups), COLUMNS):
        some = groups[first : first + COLUMNS]
        parts.append(_headings(some, width, y))
        y += _heading_height(some, width)
        for parent, of_parent in parameter.values.items():
            label = "all parents" if parent == SHARED else parent
            parts.append(text(LEFT - 10, y + ROW / 2 + 4, label, text_anchor="end"))
            for column, group in enumerate(some):
                if group in of_parent:
                    tip = f"{name}, {label}, {group}: {of_parent[group]:.4f}"
                    x = LEFT + column * width
                    parts.append(_cell(x, y, width, of_parent[group], (low, high), tip))
            y += ROW
        y += 12
    return "".join(parts), y + GAP - 12


def _cell(
    x: float, y: float, width: float, value: float, limits: tuple[float, float], tip: str
) -> str:
    colour, ink = _colour(value, limits)
    title = element("title", tip)
    drawn = element(
        "rect", title, x=x, y=y, width=width - 1, height=ROW - 1, fill=colour, class_="f-cell"
    )
    if width >= 34:
        middle = x + (width - 1) / 2
        drawn += text(middle, y + ROW / 2 + 4, f"{value:.2f}", f"f-value f-{ink}",
                      text_anchor="middle")  # fmt: skip
    return drawn


def _colour(value: float, limits: tuple[float, float]) -> tuple[str, str]:
    """Colour of a cell, and whether dark or light text can be read on it."""
    low, high = limits
    place = (len(COLOURS) - 1) * ((value - low) / (high - low) if high > low else 0.5)
    step = min(int(place), len(COLOURS) - 2)
    share = place - step
    parts = [
        round(one + share * (other - one))
        for one, other in zip(COLOURS[step], COLOURS[step + 1], strict=True)
    ]
    red, green, blue = ((part / 255) ** 2.2 for part in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    written = "".join(f"{part:02x}" for part in parts)
    return f"#{written}", "on-light" if luminance > 0.18 else "on-dark"


def _headings(groups: Sequence[str], width: float, y: float) -> str:
    if not _turned(groups, width):
        return "".join(
            text(LEFT + (column + 0.5) * width, y + 12, short(group), text_anchor="middle")
            for column, group in enumerate(groups)
        )
    bottom = y + _heading_height(groups, width) - 6
    parts = []
    for column, group in enumerate(groups):
        x = LEFT + (column + 0.5) * width + 4
        turn = f"rotate(-60 {number(x)} {number(bottom)})"
        parts.append(text(x, bottom, short(group), transform=turn))
    return "".join(parts)


def _turned(groups: Sequence[str], width: float) -> bool:
    return max(len(short(group)) for group in groups) * 7 > width


def _heading_height(groups: Sequence[str], width: float) -> float:
    longest = max(len(short(group)) for group in groups)
    return min(150.0, 16 + 6.2 * longest) if _turned(groups, width) else 18.0


def _key(low: float, high: float, top: float) -> str:
    """The scale of colours, at the right of the heading; none for a single value."""
    if low == high:
        return ""
    left, steps = WIDTH - RIGHT - KEY - 44, 32
    parts = [text(left - 8, top + 11, f"{low:.2f}", "f-muted", text_anchor="end")]
    for step in range(steps):
        colour, _ = _colour(step / (steps - 1), (0.0, 1.0))
        x = left + step * KEY / steps
        parts.append(element("rect", x=x, y=top, width=KEY / steps + 0.3, height=14, fill=colour))
    parts.append(text(left + KEY + 8, top + 11, f"{high:.2f}", "f-muted"))
    parts.append(line(left, top + 14, left + KEY, top + 14, "f-axis"))
    return "".join(parts)


def _description(name: str, parameter: Parameter) -> str:
    rows = [
        f"{'all parents' if parent == SHARED else parent} from {min(of.values()):.2f} "
        f"to {max(of.values()):.2f}"
        for parent, of in parameter.values.items()
    ]
    return f"{name}: {', '.join(rows)}."
