"""Figures by generation: what a search came to, how much of what it sees is signal, how far it looks and moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from tsugiki.progress.diagnosis import Diagnosis
from tsugiki.progress.summary import Course, Summary
from tsugiki.report.svg import Figure, Scale, axes, circle, cross, line, padded, path, text, ticks

WIDTH, LEFT, RIGHT, TOP = 860.0, 64.0, 20.0, 44.0
HEIGHT, BOTTOM = 380.0, 64.0
LOW_HEIGHT, LOW_BOTTOM = 240.0, 56.0
"""Of the figures of signal and movement."""
NUMBERS = ("best_so_far", "best", "upper", "median", "lower")

T = TypeVar("T")
Point = tuple[float, float]
Courses = Mapping[str, Sequence[tuple[Summary, Course]]]
"""One measure, by stage and generation."""
Diagnoses = Mapping[str, Sequence[Diagnosis]]
"""By stage."""
Series = Sequence[tuple[str, str, Callable[[Diagnosis], float | None]]]
"""Label, class of the line, and value."""

MOVEMENT: Series = (
    ("step", "f-lane-0", lambda one: one.step),
    ("distance between candidates", "f-lane-1 f-dashed", lambda one: one.diversity),
    ("moved since the generation before", "f-lane-2 f-dotted", lambda one: one.moved),
)
SIGNAL: Series = (("share of the variance that is signal", "f-lane-0", lambda one: one.signal),)


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
    `measure` is the objective, None for the fitness.
    """
    label = measure or "fitness"
    summaries = [one for stage in stages.values() for _, one in stage]
    values = [
        value
        for one in summaries
        for value in (one.best, one.lower, one.upper, one.best_so_far)
        if value is not None
    ]
    if not values:
        return None
    x = _generations(len(summaries))
    y = Scale(*padded(values), HEIGHT - BOTTOM, TOP)
    parts = [_axes(x, y, len(summaries), title=label), _legend()]
    for first, name, stage in _in_order(stages):
        parts.append(_stage(stage, first, x, y))
        if len(stages) > 1:
            parts.append(text(x(first), TOP - 6, name))
        parts.append(_divide(first, x, y))
    return Figure(
        search_name(measure),
        f"{measure or 'Fitness'} by generation",
        _description(stages, label),
        WIDTH,
        HEIGHT,
        "".join(parts),
        [
            ("stage", "generation", "candidates", "failed", *NUMBERS),
            *(
                (
                    *(name, one.number + 1, one.candidates, one.failures),
                    *(getattr(of, key) for key in NUMBERS),
                )
                for name, stage in stages.items()
                for one, of in stage
            ),
        ],
    )


def signal_figure(stages: Diagnoses) -> Figure | None:
    """Draw the share of a generation's variance that is signal; None where nothing is known of it."""
    return _lines("signal", "Signal by generation", stages, SIGNAL, most=1.0)


def movement_figure(stages: Diagnoses) -> Figure | None:
    """Draw step, diversity and distance moved; None where nothing is known of them."""
    return _lines("movement", "Step and movement by generation", stages, MOVEMENT)


def sentences(stages: Diagnoses) -> dict[str, str]:
    """What the figures of signal and movement say of the last generation of each stage, by the figure's name."""
    found: dict[str, list[str]] = {"signal": [], "movement": []}
    for name, stage in stages.items():
        where = f"stage {name}: " if len(stages) > 1 else ""
        first, last = stage[0], stage[-1]
        if last.signal is not None:
            found["signal"].append(f"{where}{last.signal:.0%} in the last generation")
        numbers = [
            f"{what} {before:.3g} → {after:.3g}"
            for what, before, after in (
                ("step", first.step, last.step),
                ("condition number of the covariance", first.condition, last.condition),
                ("distance between candidates", first.diversity, last.diversity),
            )
            if before is not None and after is not None
        ]
        if numbers:
            found["movement"].append(f"{where}{', '.join(numbers)}")
    return {name: "; ".join(words) for name, words in found.items()}


def _lines(
    name: str, title: str, stages: Diagnoses, series: Series, most: float | None = None
) -> Figure | None:
    everything = [one for stage in stages.values() for one in stage]
    known = [value for _, _, of in series for one in everything if (value := of(one)) is not None]
    if not known:
        return None
    x = _generations(len(everything))
    y = Scale(0.0, most or max(*known, 1e-9) * 1.05, LOW_HEIGHT - LOW_BOTTOM, TOP)
    parts = [_axes(x, y, len(everything), most=4)]
    for first, _, stage in _in_order(stages):
        parts.append(_divide(first, x, y))
        for label, class_, of in series:
            values = [of(one) for one in stage]
            parts.append(path(_points(values, first, x, y), f"f-lane {class_} f-line"))
            for index, value in enumerate(values, first):
                if value is not None:
                    tip = f"generation {index + 1}: {label} {value:.3g}"
                    parts.append(circle(x(index), y(value), 2.6, f"f-lane {class_}", tip))
    left = LEFT
    for label, class_, _ in series:
        parts.append(line(left, 18, left + 24, 18, f"f-lane {class_} f-line"))
        parts.append(circle(left + 12, 18, 2.6, f"f-lane {class_}"))
        parts.append(text(left + 30, 22, label))
        left += 56 + 6.6 * len(label)
    data = [
        ("stage", "generation", *(label for label, _, _ in series)),
        *(
            (stage, one.number + 1, *(of(one) for _, _, of in series))
            for stage, generations in stages.items()
            for one in generations
        ),
    ]
    words = sentences(stages)[name]
    return Figure(name, title, words, WIDTH, LOW_HEIGHT, "".join(parts), data)


def _in_order(stages: Mapping[str, Sequence[T]]) -> Iterator[tuple[int, str, Sequence[T]]]:
    """Each stage, with the number of generations before it and its name."""
    first = 0
    for name, stage in stages.items():
        yield first, name, stage
        first += len(stage)


def _generations(count: int) -> Scale:
    return Scale(0, max(1, count - 1), LEFT + 12, WIDTH - RIGHT - 12)


def _axes(x: Scale, y: Scale, count: int, *, most: int = 6, title: str = "") -> str:
    marks = ticks(1, count, 10) if count > 1 else [1]
    return axes(
        (LEFT, TOP, WIDTH - RIGHT, y.start),
        [(x(tick - 1), str(tick)) for tick in sorted({1, *(int(one) for one in marks)})],
        [(y(tick), f"{tick:g}") for tick in ticks(y.low, y.high, most)],
        "generation",
        title,
    )


def _divide(first: int, x: Scale, y: Scale) -> str:
    """The line before a stage that is not the first one."""
    at = x(first - 0.5)
    return line(at, TOP, at, y.start, "f-divide") if first else ""


def _points(values: Iterable[float | None], first: int, x: Scale, y: Scale) -> list[Point]:
    """Pixels of one number over the generations, leaving out those without it."""
    found = enumerate(values, first)
    return [(x(index), y(value)) for index, value in found if value is not None]


def _stage(stage: Sequence[tuple[Summary, Course]], first: int, x: Scale, y: Scale) -> str:
    upper, lower, median, best = (
        _points([getattr(one, key) for _, one in stage], first, x, y)
        for key in ("upper", "lower", "median", "best_so_far")
    )
    parts = [
        path(upper + lower[::-1], "f-band", closed=True),
        path(median, "f-median"),
        path(_stairs(best), "f-best"),
    ]
    for index, (summary, one) in enumerate(stage, first):
        if one.best is not None and one.median is not None:
            tip = f"generation {summary.number + 1}: best {one.best:.4f}, median {one.median:.4f}"
            parts.append(circle(x(index), y(one.best), 3.2, "f-dot", tip))
        if summary.failures:
            above, at = y.start - 9, x(index)
            failed = text(at, above - 7, str(summary.failures), "f-failures", text_anchor="middle")
            parts.append(cross(at, above, 3.5, "f-failed") + failed)
    return "".join(parts)


def _stairs(points: Sequence[Point]) -> list[Point]:
    """Turn a line into stairs: a value holds until the next one."""
    stairs = list(points[:1])
    for before, after in pairwise(points):
        stairs += [(after[0], before[1]), after]
    return stairs


def _legend() -> str:
    y, left = 18.0, LEFT + 418
    box = [(left, y - 6), (left + 22, y - 6), (left + 22, y + 6), (left, y + 6)]
    entries: list[tuple[str, str, float]] = [
        (line(LEFT, y, LEFT + 22, y, "f-best"), "best so far", 28),
        (circle(LEFT + 137, y, 3.2, "f-dot"), "best of the generation", 147),
        (line(LEFT + 318, y, LEFT + 340, y, "f-median"), "median", 346),
        (path(box, "f-band", closed=True), "middle half", 446),
        (cross(LEFT + 556, y, 4, "f-failed"), "failed candidates", 566),
    ]
    return "".join(mark + text(LEFT + offset, y + 4, label) for mark, label, offset in entries)


def _description(stages: Courses, label: str) -> str:
    found = []
    for name, stage in stages.items():
        best = [one.best_so_far for _, one in stage if one.best_so_far is not None]
        failed = sum(summary.failures for summary, _ in stage)
        if best:
            found.append(
                f"Stage {name}: in {len(stage)} generations the best {label} went from "
                f"{best[0]:.4f} to {best[-1]:.4f}; {failed} candidates failed."
            )
    return " ".join(found)
