"""Figure: fitness by generation, with its spread and the failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from tsugiki.progress.summary import Summary
from tsugiki.report.svg import Figure, Scale, circle, line, number, padded, path, text, ticks

WIDTH, HEIGHT = 860.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 44.0, 64.0

Point = tuple[float, float]


def fitness_figure(stages: Mapping[str, Sequence[Summary]]) -> Figure | None:
    """Draw the stages one after the other; None where nothing is scored yet.

    The band holds the middle half of a generation, the line in it is the median, dots are the
    best of each generation, and the stepped line is the best so far.
    """
    summaries = [summary for stage in stages.values() for summary in stage]
    values = [
        value
        for one in summaries
        for value in (one.best, one.lower, one.best_so_far)
        if value is not None
    ]
    if not values:
        return None
    low, high = padded(values)
    x = Scale(0, max(1, len(summaries) - 1), LEFT + 12, WIDTH - RIGHT - 12)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_axes(x, y, len(summaries)), _legend()]
    first = 0
    for name, stage in stages.items():
        parts.append(_stage(stage, [x(first + index) for index in range(len(stage))], y))
        if len(stages) > 1:
            parts.append(text(x(first), TOP - 6, name))
        if first:
            parts.append(line(x(first - 0.5), TOP, x(first - 0.5), HEIGHT - BOTTOM, "f-divide"))
        first += len(stage)
    return Figure(
        "fitness", "Fitness by generation", _description(stages), WIDTH, HEIGHT, "".join(parts)
    )


def _axes(x: Scale, y: Scale, generations: int) -> str:
    parts = []
    for tick in ticks(y.low, y.high):
        parts.append(line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "f-grid"))
        parts.append(text(LEFT - 8, y(tick) + 4, f"{tick:g}", text_anchor="end"))
    marks = ticks(1, generations, 10) if generations > 1 else [1]
    parts += [
        text(x(tick - 1), HEIGHT - BOTTOM + 20, str(tick), text_anchor="middle")
        for tick in sorted({1, *(int(one) for one in marks)})
    ]
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "f-axis"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(text(middle, HEIGHT - BOTTOM + 40, "generation", "f-title", text_anchor="middle"))
    turned = f"rotate(-90 16 {number((TOP + HEIGHT - BOTTOM) / 2)})"
    height = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(16, height, "fitness", "f-title", text_anchor="middle", transform=turned))
    return "".join(parts)


def _stage(stage: Sequence[Summary], x: Sequence[float], y: Scale) -> str:
    upper = _points(stage, x, y, lambda one: one.upper)
    lower = _points(stage, x, y, lambda one: one.lower)
    parts = [
        path(upper + lower[::-1], "f-band", closed=True),
        path(_points(stage, x, y, lambda one: one.median), "f-median"),
        path(_steps(_points(stage, x, y, lambda one: one.best_so_far)), "f-best"),
    ]
    for index, one in enumerate(stage):
        if one.best is not None and one.median is not None:
            tip = f"generation {one.number + 1}: best {one.best:.4f}, median {one.median:.4f}"
            parts.append(circle(x[index], y(one.best), 3.2, "f-dot", tip))
        if one.failures:
            parts.append(_failures(x[index], one))
    return "".join(parts)


def _failures(x: float, one: Summary) -> str:
    y, reach = HEIGHT - BOTTOM - 9, 3.5
    return (
        line(x - reach, y - reach, x + reach, y + reach, "f-failed")
        + line(x - reach, y + reach, x + reach, y - reach, "f-failed")
        + text(x, y - 7, str(one.failures), "f-failures", text_anchor="middle")
    )


def _legend() -> str:
    y = 18.0
    entries: list[tuple[str, str, float]] = [
        (line(LEFT, y, LEFT + 22, y, "f-best"), "best so far", 28),
        (circle(LEFT + 137, y, 3.2, "f-dot"), "best of the generation", 147),
        (line(LEFT + 318, y, LEFT + 340, y, "f-median"), "median", 346),
        (path(_box(LEFT + 418, y), "f-band", closed=True), "middle half", 446),
        (_cross(LEFT + 556, y), "failed candidates", 566),
    ]
    return "".join(mark + text(LEFT + offset, y + 4, label) for mark, label, offset in entries)


def _box(x: float, y: float) -> list[Point]:
    return [(x, y - 6), (x + 22, y - 6), (x + 22, y + 6), (x, y + 6)]


def _cross(x: float, y: float) -> str:
    return line(x - 4, y - 4, x + 4, y + 4, "f-failed") + line(
        x - 4, y + 4, x + 4, y - 4, "f-failed"
    )


def _points(
    stage: Sequence[Summary],
    x: Sequence[float],
    y: Scale,
    value: Callable[[Summary], float | None],
) -> list[Point]:
    """Pixels of one number over the generations, leaving out those without it."""
    values = [(index, value(one)) for index, one in enumerate(stage)]
    return [(x[index], y(known)) for index, known in values if known is not None]


def _steps(points: Sequence[Point]) -> list[Point]:
    """Turn a line into stairs: a value holds until the next one."""
    stairs = list(points[:1])
    for before, after in pairwise(points):
        stairs += [(after[0], before[1]), after]
    return stairs


def _description(stages: Mapping[str, Sequence[Summary]]) -> str:
    sentences = []
    for name, stage in stages.items():
        best = [one.best_so_far for one in stage if one.best_so_far is not None]
        failed = sum(one.failures for one in stage)
        if best:
            sentences.append(
                f"Stage {name}: in {len(stage)} generations the best fitness went from "
                f"{best[0]:.4f} to {best[-1]:.4f}; {failed} candidates failed."
            )
    return " ".join(sentences)
