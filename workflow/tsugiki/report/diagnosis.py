"""Figures: how the search goes, by generation: what it sees of signal, and how far it looks and moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tsugiki.progress.diagnosis import Diagnosis
from tsugiki.report.svg import Figure, Scale, axes_by_generation, circle, line, path, text

WIDTH, HEIGHT = 860.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 44.0, 56.0

Stages = Mapping[str, Sequence[Diagnosis]]
Value = Callable[[Diagnosis], float | None]

MOVEMENT: tuple[tuple[str, str, Value], ...] = (
    ("step", "f-lane-0", lambda one: one.step),
    ("distance between candidates", "f-lane-1 f-dashed", lambda one: one.diversity),
    ("moved since the generation before", "f-lane-2 f-dotted", lambda one: one.moved),
)
SIGNAL: tuple[tuple[str, str, Value], ...] = (
    ("share of the variance that is signal", "f-lane-0", lambda one: one.signal),
)


def signal_figure(stages: Stages) -> Figure | None:
    """Draw the share of a generation's variance that is signal; None where nothing is known of it."""
    return _figure("signal", "Signal by generation", stages, SIGNAL, most=1.0)


def movement_figure(stages: Stages) -> Figure | None:
    """Draw step, diversity and distance moved; None where nothing is known of them."""
    return _figure("movement", "Step and movement by generation", stages, MOVEMENT)


def sentences(stages: Stages) -> dict[str, str]:
    """What each figure says of the last generation of each stage, by the figure's name."""
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


def _figure(
    name: str,
    title: str,
    stages: Stages,
    series: Sequence[tuple[str, str, Value]],
    most: float | None = None,
) -> Figure | None:
    everything = [one for stage in stages.values() for one in stage]
    known = [value for _, _, of in series for one in everything if (value := of(one)) is not None]
    if not known:
        return None
    x = Scale(0, max(1, len(everything) - 1), LEFT + 12, WIDTH - RIGHT - 12)
    y = Scale(0.0, most or max(*known, 1e-9) * 1.05, HEIGHT - BOTTOM, TOP)
    parts = [axes_by_generation(x, y, len(everything), most=4)]
    first = 0
    for stage in stages.values():
        if first:
            parts.append(line(x(first - 0.5), TOP, x(first - 0.5), HEIGHT - BOTTOM, "f-divide"))
        for label, class_, of in series:
            parts.append(_line(stage, first, of, label, class_, x, y))
        first += len(stage)
    left = LEFT
    for label, class_, _ in series:
        parts.append(line(left, 18, left + 24, 18, f"f-lane {class_} f-line"))
        parts.append(circle(left + 12, 18, 2.6, f"f-lane {class_}"))
        parts.append(text(left + 30, 22, label))
        left += 56 + 6.6 * len(label)
    words = sentences(stages)[name]
    data: list[tuple[object, ...]] = [("stage", "generation", *(label for label, _, _ in series))]
    data += [
        (stage, one.number + 1, *(of(one) for _, _, of in series))
        for stage, generations in stages.items()
        for one in generations
    ]
    return Figure(name, title, words, WIDTH, HEIGHT, "".join(parts), data)


def _line(
    stage: Sequence[Diagnosis], first: int, of: Value, label: str, class_: str, x: Scale, y: Scale
) -> str:
    values = [(index, of(one)) for index, one in enumerate(stage, first)]
    known = [(index, value) for index, value in values if value is not None]
    dots = (
        circle(
            x(index),
            y(value),
            2.6,
            f"f-lane {class_}",
            f"generation {index + 1}: {label} {value:.3g}",
        )
        for index, value in known
    )
    return path(
        [(x(index), y(value)) for index, value in known], f"f-lane {class_} f-line"
    ) + "".join(dots)
