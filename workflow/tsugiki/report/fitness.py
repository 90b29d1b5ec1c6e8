"""Figures: what the search came to, by generation, with its spread and the failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from tsugiki.progress.summary import Course, Summary
from tsugiki.report.svg import Figure, Scale, axes_by_generation, circle, line, padded, path, text

WIDTH, HEIGHT = 860.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 44.0, 64.0
NUMBERS = ("best_so_far", "best", "upper", "median", "lower")

Point = tuple[float, float]
Courses = Mapping[str, Sequence[tuple[Summary, Course]]]
"""One measure, by stage and generation."""


def courses(stages: Mapping[str, Sequence[Summary]]) -> dict[str | None, Courses]:
    """What there is to show: the fitness (None), where a stage has one, and each of several objectives."""
    weighed = {
        name: [(one, one.fitness) for one in stage if one.fitness is not None]
        for name, stage in stages.items()
    }
    found: dict[str | None, Courses] = {None: {name: of for name, of in weighed.items() if of}}
    everything = [one for stage in stages.values() for one in stage]
    for objective in dict.fromkeys(name for one in everything for name in one.objectives):
        found[objective] = {
            name: [(one, one.objectives[objective]) for one in stage]
            for name, stage in stages.items()
        }
    return {measure: of for measure, of in found.items() if of}


def search_name(measure: str | None) -> str:
    """Name of the figure of the fitness (None), or of an objective."""
    return "fitness" if measure is None else f"fitness-{measure}"


def fitness_figure(measure: str | None, stages: Courses) -> Figure | None:
    """Draw the stages one after the other; None where nothing is scored yet.

    The band holds the middle half of a generation, the line in it is the median, dots are the
    best of each generation, and the stepped line is the best so far.

    Args:
        measure: The objective; None for the fitness.
        stages: Its numbers, by stage and generation.
    """
    label = measure or "fitness"
    summaries = [one for stage in stages.values() for one in stage]
    values = [
        value
        for _, one in summaries
        for value in (one.best, one.lower, one.upper, one.best_so_far)
        if value is not None
    ]
    if not values:
        return None
    low, high = padded(values)
    x = Scale(0, max(1, len(summaries) - 1), LEFT + 12, WIDTH - RIGHT - 12)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [axes_by_generation(x, y, len(summaries), title=label), _legend()]
    first = 0
    for name, stage in stages.items():
        parts.append(_stage(stage, [x(first + index) for index in range(len(stage))], y))
        if len(stages) > 1:
            parts.append(text(x(first), TOP - 6, name))
        if first:
            parts.append(line(x(first - 0.5), TOP, x(first - 0.5), HEIGHT - BOTTOM, "f-divide"))
        first += len(stage)
    title, words = f"{measure or 'Fitness'} by generation", _description(stages, label)
    data: list[tuple[object, ...]] = [("stage", "generation", "candidates", "failed", *NUMBERS)]
    data += [
        (name, one.number + 1, one.candidates, one.failures, *(getattr(of, key) for key in NUMBERS))
        for name, stage in stages.items()
        for one, of in stage
    ]
    return Figure(search_name(measure), title, words, WIDTH, HEIGHT, "".join(parts), data)


def _stage(stage: Sequence[tuple[Summary, Course]], x: Sequence[float], y: Scale) -> str:
    upper = _points(stage, x, y, lambda one: one.upper)
    lower = _points(stage, x, y, lambda one: one.lower)
    parts = [
        path(upper + lower[::-1], "f-band", closed=True),
        path(_points(stage, x, y, lambda one: one.median), "f-median"),
        path(_steps(_points(stage, x, y, lambda one: one.best_so_far)), "f-best"),
    ]
    for index, (summary, one) in enumerate(stage):
        if one.best is not None and one.median is not None:
            tip = f"generation {summary.number + 1}: best {one.best:.4f}, median {one.median:.4f}"
            parts.append(circle(x[index], y(one.best), 3.2, "f-dot", tip))
        if summary.failures:
            parts.append(_failures(x[index], summary))
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
    stage: Sequence[tuple[Summary, Course]],
    x: Sequence[float],
    y: Scale,
    value: Callable[[Course], float | None],
) -> list[Point]:
    """Pixels of one number over the generations, leaving out those without it."""
    values = [(index, value(one)) for index, (_, one) in enumerate(stage)]
    return [(x[index], y(known)) for index, known in values if known is not None]


def _steps(points: Sequence[Point]) -> list[Point]:
    """Turn a line into stairs: a value holds until the next one."""
    stairs = list(points[:1])
    for before, after in pairwise(points):
        stairs += [(after[0], before[1]), after]
    return stairs


def _description(stages: Courses, label: str) -> str:
    sentences = []
    for name, stage in stages.items():
        best = [one.best_so_far for _, one in stage if one.best_so_far is not None]
        failed = sum(summary.failures for summary, _ in stage)
        if best:
            sentences.append(
                f"Stage {name}: in {len(stage)} generations the best {label} went from "
                f"{best[0]:.4f} to {best[-1]:.4f}; {failed} candidates failed."
            )
    return " ".join(sentences)
