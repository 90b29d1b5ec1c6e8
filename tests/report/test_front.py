"""The figure of the Pareto front."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.report.test_figures import elements
from tsugiki.finalists.front import Front, Member
from tsugiki.finalists.table import FinalTable, Row, RowScores
from tsugiki.report.front import front_figure
from tsugiki.report.svg import Figure

GOALS = {"maths": 1.0, "length": -0.01}
FRONT = {"a": (0.9, 20.0), "b": (0.7, 8.0), "c": (0.3, 2.0)}
BEHIND = {"d": (0.5, 12.0), "e": (0.2, 9.0)}


def named(values: tuple[float, ...], goals: dict[str, float]) -> dict[str, float]:
    """Values by objective."""
    return dict(zip(goals, values, strict=True))


def drawn(
    members: dict[str, tuple[float, ...]],
    others: dict[str, tuple[float, ...]],
    goals: dict[str, float] = GOALS,
    *,
    models: dict[str, tuple[float, ...]] | None = None,
) -> Figure:
    """The figure of a front whose second member won."""
    front = Front(
        run="r",
        stage="s",
        weights=goals,
        members=tuple(
            Member(id=f"000-{place:02d}", recipe=name, search=named(values, goals))
            for place, (name, values) in enumerate(members.items())
        ),
    )
    rows = [Row(name="evolved", kind="evolved", recipe=list(members)[min(1, len(members) - 1)])]
    for name, values in (models or {}).items():
        scores = {one: RowScores(search=value) for one, value in named(values, goals).items()}
        rows.append(Row(name=name, kind="parent", recipe=name, objectives=scores))
    table = FinalTable(
        run="r", winner="evolved", rows=tuple(rows), objective="weighted sum", goal="maximize"
    )
    figure = front_figure(
        front, [named(one, goals) for one in {**members, **others}.values()], table
    )
    assert figure is not None
    return figure


def corners(figure: Figure, class_: str) -> list[list[tuple[float, float]]]:
    """Points of each path of a class, without those of the legend."""
    return [
        [tuple(map(float, one.split())) for one in re.split(r" L| Z|M", path.get("d", "")) if one]  # type: ignore[misc]
        for path in elements(figure, "path", class_)
    ]


def middle(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The middle of a mark."""
    x, y = zip(*points, strict=True)
    return sum(x) / len(x), sum(y) / len(y)


def test_every_candidate_the_front_and_the_winner_stand_where_their_values_are() -> None:
    """To scale on both axes: rings for all, diamonds for the front, one star, told apart by their shapes."""
    figure = drawn(FRONT, BEHIND)
    rings = [
        (float(one.get("cx", "")), float(one.get("cy", "")))
        for one in elements(figure, "circle", "f-candidate")
    ]
    assert len(rings) == 5
    values = [*FRONT.values(), *BEHIND.values()]
    for axis in (0, 1):
        slopes = [
            (after[axis] - before[axis]) / (later[axis] - earlier[axis])
            for (before, after), (earlier, later) in zip(
                pairwise(rings), pairwise(values), strict=True
            )
        ]
        assert slopes == pytest.approx([slopes[0]] * 4, rel=0.01)
    _, *diamonds = map(middle, corners(figure, "f-member"))
    _, star = map(middle, corners(figure, "f-winner"))
    for mark, ring in ((diamonds[0], rings[0]), (diamonds[1], rings[2]), (star, rings[1])):
        assert mark == pytest.approx(ring, abs=0.1)


@pytest.mark.parametrize("signs", [(1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)])
def test_the_border_turns_away_from_the_ideal(signs: tuple[float, float]) -> None:
    """Every corner of the line is no better than a member of the front, whichever way is better."""
    members = {
        name: (signs[0] * one, signs[1] * two)
        for name, (one, two) in {"a": (0.9, 0.1), "b": (0.6, 0.5), "c": (0.1, 0.8)}.items()
    }
    figure = drawn(members, {}, {"one": signs[0], "two": signs[1]})
    (border,) = corners(figure, "f-median")
    assert len(border) == 5
    better = [(signs[0] * x, -signs[1] * y) for x, y in border]  # pixels go down
    for corner in (better[1], better[3]):
        assert any(corner[0] <= x and corner[1] <= y for x, y in better[::2])


def test_more_than_two_objectives_are_parallel_axes_with_better_above() -> None:
    """A line for each member; the one that is better at what is minimised is higher there too."""
    goals = {"one": 1.0, "two": -1.0, "three": 1.0}
    figure = drawn(
        {"a": (0.9, 5.0, 0.1), "b": (0.5, 1.0, 0.2), "c": (0.1, 3.0, 0.9)},
        {},
        goals,
        models={"maths": (0.1, 9.0, 0.0)},
    )
    assert len(elements(figure, "line", "f-axis")) == 3
    first, third = corners(figure, "f-median")
    (second,) = corners(figure, "f-best")
    assert second[1][1] < third[1][1] < first[1][1]
    assert first[0][1] < second[0][1] < third[0][1]
    texts = [one.text for one in elements(figure, "text")]
    assert "two (smaller is better)" in texts
    assert "maths" in texts


def test_the_words_hold_the_numbers() -> None:
    """For those who cannot see it."""
    assert "000-01 (the winner): maths 0.700, length 8.000" in drawn(FRONT, BEHIND).description


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.0, 0.0), (-1.0, 400.0)])
def test_a_front_of_one_candidate_can_be_drawn(values: tuple[float, float]) -> None:
    """Inside the figure."""
    figure = drawn({"a": values}, {}, models={"maths": values})
    for ring in elements(figure, "circle", "f-candidate"):
        assert 0 < float(ring.get("cx", "")) < figure.width
        assert 0 < float(ring.get("cy", "")) < figure.height


def test_one_objective_has_no_front() -> None:
    """And no empty figure."""
    assert front_figure(None, [], None) is None
