"""Figure: the genealogy of the winner, generation by generation, as far back as is readable.

Operators are words, and lines of those that change nothing are dashed, so that no colour is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tsugiki.lineage.ancestry import Ancestry
from tsugiki.report.svg import Figure, line, path, rectangle, text

WIDTH, LEFT, TOP = 860.0, 150.0, 64.0
BOX, TALL, ROW = 86.0, 32.0, 44.0
"""Pixels: width and height of a mark, and from one to the next below it."""
MOST_MARKS, MOST_COLUMNS = 60, 6
UNCHANGED = ("kept", "again")


@dataclass(frozen=True)
class _Mark:
    """A candidate, or a generation that a strategy's state learnt from."""

    name: str
    generation: int
    words: str
    score: float | None
    of: tuple[str, ...]
    """Names of those that it comes from."""
    how: str
    """The operator; `learnt` for a generation."""

    @property
    def made(self) -> str:
        """The operator, and of what."""
        return f"{self.how}{' from ' if self.of else ''}{' and '.join(self.of)}"


def genealogy_figure(found: Ancestry | None) -> Figure | None:
    """Draw whom the winner descends from; generations go from left to right.

    A box is a candidate; one with cut corners is a whole generation, which shaped the state that later ones were
    drawn from. Of more than `MOST_MARKS` marks, or `MOST_COLUMNS` generations, the last ones are drawn. The table of
    data has all.
    """
    if found is None or not found.ancestors:
        return None
    marks = list(_marks(found))
    columns: dict[int, list[_Mark]] = {}
    for mark in marks:
        columns.setdefault(mark.generation, []).append(mark)
    shown = _latest(columns)
    places = _places(shown)
    rows_of_models = (len(found.sources) + len(found.stages)) // 2
    height = TOP + ROW * max(*map(len, shown.values()), rows_of_models + 1) + 12
    step = (WIDTH - LEFT - BOX - 12) / max(len(shown) - 1, 1)
    xs = {number: LEFT + step * place for place, number in enumerate(sorted(shown))}
    winner = found.ancestors[0].id
    by_name = {mark.name: mark for of in shown.values() for mark in of}
    parts = [_ground(found, xs, len(columns), height)]
    for mark in by_name.values():
        for before in (by_name[name] for name in mark.of if name in by_name):
            start = (xs[before.generation] + BOX, places[before.name] + TALL / 2)
            end = (xs[mark.generation], places[mark.name] + TALL / 2)
            dashed = " f-dashed f-line" if mark.how in UNCHANGED else ""
            parts.append(path([start, end], f"f-path{dashed}"))
    parts += [
        _draw(mark, xs[mark.generation], places[mark.name], won=mark.name == winner)
        for mark in by_name.values()
    ]
    title = f"Genealogy of the winner {winner} of stage {found.stage}"
    words = _description(found, marks, len(columns), len(shown))
    return Figure("genealogy", title, words, WIDTH, height, "".join(parts), _data(found, marks))


def _marks(found: Ancestry) -> Iterator[_Mark]:
    """Candidates first, the latest first."""
    learnt = {one.generation for one in found.drawn}

    def before(number: int) -> tuple[str, ...]:
        return (f"generation {number}",) if number - 1 in learnt else ()

    for one in found.ancestors:
        number = int(one.id.partition("-")[0])
        of = (one.operator == "drawn" and before(number)) or one.parents
        yield _Mark(one.id, number, one.id, one.score, of, one.operator)
    for each in found.drawn:
        number, words = each.generation, f"all {each.candidates}"
        yield _Mark(f"generation {number + 1}", number, words, each.score, before(number), "learnt")


def _latest(columns: dict[int, list[_Mark]]) -> dict[int, list[_Mark]]:
    """As many of the last generations as are readable, the last one always."""
    shown: dict[int, list[_Mark]] = {}
    for number in sorted(columns, reverse=True):
        marks = sum(map(len, shown.values())) + len(columns[number])
        if shown and (len(shown) == MOST_COLUMNS or marks > MOST_MARKS):
            break
        shown[number] = columns[number]
    return shown


def _places(shown: dict[int, list[_Mark]]) -> dict[str, float]:
    """How far down each mark is: in a column in the order of the children's mean place, so that few lines cross."""
    places: dict[str, float] = {}
    tallest = max(map(len, shown.values()))
    children: dict[str, list[float]] = {}
    for number in sorted(shown, reverse=True):
        marks = sorted(
            shown[number], key=lambda mark: (fmean(children.get(mark.name, [0.0])), mark.name)
        )
        first = TOP + ROW * (tallest - len(marks)) / 2
        for row, mark in enumerate(marks):
            places[mark.name] = first + ROW * row
            for name in mark.of:
                children.setdefault(name, []).append(places[mark.name])
    return places


def _draw(mark: _Mark, x: float, y: float, *, won: bool) -> str:
    score = "" if mark.score is None else f" {mark.score:.3f}"
    tip = f"{mark.name}: {mark.made}{score}"
    colour = "f-lane f-lane-1 f-hollow" if won else "f-lane f-lane-0 f-hollow"
    if mark.how == "learnt":
        cut, right, low = 8.0, x + BOX, y + TALL
        across = [(x + cut, y), (right - cut, y), (right, y + TALL / 2)]
        corners = [*across, (right - cut, low), (x + cut, low), (x, y + TALL / 2)]
        parts = [path(corners, "f-lane f-lane-2 f-hollow", closed=True)]
    else:
        parts = [rectangle(x, y, BOX, TALL, colour, tip)]
    if won:  # a second line around it
        parts.append(rectangle(x - 4, y - 4, BOX + 8, TALL + 8, "f-lane f-lane-1 f-line"))
    middle = x + BOX / 2
    below = f"{'best' if mark.how == 'learnt' else mark.how}{score}"
    parts.append(text(middle, y + 14, mark.words, "f-value f-strong", text_anchor="middle"))
    parts.append(text(middle, y + 27, below, "f-value f-muted", text_anchor="middle"))
    return "".join(parts)


def _ground(found: Ancestry, xs: Mapping[int, float], generations: int, height: float) -> str:
    parts = [text(8, TOP - 16, "models merged", "f-title")]
    names = [one.name for one in found.sources] + [f"winner of {one.stage}" for one in found.stages]
    parts += [text(8, TOP + 20 + 20 * row, name) for row, name in enumerate(names)]
    parts.append(line(LEFT - 20, TOP - 30, LEFT - 20, height - 8, "f-divide"))
    for number, x in xs.items():
        label = f"generation {number + 1}"
        parts.append(text(x + BOX / 2, TOP - 16, label, "f-title", text_anchor="middle"))
    note = "box: candidate; cut corners: all of a generation, which the next ones were drawn from; dashed: unchanged"
    if len(xs) < generations:
        note = f"the last {len(xs)} of {generations} generations; {note}"
    parts.append(text(8, 20, note, "f-muted"))
    return "".join(parts)


def _description(found: Ancestry, marks: Sequence[_Mark], generations: int, shown: int) -> str:
    part = "" if shown == generations else f" The last {shown} of them are drawn."
    steps = "; ".join(f"{mark.name} {mark.made}" for mark in marks[:MOST_MARKS])
    return f"{found.strategy} over {found.method}, {generations} generations.{part} {steps}."


def _data(found: Ancestry, marks: Sequence[_Mark]) -> list[tuple[object, ...]]:
    recipes = {one.id: one.recipe for one in found.ancestors}
    return [
        ("stage", "generation", "name", "operator", "from", "score", "recipe"),
        *(
            (
                *(found.stage, mark.generation + 1, mark.name, mark.how, "; ".join(mark.of)),
                *("" if mark.score is None else mark.score, recipes.get(mark.name, "")),
            )
            for mark in marks
        ),
    ]
