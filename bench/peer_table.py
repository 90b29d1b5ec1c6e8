"""The table of a comparison of searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One search; times in seconds."""

    name: str
    jobs: int
    """Processes that score candidates at the same time."""
    candidates: int
    wall: float
    start: float
    """Part of `wall` before the first candidate."""
    forward: float
    """In forward passes, summed over candidates."""
    cpu: float
    """CPU time of all processes."""
    best: float
    """Score of the best candidate: shows that the search did score merges."""

    @property
    def ratio(self) -> float:
        """Wall time over that of the forward passes alone on the same number of processes."""
        return self.wall / (self.forward / self.jobs)

    @property
    def outside(self) -> float:
        """Seconds of a process per candidate, outside of forward passes, the start included."""
        return (self.wall * self.jobs - self.forward) / self.candidates

    @property
    def outside_after_start(self) -> float:
        """The same without the start, which is paid once."""
        return ((self.wall - self.start) * self.jobs - self.forward) / self.candidates


def print_table(rows: Sequence[Measured]) -> None:
    """Print the searches; the first is what the others are compared with."""
    print(
        f"\n| {'':26} | candidates | wall | start | per candidate | forward | outside"
        " | outside, after start | relative | wall / forward | CPU | best |"
    )
    print("|---" * 12 + "|")
    for row in rows:
        n = row.candidates
        print(
            f"| {row.name:26} | {n} | {row.wall:.1f} | {row.start:.1f} | {row.wall / n:.2f}"
            f" | {row.forward / n:.3f} | {row.outside:.2f} | {row.outside_after_start:.2f}"
            f" | {row.outside_after_start / rows[0].outside_after_start:.1f}"
            f" | {row.ratio:.2f} | {row.cpu / n:.2f} | {row.best:.3f} |"
        )
    print(
        "\nSeconds; from `per candidate` on divided by the number of candidates, ratios aside."
        "\noutside: of forward passes, times the processes that score at the same time."
        "\nrelative: outside, after start, against the first row."
        "\nCPU: of all processes, without those of Ray that score nothing."
        "\ntsugiki keeps and digests each recipe, score and answer; mergenetic keeps a table of genes"
        "\nand scores; mergekit-evolve keeps the best recipe, and computes in bfloat16."
    )
