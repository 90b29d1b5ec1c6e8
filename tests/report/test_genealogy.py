"""The genealogy of the winner: who is drawn, who is joined, and what is left out."""

from __future__ import annotations

import csv
import io

from tests.report.test_figures import elements
from tests.synthetic_runs import SyntheticRun
from tsugiki.lineage.ancestry import Ancestor, Ancestry, Drawn
from tsugiki.report.data import load
from tsugiki.report.genealogy import MOST_COLUMNS, MOST_MARKS, genealogy_figure
from tsugiki.report.page import figures
from tsugiki.report.svg import Figure


def bred(generations: int, *, size: int = 2) -> Ancestry:
    """The winner descends from all candidates of each generation, each a child of all before it."""
    ancestors = [Ancestor(id=f"{generations - 1:03d}-00", recipe="r", operator="crossed")]
    for number in range(generations - 1, -1, -1):
        before = tuple(f"{number - 1:03d}-{place:02d}" for place in range(size)) if number else ()
        operator = "crossed" if before else "drawn"
        of = [ancestors.pop()] if number == generations - 1 else []
        many = [
            Ancestor(id=f"{number:03d}-{place:02d}", recipe="r", operator=operator, parents=before)
            for place in range(1 if of else size)
        ]
        ancestors += many
    return Ancestry(stage="ps", strategy="genetic", method="dare_ties", ancestors=tuple(ancestors))


def drawing(found: Ancestry) -> Figure:
    """The figure."""
    figure = genealogy_figure(found)
    assert figure is not None
    return figure


def words(figure: Figure) -> list[str]:
    """All texts of a figure."""
    return [one.text or "" for one in elements(figure, "text")]


def test_every_parent_is_joined_to_its_child() -> None:
    """Three generations: one of the last, two of each before; 2 and 4 lines."""
    figure = drawing(bred(3))
    lines = [one for one in elements(figure, "path") if "f-path" in one.get("class", "")]
    assert len(lines) == 2 + 4
    assert {"002-00", "001-00", "001-01", "000-00", "000-01"} <= set(words(figure))
    assert [one for one in words(figure) if one.startswith("generation ")] == [
        "generation 1",
        "generation 2",
        "generation 3",
    ]


def test_what_was_kept_is_told_by_a_dashed_line() -> None:
    """Not by a colour, and by its word."""
    kept = Ancestor(id="001-00", recipe="r", operator="kept", parents=("000-00",), score=0.5)
    first = Ancestor(id="000-00", recipe="r", operator="drawn", score=0.5)
    found = Ancestry(stage="ps", strategy="genetic", method="ties", ancestors=(kept, first))
    figure = drawing(found)
    (line,) = [one for one in elements(figure, "path") if "f-path" in one.get("class", "")]
    assert "f-dashed" in line.get("class", "")
    assert "kept 0.500" in words(figure)


def test_of_too_many_generations_the_last_are_drawn() -> None:
    """The figure says so; its data has all."""
    figure = drawing(bred(MOST_COLUMNS + 3))
    assert any(one.startswith(f"the last {MOST_COLUMNS} of 9 generations") for one in words(figure))
    assert f"{MOST_COLUMNS + 2:03d}-00" in words(figure)
    assert "000-00" not in words(figure)
    rows = list(csv.DictReader(io.StringIO(figure.csv().decode())))
    assert len(rows) == 1 + 2 * (MOST_COLUMNS + 2)
    wide = drawing(bred(4, size=MOST_MARKS // 2))
    assert any(one.startswith("the last 2 of 4 generations") for one in words(wide))


def test_a_drawn_winner_is_joined_to_the_generations_that_its_state_learnt_from() -> None:
    """One after another, each with its best score."""
    found = Ancestry(
        stage="ps",
        strategy="cma_es",
        method="dare_ties",
        ancestors=(Ancestor(id="002-03", recipe="r", operator="drawn", state="s", score=0.6),),
        drawn=tuple(
            Drawn(generation=one, state="s", candidates=4, best="000-01", score=0.1 * one)
            for one in (1, 0)
        ),
    )
    figure = drawing(found)
    lines = [one for one in elements(figure, "path") if "f-path" in one.get("class", "")]
    assert len(lines) == 2
    assert {"all 4", "best 0.100", "best 0.000", "drawn 0.600"} <= set(words(figure))


def test_the_report_has_the_winners_genealogy_once_there_is_one(
    finished: SyntheticRun, fresh: SyntheticRun
) -> None:
    """It takes the winner of the last stage from the finalists."""
    drawn = figures(load(finished.files, finished.config))
    assert "genealogy" in drawn
    assert "genealogy" not in figures(load(fresh.files, fresh.config))
