"""The final table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tsugiki.evaluate.statistics import Interval
from tsugiki.finalists.table import Difference, FinalTable, Row

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
