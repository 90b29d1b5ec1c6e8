"""The final table for a terminal.

The final table: held-out scores of the winner and of all it is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from tsugiki.canonical import pretty_json
from tsugiki.contracts.data import Data
from tsugiki.evaluate.statistics import CONFIDENCE, Interval
from tsugiki.json_files import read_json

Kind = Literal["evolved", "finalist", "stage", "parent", "base", "baseline"]


class Difference(Data):
    """The winner's score minus a row's, on the same test items."""

    value: float
    low: float
    """Lower end of the paired bootstrap interval."""
    high: float
    """Upper end."""
    items: int
    gained: int
    """Items on which the winner is better."""
    lost: int
    """Items on which the row is better."""
    p: float
    """Two-sided p-value of the paired test."""
    p_holm: float
    """The same, adjusted for the number of rows."""


class Row(Data):
    """One model."""

    name: str
    kind: Kind
    """`evolved` is the winner; `finalist` one that validation did not choose; `stage` the winner
    of an earlier stage."""
    recipe: str
    """Digest of its recipe."""
    method: str | None = None
    """Merge method of its recipe; None for a parent or the base, which are not merged."""
    search: float | None = None
    """Main objective on the search items, where it was measured."""
    validation: float | None = None
    """Main objective on the validation items, where it was measured."""
    test: dict[str, Interval] = Field(default_factory=dict)
    """By objective and monitor, on the test items. Empty if it failed."""
    against_winner: Difference | None = None
    """On the main objective; None for the winner itself and where one of the two failed."""
    failed: str | None = None
    """Why it has no scores."""


class FinalTable(Data):
    """final.json."""

    version: Literal[1] = 1
    run: str
    objective: str
    """The main objective: the first in the configuration."""
    goal: Literal["maximize", "minimize"]
    """Which way is better on the main objective."""
    confidence: float = CONFIDENCE
    """Coverage of all intervals."""
    winner: str
    """Row of the evolved model that validation chose."""
    best_parent: str | None = None
    """Row of the best parent or base on the test items."""
    best_baseline: str | None = None
    """Row of the best baseline on the test items."""
    rows: tuple[Row, ...]
    solved_by_no_parent: int | None = None
    """Test items on which the winner is better than every parent and the base."""
    gained: tuple[int, ...] = ()
    """Documents on which the winner is better than the best parent."""
    lost: tuple[int, ...] = ()
    """Documents on which the best parent is better than the winner."""
    search_gap: float | None = None
    """By how much the winner looked better on the search items than it is on the test items."""
    selection_bias: float | None = None
    """How large that gap is expected to be because the best of many was taken."""

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def score(self, name: str) -> Interval | None:
        """A row's interval on the main objective; None if it failed."""
        return self.row(name).test.get(self.objective)

    def to_json(self) -> bytes:
        """The content of final.json."""
        return pretty_json(self.model_dump(mode="json"))


def read_final_table(path: Path) -> FinalTable:
    """Read final.json.

    Raises:
        LineageError: the file is missing or not a final table.
    """
    return read_json(
        path,
        FinalTable.model_validate_json,
        "final table",
        missing="the final table is missing",
        make="let the workflow finish; the test items are scored at its end",
    )


MINUS = "\N{MINUS SIGN}"
HEADINGS = ("", "model", "kind", "method", "test", "95 % interval", "winner ahead by", "p (Holm)")
CHOICE = (
    "The winner (*) is the finalist that is best on the validation items; test items choose nothing, "
    "so that another finalist may stand above it."
)
"""Why the winner need not be the first row."""
RIGHT = frozenset({4, 5, 6, 7})
"""Columns of numbers."""


def render_table(table: FinalTable) -> str:
    """Lay out the main objective of every row, best first, in plain text.

    The winner is marked with `*`. Failed rows come last, with their reason below the table.
    """
    ordered = ranked_rows(table)
    cells = [HEADINGS, *(_cells(table, row) for row in ordered)]
    lines = [f"{table.run}: {table.objective} on held-out items", *_columns(cells)]
    lines.append(CHOICE)
    lines += [f"{row.name} failed: {row.failed}" for row in ordered if row.failed is not None]
    return "\n".join(lines) + "\n"


def ranked_rows(table: FinalTable) -> list[Row]:
    """Rows from the best on the main objective to the worst, then the failed ones."""
    direction = -1.0 if table.goal == "maximize" else 1.0
    scored = [row for row in table.rows if table.objective in row.test]
    scored.sort(key=lambda row: (direction * row.test[table.objective].value, row.name))
    return scored + [row for row in table.rows if table.objective not in row.test]


def shown(value: float) -> str:
    """A score with three decimals and a true minus sign."""
    return f"{value:.3f}".replace("-", MINUS)


def shown_range(interval: Interval | Difference) -> str:
    """Both ends of an interval."""
    return f"{shown(interval.low)} … {shown(interval.high)}"


def shown_p(p: float) -> str:
    """A p-value to the precision that matters."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cells(table: FinalTable, row: Row) -> tuple[str, ...]:
    mark = "*" if row.name == table.winner else ""
    interval = row.test.get(table.objective)
    if interval is None:
        return (mark, row.name, row.kind, row.method or "", "failed", "", "", "")
    against = row.against_winner
    return (
        mark,
        row.name,
        row.kind,
        row.method or "",
        shown(interval.value),
        shown_range(interval),
        "" if against is None else f"{against.value:+.3f}".replace("-", MINUS),
        "" if against is None else shown_p(against.p_holm),
    )


def _columns(cells: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    return [
        "  ".join(
            text.rjust(width) if column in RIGHT else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
