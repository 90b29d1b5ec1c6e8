"""What a run took: sums over its candidates, and what Snakemake measured of its jobs."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from tsugiki.contracts.outcome import Cost
from tsugiki.report.svg import Figure, Scale, axis_of_bars, rectangle, text

WIDTH, LEFT, RIGHT, TOP, BOTTOM, PITCH = 860.0, 130.0, 120.0, 36.0, 44.0, 32.0
PARTS = (("merging", "f-merge"), ("scoring", "f-forward"), ("other", "f-other"))


@dataclass(frozen=True)
class PhaseCost:
    """Sums over the distinct candidates of a phase."""

    phase: str
    candidates: int
    merging: float
    """Seconds."""
    scoring: float
    other: float
    tokens: int
    answers: int = 0
    """Documents that were answered, once for all objectives of a task."""

    @property
    def total(self) -> float:
        """Seconds."""
        return self.merging + self.scoring + self.other


@dataclass(frozen=True)
class StepCost:
    """All jobs of one step of the workflow."""

    step: str
    jobs: int
    seconds: float
    """Sum of wall times."""
    memory: float
    """Largest resident memory of a job, in MB; 0 where it was not measured."""


def phase_cost(phase: str, costs: Iterable[Cost], answers: int = 0) -> PhaseCost:
    """Sum up a phase."""
    known = list(costs)
    merging = sum(cost.seconds_merge for cost in known)
    scoring = sum(cost.seconds_forward for cost in known)
    total = sum(cost.seconds_total for cost in known)
    other = max(0.0, total - merging - scoring)
    tokens = sum(cost.tokens for cost in known)
    return PhaseCost(phase, len(known), merging, scoring, other, tokens, answers)


def step_costs(folder: Path) -> list[StepCost]:
    """Sum up Snakemake's benchmark files below a folder, by step; none if there is no folder.

    A file is named after its step, with the number of the job where there are several.
    """
    measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        step = re.sub(r"-\d+$", "", path.stem)
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                seconds = _number(row.get("s"))
                measured[step].append((seconds, _number(row.get("max_rss"))))
    return [
        StepCost(step, len(jobs), sum(s for s, _ in jobs), max(memory for _, memory in jobs))
        for step, jobs in measured.items()
    ]


def cost_figure(costs: list[PhaseCost]) -> Figure | None:
    """Draw the seconds of each phase; None where nothing was measured."""
    costs = [cost for cost in costs if cost.total > 0]
    if not costs:
        return None
    height = TOP + PITCH * len(costs) + BOTTOM
    x = Scale(0, max(cost.total for cost in costs), LEFT, WIDTH - RIGHT)
    parts = [axis_of_bars(x, TOP, height - BOTTOM, "seconds")]
    for index, (name, class_) in enumerate(PARTS):
        parts.append(rectangle(LEFT + 100 * index, 10, 12, 12, f"f-bar {class_}"))
        parts.append(text(LEFT + 100 * index + 18, 20, name))
    for index, cost in enumerate(costs):
        parts.append(_bar(cost, x, TOP + PITCH * index))
    description = "; ".join(f"{cost.phase} {cost.total:.0f} seconds" for cost in costs)
    title = "Seconds spent on candidates"
    data = [
        ("phase", "candidates", *(f"seconds_{name}" for name, _ in PARTS), "tokens", "answers"),
        *(astuple(one) for one in costs),
    ]
    return Figure("cost", title, description, WIDTH, height, "".join(parts), data)


def _bar(cost: PhaseCost, x: Scale, top: float) -> str:
    middle = top + PITCH / 2
    parts = [text(LEFT - 10, middle + 4, cost.phase, text_anchor="end")]
    start = 0.0
    for name, class_ in PARTS:
        seconds: float = getattr(cost, name)
        tip = f"{cost.phase}, {name}: {seconds:.1f} s"
        width = x(start + seconds) - x(start)
        parts.append(rectangle(x(start), middle - 9, width, 18, f"f-bar {class_}", tip))
        start += seconds
    parts.append(text(x(cost.total) + 8, middle + 4, f"{cost.total:.0f} s", "f-label f-number"))
    return "".join(parts)


def _number(written: str | None) -> float:
    """A field of a benchmark file; Snakemake writes `NA` or `-` for what it could not measure."""
    try:
        return float(written or "")
    except ValueError:
        return 0.0
