"""The result of a run in a few sentences and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tsugiki.finalists.table import Comparison, FinalTable, ranked_rows, shown, shown_p, shown_range
from tsugiki.progress.progress import duration
from tsugiki.report.data import ReportData


@dataclass(frozen=True)
class Tile:
    """A number with its label."""

    label: str
    value: str
    note: str = ""


def headline(data: ReportData) -> str:
    """What came of the run, in one or two sentences: of all that was optimised, and nothing else."""
    if data.table is None:
        return _so_far(data)
    table = data.table
    if table.score(table.winner) is None:
        return f"The evolved model has no held-out score: {table.row(table.winner).failed}."
    found = list(table.objectives) if table.pareto else [table]
    scores = (
        [table] if not table.objectives else [*table.objectives, *([] if table.pareto else [table])]
    )
    sentence = f"The evolved model scores {_listed([_score(table, on) for on in scores])}"
    versus = [words for on in found for words in _versus(table, on)]
    text = f"{sentence}: {_listed(versus)}." if versus else f"{sentence}."
    if not table.objectives and len(data.config.evaluation.objectives) > 1:
        text += (
            " The search optimised a weighted sum of several objectives, and this table, of an earlier "
            "version, compares on the first one alone."
        )
    return text


def tiles(data: ReportData) -> list[Tile]:
    """The numbers at the top of the page."""
    found = [] if data.table is None else list(_table_tiles(data.table))
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
        answers = sum(cost.answers for cost in data.costs)
        note = f"{answers:,} answers, {tokens:,} tokens generated"
        found.append(Tile("computing time", duration(seconds), note))
    return found


def remarks(data: ReportData) -> Iterator[str]:
    """What has to be known of the scores, in sentences; nothing where all went as it should."""
    if data.cut:
        yield (
            f"Up to {data.cut:.0%} of a candidate's prompts were longer than the model can read, and "
            "lost their start."
        )
    if data.unclosed:
        winner = data.unclosed_by_winner
        of_winner = "" if winner is None else f"; {winner:.0%} of the winner's on held-out items"
        yield (
            f"Up to {data.unclosed:.0%} of a candidate's answers did not close their thinking in time, and count "
            f"as wrong{of_winner}."
        )
    if data.left_out:
        yield (
            f"{data.left_out} search documents, on which all parents and the whole first generation "
            "scored the same, were left out of the generations after it."
        )


def luck(table: FinalTable) -> list[str]:
    """How much of the search's scores was luck, in a sentence for each measure of which it is known."""
    found = []
    for on in table.comparisons:
        search, gap = table.row(table.winner).of(on.objective).search, on.search_gap
        if search is None or gap is None:
            continue
        measure = f" ({on.objective})" if table.objectives else ""
        word = "less" if (gap >= 0) == (on.goal == "maximize") else "more"
        text = (
            f"On the search items the winner scored {shown(search)}{measure}; on held-out items it "
            f"scores {shown(abs(gap))} {word}."
        )
        if on.selection_bias is not None:
            sure = "bootstrap estimate, which is too small"
            if table.version > 1:
                sure = "estimated by choosing on part of the items and scoring on the rest"
            if on.selection_interval is not None:
                low, high = map(shown, on.selection_interval)
                sure = f"95 % interval {low} … {high}, {sure}"
            text += (
                " Taking the best of many candidates alone makes a score look better by about "
                f"{shown(on.selection_bias)} on so few items ({sure}). What a search adds by fitting "
                "these items, generation after generation, is not in that."
            )
        found.append(text)
    return found


def _so_far(data: ReportData) -> str:
    if data.best is None:
        return "Nothing is scored yet."
    last = list(data.stages.values())[-1][-1]
    if last.front is None:
        so_far = (
            f"The best candidate so far has a fitness of {shown(data.best[1])} on the search items."
        )
    else:
        so_far = (
            f"{last.front} of the candidates so far are on the front of "
            f"{_listed(list(last.objectives))} on the search items."
        )
    return f"{so_far} Scores on held-out items come at the end of the run."


def _score(table: FinalTable, on: Comparison) -> str:
    score = table.score(table.winner, on.objective)
    assert score is not None
    number = f"{shown(score.value)} ({shown_range(score)})"
    if table.objectives and on is table:
        return f"{number} as the weighted sum that was optimised"
    return f"{number} on {score.items} held-out items of {on.objective}"


def _listed(words: list[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])


def _table_tiles(table: FinalTable) -> Iterator[Tile]:
    for on in table.comparisons:
        measure = f", {on.objective}" if table.objectives else ""
        for label, name in (
            ("evolved", table.winner),
            ("best parent", on.best_parent),
            ("best baseline", on.best_baseline),
        ):
            score = None if name is None else table.score(name, on.objective)
            if name is not None and score is not None:
                note = shown_range(score) if name == table.winner else name
                yield Tile(label + measure, shown(score.value), note)
        if on.solved_by_no_parent is not None:
            number = str(on.solved_by_no_parent)
            yield Tile(f"better than every parent{measure}", number, "held-out items")


def _versus(table: FinalTable, on: Comparison) -> Iterator[str]:
    rivals = [
        row.name
        for row in ranked_rows(table, on)
        if row.kind == "rival" and on.objective in row.test
    ]
    best = (
        (on.best_parent, "parent"),
        (on.best_baseline, "baseline"),
        *((one, "rival") for one in rivals[:1]),
    )
    for name, kind in best:
        difference = None if name is None else table.row(name).of(on.objective).against_winner
        if difference is None:
            continue
        ahead = difference.value if on.goal == "maximize" else -difference.value
        word = "better" if ahead >= 0 else "worse"
        measure = "" if on is table else f" on {on.objective}"
        p = shown_p(difference.p_holm)
        yield (
            f"{shown(abs(difference.value))} {word}{measure} than the best {kind}, “{name}” "
            f"(p {p if p.startswith('<') else f'= {p}'})"
        )
