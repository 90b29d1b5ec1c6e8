"""Figures: marks stand where the numbers say."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from tests.progress.test_summary import OBJECTIVES, generation
from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.population import Generation
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.evaluate.statistics import Interval
from tsugiki.finalists.table import read_final_table
from tsugiki.progress.summary import summarise
from tsugiki.report.comparison import RIGHT, WIDTH, comparison_figure
from tsugiki.report.generations import courses, fitness_figure
from tsugiki.report.heatmap import ordered_groups, recipe_figure, short
from tsugiki.report.svg import Figure

SVG = "{http://www.w3.org/2000/svg}"


def elements(figure: Figure | None, name: str, class_: str = "") -> list[ET.Element]:
    """Elements of a kind and class of the standalone file, which is well-formed XML."""
    assert figure is not None
    root = ET.fromstring(figure.standalone())
    found = root.iter(f"{SVG}{name}")
    return [one for one in found if not class_ or class_ in one.get("class", "").split()]


def search(**stages: list[Generation]) -> Figure | None:
    """The figure of the fitness of stages."""
    found = {name: summarise(stage, OBJECTIVES) for name, stage in stages.items()}
    return fitness_figure(None, courses(found).get(None, {}))


def marks(figure: Figure | None, name: str, class_: str) -> list[ET.Element]:
    """Without the one in the legend, which comes first."""
    return elements(figure, name, class_)[1:]


def test_better_generations_stand_higher() -> None:
    """A dot for each, evenly spaced, heights in proportion to the fitness."""
    stage = [generation(0, 0.1), generation(1, 0.5), generation(2, 0.3)]
    dots = marks(search(ps=stage), "circle", "f-dot")
    x, y = ([float(dot.get(axis, "")) for dot in dots] for axis in ("cx", "cy"))
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.02)
    assert (y[0] - y[1]) / (y[2] - y[1]) == pytest.approx(2, abs=0.01)


def test_best_so_far_is_a_stair_that_never_falls() -> None:
    """Each corner keeps one coordinate of the one before."""
    stage = [generation(0, 0.1), generation(1, 0.5), generation(2, 0.3)]
    (stair,) = elements(search(ps=stage), "path", "f-best")
    points = [
        tuple(float(one) for one in point.split())
        for point in stair.get("d", "").removeprefix("M").split(" L")
    ]
    assert len(points) == 5
    for before, after in pairwise(points):
        assert (before[0] == after[0]) != (before[1] == after[1]) or before == after
        assert after[1] <= before[1]


def test_failures_are_counted_at_their_generation() -> None:
    """A cross with the number; none where nothing failed."""
    stage = [generation(0, 0.1, None, None), generation(1, 0.2)]
    (label,) = elements(search(ps=stage), "text", "f-failures")
    assert label.text == "2"


def test_a_generation_of_failures_leaves_a_gap() -> None:
    """It has no dot, and the others keep their places."""
    stage = [generation(0, 0.1), generation(1, None), generation(2, 0.3)]
    dots = marks(search(ps=stage), "circle", "f-dot")
    assert len(dots) == 2


def test_stages_stand_side_by_side() -> None:
    """With a line between them and their names above."""
    figure = search(ps=[generation(0, 0.1), generation(1, 0.2)], dfs=[generation(0, 0.3)])
    assert len(elements(figure, "line", "f-divide")) == 1
    texts = [one.text for one in elements(figure, "text")]
    assert "ps" in texts
    assert "dfs" in texts


@pytest.mark.parametrize("scores", [[0.0], [0.25, 0.25], [-3.5, -1.0], [1e6, 2e6]])
def test_any_range_of_fitness_can_be_drawn(scores: list[float]) -> None:
    """One point, equal points, negative and large ones stay inside the figure."""
    stage = [generation(index, score) for index, score in enumerate(scores)]
    figure = search(ps=stage)
    assert figure is not None
    for dot in marks(figure, "circle", "f-dot"):
        assert 0 < float(dot.get("cx", "")) < figure.width
        assert 0 < float(dot.get("cy", "")) < figure.height


def test_nothing_scored_is_no_figure() -> None:
    """Not an empty one."""
    assert search(ps=[generation(0, None)]) is None
    assert search() is None


def test_bars_are_as_long_as_scores_and_whiskers_as_intervals(finished: SyntheticRun) -> None:
    """Every row is drawn, from best to worst, in the colour of its kind."""
    table = read_final_table(finished.files.final)
    figure = comparison_figure(table, table)
    bars = [bar for bar in elements(figure, "rect", "f-bar") if bar.find(f"{SVG}title") is not None]
    names = [bar.findtext(f"{SVG}title") or "" for bar in bars]
    widths = [float(bar.get("width", "")) for bar in bars]
    scores = [table.row(name).test["ja_maths"] for name in names]
    pixels = widths[0] / scores[0].value
    assert widths == pytest.approx([score.value * pixels for score in scores], abs=0.02)
    assert widths == sorted(widths, reverse=True)
    whiskers = elements(figure, "line", "f-whisker")[::3]
    lengths = [float(one.get("x2", "")) - float(one.get("x1", "")) for one in whiskers]
    expected = [(score.high - score.low) * pixels for score in scores]
    assert lengths == pytest.approx(expected, abs=0.03)
    for name, bar in zip(names, bars, strict=True):
        assert f"f-{table.row(name).kind}" in bar.get("class", "").split()


def test_bars_of_scores_below_zero_lie_in_the_figure(finished: SyntheticRun) -> None:
    """As of a weighted sum of what is minimised: they end at 0, left of the numbers."""
    table = read_final_table(finished.files.final)

    def negated(one: Interval) -> Interval:
        return one.model_copy(update={"value": -one.value, "low": -one.high, "high": -one.low})

    rows = [
        row.model_copy(update={"test": {name: negated(one) for name, one in row.test.items()}})
        for row in table.rows
    ]
    table = table.model_copy(update={"rows": tuple(rows)})
    figure = comparison_figure(table, table)
    assert figure is not None
    bars = [bar for bar in elements(figure, "rect", "f-bar") if bar.find(f"{SVG}title") is not None]
    ends = {round(float(bar.get("x", "")) + float(bar.get("width", ""))) for bar in bars}
    assert ends == {round(WIDTH - RIGHT)}


def recipe(**parameters: dict[str, dict[str, float]]) -> Recipe:
    """A recipe with these values."""
    return Recipe(
        method="ties",
        parents=(ParentRef(name="a", digest="a" * 64),),
        parameters={name: Parameter(values=values) for name, values in parameters.items()},
        owner="a",
    )


def test_a_cell_for_each_parent_and_group_in_viridis() -> None:
    """The smallest value has the first colour, the largest the last."""
    values = {"a": {"block.0": 0.0, "block.1": 0.5}, "b": {"block.0": 1.5, "block.1": 1.0}}
    cells = elements(recipe_figure(recipe(weight=values)), "rect", "f-cell")
    tips = {cell.findtext(f"{SVG}title"): cell.get("fill") for cell in cells}
    assert len(set(tips.values())) == 4
    assert tips["weight, a, block.0: 0.0000"] == "#440154"  # viridis begins
    assert tips["weight, b, block.0: 1.5000"] == "#fde725"  # and ends so


def test_layers_stand_in_the_order_of_the_model() -> None:
    """By number and not by spelling, embeddings first, head last."""
    groups = ["head", "block.10.mlp", "block.2.mlp", "embeddings", "block.2.attention"]
    parameter = Parameter(values={"a": dict.fromkeys(groups, 1.0)})
    assert ordered_groups(parameter) == [
        "embeddings", "block.2.attention", "block.2.mlp", "block.10.mlp", "head"
    ]  # fmt: skip
    assert short("block.2.attention") == "2 attention"


@pytest.mark.parametrize("layers", [1, 6, 32, 126])
def test_deep_models_stay_inside_the_figure(layers: int) -> None:
    """Many groups are continued below, none is lost."""
    groups = {f"block.{number}": number / 10 for number in range(layers)}
    figure = recipe_figure(recipe(weight={"a": groups}, density={"*": {"model": 0.5}}))
    assert figure is not None
    cells = elements(figure, "rect", "f-cell")
    assert len(cells) == layers + 1
    for cell in cells:
        assert float(cell.get("x", "")) + float(cell.get("width", "")) <= figure.width
        assert float(cell.get("y", "")) + float(cell.get("height", "")) <= figure.height


def test_a_recipe_without_parameters_has_no_figure() -> None:
    """Nothing to draw."""
    assert recipe_figure(recipe()) is None
