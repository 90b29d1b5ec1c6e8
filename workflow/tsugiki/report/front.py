"""Figure: the Pareto front; two objectives as a scatter, more of them as parallel coordinates.

Marks differ in shape and size, not in colour alone: rings are candidates, diamonds the front, the star is the
winner, and squares are the models that were merged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from tsugiki.finalists.front import Front
from tsugiki.finalists.table import FinalTable, shown
from tsugiki.report.svg import (
    Figure,
    Scale,
    axes,
    circle,
    line,
    padded,
    path,
    rectangle,
    text,
    ticks,
)

WIDTH, HEIGHT = 860.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 76.0, 110.0, 48.0, 60.0
KINDS = ("parent", "base")

Point = tuple[float, float]
Values = Mapping[str, float]
"""By objective."""


def front_figure(
    front: Front | None, candidates: Sequence[Values], table: FinalTable | None
) -> Figure | None:
    """Draw the candidates of the last stage on the search items, and who of them no other one beats.

    `candidates` are the values of all that were scored; `table` names the winner and the models that were merged.
    """
    if front is None or not front.members:
        return None
    names = list(front.weights)
    winner = None if table is None else table.row(table.winner).recipe
    models = {} if table is None else _models(table, names)
    draw = _scatter if len(names) == 2 else _parallel
    body = draw(front, candidates, winner, models)
    description = "; ".join(
        f"{one.id}{' (the winner)' if one.recipe == winner else ''}: "
        + ", ".join(f"{name} {shown(one.search[name])}" for name in names)
        for one in front.members
    )
    title = f"The Pareto front of {', '.join(names[:-1])} and {names[-1]} on the search items"
    return Figure("front", title, description, WIDTH, HEIGHT, body)


def _models(table: FinalTable, names: Sequence[str]) -> dict[str, Values]:
    """What the models that were merged scored on the search items, by name."""
    found: dict[str, Values] = {}
    for row in table.rows:
        values = {name: row.of(name).search for name in names}
        known = {name: value for name, value in values.items() if value is not None}
        if row.kind in KINDS and len(known) == len(names):
            found[row.name] = known
    return found


def _scatter(
    front: Front, candidates: Sequence[Values], winner: str | None, models: Mapping[str, Values]
) -> str:
    across, up = front.weights
    shown_ = [*candidates, *models.values(), *(one.search for one in front.members)]
    x = Scale(*padded([one[across] for one in shown_]), LEFT, WIDTH - RIGHT)
    y = Scale(*padded([one[up] for one in shown_]), HEIGHT - BOTTOM, TOP)
    ground = axes(
        (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        [(x(one), f"{one:g}") for one in ticks(x.low, x.high)],
        [(y(one), f"{one:g}") for one in ticks(y.low, y.high)],
        _better(front, across),
        _better(front, up),
        grid=True,
    )
    parts = [ground, _legend(bool(models))]
    parts += [
        circle(x(one[across]), y(one[up]), 2.6, "f-path f-candidate", _tip("", one))
        for one in candidates
    ]
    corners = _steps(front, across, up)
    parts.append(path([(x(one), y(other)) for one, other in corners], "f-median"))
    for name, one in models.items():
        at = (x(one[across]), y(one[up]))
        parts.append(rectangle(at[0] - 5, at[1] - 5, 10, 10, "f-bar f-parent", _tip(name, one)))
        parts.append(text(at[0] + 9, at[1] + 4, name))
    for member in front.members:
        at = (x(member.search[across]), y(member.search[up]))
        parts.append(_mark(at, won=member.recipe == winner))
    return "".join(parts)


def _steps(front: Front, across: str, up: str) -> list[Point]:
    """The border of what the front is at least as good as, from one end to the other."""
    points = sorted({(one.search[across], one.search[up]) for one in front.members})
    # between neighbours the corner is the worse value of each: on the side away from the ideal
    worse = min if front.weights[up] > 0 else max
    outward = front.weights[across] > 0
    found = points[:1]
    for before, after in pairwise(points):
        corner = (before[0] if outward else after[0], worse(before[1], after[1]))
        found += [corner, after]
    return found


def _parallel(
    front: Front, candidates: Sequence[Values], winner: str | None, models: Mapping[str, Values]
) -> str:
    names = list(front.weights)
    x = Scale(0, len(names) - 1, LEFT + 24, WIDTH - RIGHT - 24)
    scales: dict[str, Scale] = {}
    parts = []
    for place, name in enumerate(names):
        values = [one[name] for one in (*candidates, *models.values())]
        low, high = padded([*values, *(one.search[name] for one in front.members)])
        ends = (HEIGHT - BOTTOM, TOP) if front.weights[name] > 0 else (TOP, HEIGHT - BOTTOM)
        scales[name] = y = Scale(low, high, *ends)
        parts.append(line(x(place), TOP, x(place), HEIGHT - BOTTOM, "f-axis"))
        parts += [
            text(x(place) - 6, y(one) + 4, f"{one:g}", text_anchor="end")
            for one in ticks(low, high)
        ]
        title = _better(front, name)
        parts.append(text(x(place), HEIGHT - BOTTOM + 28, title, "f-title", text_anchor="middle"))
    parts.append(text(LEFT, 20, "better is higher on every axis", "f-muted"))

    def points(values: Values) -> list[Point]:
        return [(x(place), scales[name](values[name])) for place, name in enumerate(names)]

    for name, one in models.items():
        parts.append(path(points(one), "f-divide"))
        parts.append(text(points(one)[-1][0] + 10, points(one)[-1][1] + 4, name))
    # the winner last, so that it lies above the others
    for member in sorted(front.members, key=lambda one: one.recipe == winner):
        won = member.recipe == winner
        parts.append(path(points(member.search), "f-best" if won else "f-median"))
        parts += [_mark(at, won=won) for at in points(member.search)]
    parts.append(_legend(bool(models), dashed=True))
    return "".join(parts)


def _better(front: Front, name: str) -> str:
    return f"{name} ({'larger' if front.weights[name] > 0 else 'smaller'} is better)"


def _tip(name: str, values: Values) -> str:
    said = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
    return f"{name}: {said}" if name else said


def _mark(at: Point, *, won: bool) -> str:
    """A star for the winner, a diamond for the others on the front."""
    if not won:
        x, y = at
        corners = [(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)]
        return path(corners, "f-lane f-lane-0 f-member", closed=True)
    turns = [math.pi * (step / 5 - 0.5) for step in range(10)]
    reach = [(10.0, 4.2)[step % 2] for step in range(10)]
    star = [
        (at[0] + far * math.cos(turn), at[1] + far * math.sin(turn))
        for far, turn in zip(reach, turns, strict=True)
    ]
    return path(star, "f-evolved f-winner", closed=True)


def _legend(models: bool, *, dashed: bool = False) -> str:
    """What marks stand for; where candidates are lines, those of models are dashed and others not told."""
    y, left = 20.0, LEFT + (220 if dashed else 0)
    parts = []

    def add(mark: str, label: str, room: float) -> None:
        nonlocal left
        parts.append(mark + text(left + 20, y, label))
        left += room

    if not dashed:
        add(circle(left + 6, y - 4, 2.6, "f-path"), "candidate", 100)
    add(_mark((left + 6, y - 4), won=False), "on the front", 120)
    add(_mark((left + 6, y - 4), won=True), "winner", 90)
    if models:
        square = rectangle(left + 1, y - 9, 10, 10, "f-bar f-parent")
        stroke = line(left - 6, y - 4, left + 14, y - 4, "f-divide")
        add(stroke if dashed else square, "model that was merged", 0)
    return "".join(parts)
