"""The result of a run in a few sentences and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from tsugiki.finalists.table import FinalTable, shown, shown_p, shown_range
from tsugiki.progress.progress import duration
from tsugiki.report.data import ReportData


@dataclass(frozen=True)
class Tile:
    """A number with its label."""

    label: str
    value: str
    note: str = ""


def headline(data: ReportData) -> str:
    """What came of the run, in one or two sentences."""
    if data.table is None:
        if data.best is None or data.best.fitness is None:
            return "Nothing is scored yet."
        return (
            f"The best candidate so far has a fitness of {shown(data.best.fitness)} on the search "
            "items. Scores on held-out items come at the end of the run."
        )
    table = data.table
    score = table.score(table.winner)
    if score is None:
        return f"The evolved model has no held-out score: {table.row(table.winner).failed}."
    sentence = (
        f"The evolved model scores {shown(score.value)} ({shown_range(score)}) "
        f"on {score.items} held-out items of {table.objective}"
    )
    versus = [
        _versus(table, name, kind)
        for name, kind in ((table.best_parent, "parent"), (table.best_baseline, "baseline"))
        if name is not None and table.row(name).against_winner is not None
    ]
    return f"{sentence}: {' and '.join(versus)}." if versus else f"{sentence}."


def tiles(data: ReportData) -> list[Tile]:
    """The numbers at the top of the page."""
    found = [] if data.table is None else _table_tiles(data.table)
    candidates = sum(summary.candidates for stage in data.stages.values() for summary in stage)
    if candidates:
        generations = sum(len(stage) for stage in data.stages.values())
        failed = sum(summary.failures for stage in data.stages.values() for summary in stage)
        found.append(
            Tile("candidates", str(candidates), f"{generations} generations, {failed} failed")
        )
    if data.costs:
        seconds = sum(cost.total for cost in data.costs)
        tokens = sum(cost.tokens for cost in data.costs)
        found.append(Tile("computing time", duration(seconds), f"{tokens:,} tokens generated"))
    return found


def cut_prompts(data: ReportData) -> str | None:
    """That prompts lost their start, in a sentence; None where all were read whole."""
    if not data.cut:
        return None
    return (
        f"Up to {data.cut:.0%} of a candidate's prompts were longer than the model can read, and "
        "lost their start."
    )


def luck(table: FinalTable) -> str | None:
    """How much of the search's score was luck, in a sentence; None where it is not known."""
    search = table.row(table.winner).search
    if search is None or table.search_gap is None:
        return None
    worse = "less" if table.search_gap >= 0 else "more"
    text = (
        f"On the search items the winner scored {shown(search)}; on held-out items it scores "
        f"{shown(abs(table.search_gap))} {worse}."
    )
    if table.selection_bias is None:
        return text
    return (
        f"{text} Taking the best of many candidates alone makes a score look better by about "
        f"{shown(table.selection_bias)} on so few items (bootstrap estimate)."
    )


def _table_tiles(table: FinalTable) -> list[Tile]:
    tiles = []
    for label, name in (
        ("evolved", table.winner),
        ("best parent", table.best_parent),
        ("best baseline", table.best_baseline),
    ):
        score = None if name is None else table.score(name)
        if name is not None and score is not None:
            note = shown_range(score) if name == table.winner else name
            tiles.append(Tile(label, shown(score.value), note))
    if table.solved_by_no_parent is not None:
        tiles.append(
            Tile("better than every parent", str(table.solved_by_no_parent), "held-out items")
        )
    return tiles


def _versus(table: FinalTable, name: str, kind: str) -> str:
    difference = table.row(name).against_winner
    assert difference is not None
    ahead = difference.value if table.goal == "maximize" else -difference.value
    word = "better" if ahead >= 0 else "worse"
    p = shown_p(difference.p_holm)
    return (
        f"{shown(abs(difference.value))} {word} than the best {kind}, “{name}” "
        f"(p {p if p.startswith('<') else f'= {p}'})"
    )
