"""Figure: held-out scores of all models as bars, with the ends of their intervals."""

from __future__ import annotations

from tsugiki.finalists.table import Comparison, FinalTable, Row, ranked_rows, shown, shown_range
from tsugiki.report.svg import Figure, Scale, axis_of_bars, line, rectangle, text

WIDTH = 860.0
LEFT, RIGHT, TOP, BOTTOM = 260.0, 150.0, 36.0, 44.0
PITCH, BAR = 30.0, 16.0
LEGEND = {
    "evolved": 90.0,
    "finalist": 90.0,
    "stage": 80.0,
    "rival": 80.0,
    "parent": 85.0,
    "base": 75.0,
    "baseline": 0.0,
}
"""Kinds of rows, with the room that each takes in the legend."""


def comparison_figure(table: FinalTable, on: Comparison) -> Figure | None:
    """Draw the models on a measure, best first; None where none has a score."""
    rows = [row for row in ranked_rows(table, on) if on.objective in row.test]
    if not rows:
        return None
    intervals = [row.test[on.objective] for row in rows]
    height = TOP + PITCH * len(rows) + BOTTOM
    # bars begin at 0, which a weighted sum of what is minimised may be below
    low, high = (
        min(0.0, *(one.low for one in intervals)),
        max(0.0, *(one.high for one in intervals)),
    )
    x = Scale(low, max(high, low + 1e-9), LEFT, WIDTH - RIGHT)
    parts = [
        _legend({row.kind for row in rows}),
        axis_of_bars(x, TOP, height - BOTTOM, on.objective),
    ]
    parts += [_bar(table, on, row, x, TOP + PITCH * index) for index, row in enumerate(rows)]
    description = "; ".join(
        f"{row.name} {shown(one.value)} ({shown_range(one)})"
        for row, one in zip(rows, intervals, strict=True)
    )
    title = f"{on.objective} on held-out items, with 95 % intervals"
    data = [
        ("model", "kind", on.objective, "low", "high", "items"),
        *(
            (row.name, row.kind, one.value, one.low, one.high, one.items)
            for row, one in zip(rows, intervals, strict=True)
        ),
    ]
    return Figure(figure_name(on, table), title, description, WIDTH, height, "".join(parts), data)


def figure_name(on: Comparison, table: FinalTable) -> str:
    """The name of a measure's figure; plain for the one that chose the winner."""
    return "comparison" if on is table else f"comparison-{on.objective}"


def _bar(table: FinalTable, on: Comparison, row: Row, x: Scale, top: float) -> str:
    interval = row.test[on.objective]
    middle = top + PITCH / 2
    start, end = sorted((x(0), x(interval.value)))
    weight = "f-strong" if row.name == table.winner else "f-label"
    return "".join(
        [
            text(LEFT - 66, middle + 4, _short(row.name), weight, text_anchor="end"),
            text(LEFT - 60, middle + 4, row.kind, "f-muted"),
            rectangle(start, middle - BAR / 2, end - start, BAR, f"f-bar f-{row.kind}", row.name),
            line(x(interval.low), middle, x(interval.high), middle, "f-whisker"),
            line(x(interval.low), middle - 4, x(interval.low), middle + 4, "f-whisker"),
            line(x(interval.high), middle - 4, x(interval.high), middle + 4, "f-whisker"),
            text(WIDTH - RIGHT + 12, middle + 4, shown(interval.value), f"{weight} f-number"),
            text(WIDTH - RIGHT + 58, middle + 4, shown_range(interval), "f-muted f-number"),
        ]
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"


def _legend(kinds: set[str]) -> str:
    parts, left = [], LEFT
    for kind, room in LEGEND.items():
        if kind not in ("stage", "rival") or kind in kinds:
            parts.append(rectangle(left, 10, 12, 12, f"f-bar f-{kind}"))
            parts.append(text(left + 18, 20, kind))
            left += room
    return "".join(parts)
