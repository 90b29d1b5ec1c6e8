"""Models of the final table that are scored twice: how often a document's value is another the second time.

On a processor the same sums are formed in the same order, and it never is. On a GPU it may be, and an
interval over documents does not know of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsugiki.contracts.layout import REPEAT
from tsugiki.contracts.population import Generation, Population
from tsugiki.finalists.choose import undrawn
from tsugiki.finalists.table import Repeat

Rows = Sequence[Mapping[str, Any]]
"""Of items.parquet."""


def repeat_population(test: Population, scored: Generation, count: int) -> Population:
    """The winner and other rows of the final table, to be scored on the test items again.

    There are `count` at most; models that failed are not repeated.
    """
    failed = {one.id for one in scored.ranked if one.outcome.status == "failed"}
    rows = sorted(
        (one for one in test.candidates if one.id not in failed),
        key=lambda one: one.origin.get("kind") != "evolved",
    )
    again = (
        (one.recipe, {"name": f"{one.origin['name']} again", "kind": "again"})
        for one in rows[:count]
    )
    return undrawn(test.run, REPEAT, "test", again)


def repeat_of(pairs: Sequence[tuple[Rows, Rows]]) -> Repeat:
    """How the second records of some models differ from the first ones.

    Each pair has the rows of both, over the same documents and objectives.
    """
    values = flips = 0
    for first, second in pairs:
        again = {(row["objective"], row["doc_id"]): row for row in second}
        for row in first:
            values += 1
            flips += _value(row) != _value(again[row["objective"], row["doc_id"]])
    return Repeat(models=len(pairs), values=values, flips=flips)


def _value(row: Mapping[str, Any]) -> tuple[Any, Any]:
    """What a document was worth: a number, or what it contributes to one."""
    return row["value"], row.get("part")
