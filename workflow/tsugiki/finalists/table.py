"""The final table: held-out scores of the winner and of all it is compared with; its layout in text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tsugiki.canonical import pretty_json
from tsugiki.contracts.data import Data, IfAny, IfSet
from tsugiki.evaluate.statistics import CONFIDENCE, Interval
from tsugiki.json_files import reader

Kind = Literal["evolved", "finalist", "stage", "rival", "parent", "base", "baseline"]


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
    """`p`, adjusted by Holm's method for the rows of its family: finalists that were not chosen, or all
    others. With several objectives, those on objectives are adjusted for their number as well."""


class RowScores(Data):
    """What is known of one model on one measure, beside its score on the test items."""

    search: float | None = None
    """On the search items, where it was measured."""
    validation: float | None = None
    """On the validation items, where it was measured."""
    against_winner: Difference | None = None
    """None for the winner itself and where one of the two failed."""


class Row(RowScores):
    """One model, and what is known of it on the measure that rows are ordered by."""

    name: str
    kind: Kind
    """`evolved` is the winner; `finalist` one that was not chosen; `stage` the winner
    of an earlier stage, `rival` that of a search at the price of the last one."""
    recipe: str
    """Digest of its recipe."""
    method: str | None = None
    """Merge method of its recipe; None for a parent or the base, which are not merged."""
    tried: int | None = None
    """Distinct candidates on the search items that it is the best of; None for a parent or the base."""
    test: dict[str, Interval] = {}
    """By objective and monitor, and of the weighted sum of several objectives, on the test items.
    Empty if it failed."""
    failed: str | None = None
    """Why it has no scores."""
    objectives: dict[str, RowScores] = {}
    """By objective, where there are several."""

    def of(self, measure: str) -> RowScores:
        """What is known on a measure of the table."""
        return self.objectives.get(measure, self)


class Comparison(Data):
    """The winner and the others on one measure."""

    objective: str
    """The objective, or `weighted sum`."""
    goal: Literal["maximize", "minimize"]
    """Which way is better."""
    best_parent: str | None = None
    """Row of the best parent or base on the test items."""
    best_baseline: str | None = None
    """Row of the best baseline on the test items."""
    solved_by_no_parent: int | None = None
    """Test items on which the winner is better than every parent and the base."""
    gained: tuple[int, ...] = ()
    """Documents on which the winner is better than the best parent."""
    lost: tuple[int, ...] = ()
    """Documents on which the best parent is better than the winner."""
    search_gap: float | None = None
    """By how much the winner looked better on the search items than it is on the test items."""
    selection_bias: float | None = None
    """How large that gap is expected to be because the best of many was taken. (Tables of version 1 have
    the bootstrap's estimate, which is too small.)"""
    selection_interval: tuple[float, float] | None = None
    """Its interval; None where scores are no means, and in tables of version 1."""


class Flatness(Data):
    """How much worse neighbours of the winner are than the winner, on the validation items, and what it took to know."""

    step: float
    """Standard deviation of a change, in units of a gene's range."""
    candidates: int
    """Neighbours, each of which was merged and scored."""
    failed: int
    """Those that have no scores."""
    mean: float | None
    """The winner's weighted sum of the objectives minus theirs, on average; None if all failed."""
    worst: float | None
    """The same of the worst of them."""
    answers: int
    tokens: int
    """Of the answers that they generated."""


class Repeat(Data):
    """What came of scoring models a second time on the test items."""

    models: int
    """That were scored twice."""
    values: int
    """A number for each of their documents, objectives and monitors."""
    flips: int
    """Those that were another number the second time."""


class FinalTable(Comparison):
    """final.json, and the comparison on the measure that chose the winner.

    That is the objective, or the weighted sum of several. (Tables of several objectives that tsugiki
    wrote before it compared all of them have the first one alone, and no `objectives`.)
    """

    version: Literal[1, 2] = 1
    run: str
    confidence: float = CONFIDENCE
    """Coverage of all intervals."""
    winner: str
    """Row of the evolved model that validation chose."""
    rows: tuple[Row, ...]
    objectives: IfAny[tuple[Comparison, ...]] = ()
    """On each objective, where there are several."""
    weights: IfAny[dict[str, float]] = {}
    """What a unit of each of several objectives adds to the weighted sum."""
    pooled: bool = False
    """Whether candidates were compared on search and validation items together, and the strategy's final
    mean with the best of them on the validation items; all of them on these alone if not."""
    pareto: bool = False
    """Whether the search looked for a front of several objectives, and not for their weighted sum."""

    bounds: IfAny[dict[str, float]] = {}
    """What objectives of the winner were to be on the validation items."""
    missed: bool = False
    """Whether no finalist met the bounds, so that the winner is of those that missed them least."""
    knee: IfAny[bool] = False
    """Whether the winner is the knee of the finalists' front, and not the largest weighted sum."""
    repeat: IfSet[Repeat | None] = None
    """What came of scoring models twice; None where that was not asked for."""
    flatness: IfSet[Flatness | None] = None
    """What small changes of the winner cost; None where that was not asked for."""

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """On the measure that chose the winner, and on each of several objectives."""
        return (self, *self.objectives)

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def score(self, name: str, measure: str | None = None) -> Interval | None:
        """A row's interval on a measure, that which chose the winner if absent; None if it failed."""
        return self.row(name).test.get(measure or self.objective)

    def to_json(self) -> bytes:
        """The content of final.json; of one objective, without what only several have."""
        without = set() if self.objectives else {"pareto"}
        without |= set() if self.bounds else {"missed"}
        content = self.model_dump(mode="json", exclude=without)
        for row in content["rows"]:
            if not self.objectives:
                del row["objectives"]
            if row["tried"] is None:
                del row["tried"]
        return pretty_json(content)


read_final_table = reader(
    FinalTable.model_validate_json,
    "final table",
    make="let the workflow finish; the test items are scored at its end",
)
"""Read final.json; LineageError where it is missing or no final table."""

MINUS = "\N{MINUS SIGN}"
HEADINGS = ("", "model", "kind", "method")
NUMBERS = ("tried", "test", "95 % interval", "winner ahead by", "p (Holm)")


def choice(table: FinalTable, mark: str = "") -> str:
    """What chose the winner, which a mark may point to, and why it need not be the first row."""
    which, sum_ = "that is best", "the best candidate"
    if table.objectives:
        which = f"with the largest weighted sum ({weighing(table)})"
        sum_ = f"the candidate {which}"
    search = "The search kept a front of the objectives, and weighed none. " if table.pareto else ""
    rule = f"is the finalist {which} on the validation items"
    if table.knee:
        rule = (
            "is the knee of the finalists' front on search and validation items together: the one furthest "
            "beyond the line through the front's ends, each objective in units of the front's extent"
        )
    elif table.pooled:
        rule = (
            f"is {sum_} on search and validation items together, or the search's final mean if that "
            "does as well on the validation items"
        )
    return (
        f"{search}The winner{mark} {rule}{_bounded(table)}; test items choose nothing, so that another "
        "finalist may stand above it."
    )


def notes(table: FinalTable) -> list[str]:
    """What the table says of small changes of the winner, and of scoring twice, in sentences."""
    found = []
    if (flat := table.flatness) is not None:
        failed = f" {flat.failed} of them failed." if flat.failed else ""
        lost = "All of them failed."
        if flat.mean is not None and flat.worst is not None:
            lost = (
                f"They are {shown(flat.mean)} worse than it on average, the worst of them "
                f"{shown(flat.worst)}.{failed}"
            )
        found.append(
            f"Flatness: {flat.candidates} neighbours of the winner, whose genes are changed by about {flat.step:g} of "
            "their range, were scored on the validation items, which had a part in its choice "
            f"({flat.answers:,} answers, {flat.tokens:,} tokens). {lost}"
        )
    if (again := table.repeat) is not None:
        share = again.flips / again.values if again.values else 0.0
        found.append(
            f"Repeated: {again.models} models were scored a second time on the test items, and {again.flips:,} of "
            f"{again.values:,} values ({share:.2%}) were others. The intervals are over items, and do not "
            "include that."
        )
    return found


def _bounded(table: FinalTable) -> str:
    """Among whom it was chosen, where its objectives have bounds."""
    if not table.bounds:
        return ""
    goals = {one.objective: one.goal for one in table.comparisons}
    words = {"maximize": "at least", "minimize": "at most"}
    bounds = " and ".join(
        f"{name} {words[goals[name]]} {value:g}" for name, value in table.bounds.items()
    )
    if table.missed:
        return f", of those that miss the bounds least: no finalist has {bounds} on the validation items"
    return f", of those with {bounds} on the validation items"


def weighing(table: FinalTable) -> str:
    """The weighted sum of several objectives, such as `even + 0.5 choice`."""
    terms = []
    for one in table.objectives:
        weight = table.weights[one.objective]
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        terms.append(f"{MINUS if weight < 0 else '+'} {size}{one.objective}")
    return " ".join(terms).removeprefix("+ ")


def render_table(table: FinalTable) -> str:
    """Lay out every row on every measure, best first, in plain text.

    The winner is marked with `*`. Failed rows come last, with their reason below the tables.
    """
    lines: list[str] = []
    for one in table.comparisons:
        ordered = ranked_rows(table, one)
        cells = [(*HEADINGS, *NUMBERS), *(_cells(table, one, row) for row in ordered)]
        better = "" if one.goal == "maximize" else " (smaller is better)"
        lines += [f"{table.run}: {one.objective} on held-out items{better}", *_columns(cells)]
    lines += [choice(table, " (*)"), *notes(table)]
    lines += [f"{row.name} failed: {row.failed}" for row in table.rows if row.failed is not None]
    return "\n".join(lines) + "\n"


def ranked_rows(table: FinalTable, on: Comparison | None = None) -> list[Row]:
    """Rows from the best on a measure to the worst, then the failed ones.

    The measure is that which chose the winner if absent.
    """
    one = on or table
    direction = -1.0 if one.goal == "maximize" else 1.0
    scored = [row for row in table.rows if one.objective in row.test]
    scored.sort(key=lambda row: (direction * row.test[one.objective].value, row.name))
    return scored + [row for row in table.rows if one.objective not in row.test]


def ahead(on: Comparison, difference: Difference) -> Difference:
    """By how much the winner is better: its score minus the other, or the opposite where smaller is better."""
    if on.goal == "maximize":
        return difference
    return difference.model_copy(
        update={
            "value": 0.0 - difference.value,
            "low": 0.0 - difference.high,
            "high": 0.0 - difference.low,
        }
    )


def shown(value: float) -> str:
    """A score with three decimals and a true minus sign."""
    return f"{value:.3f}".replace("-", MINUS)


def shown_range(interval: Interval | Difference) -> str:
    """Both ends of an interval."""
    return f"{shown(interval.low)} … {shown(interval.high)}"


def shown_p(p: float) -> str:
    """A p-value to the precision that matters."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cells(table: FinalTable, on: Comparison, row: Row) -> tuple[str, ...]:
    interval, against = row.test.get(on.objective), row.of(on.objective).against_winner
    mark = "*" if row.name == table.winner else ""
    tried = "" if row.tried is None else str(row.tried)
    cells = (mark, row.name, row.kind, row.method or "", tried)
    if interval is None:
        return (*cells, "failed", "", "", "")
    lead = "" if against is None else f"{ahead(on, against).value:+.3f}".replace("-", MINUS)
    p = "" if against is None else shown_p(against.p_holm)
    return (*cells, shown(interval.value), shown_range(interval), lead, p)


def _columns(cells: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if column < len(HEADINGS) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
