"""The drawing of a path in data-flow space."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tsugiki.canonical import digest_bytes
from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.report.heatmap import recipe_figure
from tsugiki.report.path import path_figure

HOPS = [("a", 0, 1.0), ("a", 1, 0.25), ("b", 1, 1.0), ("b", 2, -1.0), ("a", 1, 4.0)]


def recipe(hops: list[tuple[str, int, float]] = HOPS) -> DataflowRecipe:
    """A short path through two models."""
    names = dict.fromkeys(parent for parent, _, _ in hops)
    return DataflowRecipe(
        parents=tuple(ParentRef(name=name, digest=digest_bytes(name.encode())) for name in names),
        owner=hops[0][0],
        path=tuple(Hop(parent=parent, layer=layer, scale=scale) for parent, layer, scale in hops),
    )


def marks(svg: str) -> list[ET.Element]:
    """The marks that have a tip, in order."""
    root = ET.fromstring(svg)
    found = [one for one in root.iter() if "f-lane" in one.get("class", "")]
    return [one for one in found if not next(iter(one)).text.startswith("step 0")]  # type: ignore[union-attr]


def test_every_hop_has_a_mark_that_says_what_it_is() -> None:
    """In the order of the path."""
    tips = [next(iter(one)).text for one in marks(path_figure(recipe()).inline())]
    assert tips == [
        f"step {step}: layer {layer} of {parent}, input times {scale:g}"
        for step, (parent, layer, scale) in enumerate(HOPS, start=1)
    ]


def test_parents_differ_in_colour_and_shape() -> None:
    """For those who do not see colours."""
    drawn = marks(path_figure(recipe()).inline())
    shapes = [one.tag.rpartition("}")[2] for one in drawn]
    lanes = [one.get("class", "").split()[1] for one in drawn]
    assert shapes == ["circle", "circle", "rect", "rect", "circle"]
    assert lanes == ["f-lane-0", "f-lane-0", "f-lane-1", "f-lane-1", "f-lane-0"]


def test_area_stands_for_the_scale_and_hollow_for_its_sign() -> None:
    """A quarter of the scale has half the radius."""
    drawn = marks(path_figure(recipe()).inline())
    radii = [float(one.get("r", 0) or 0) for one in drawn]
    assert radii[1] == radii[0] / 2
    assert radii[4] > 1.5 * radii[0]
    assert [("f-hollow" in one.get("class", "")) for one in drawn] == [False] * 3 + [True, False]


def test_the_description_tells_runs_of_layers() -> None:
    """For those who do not see the drawing."""
    description = path_figure(recipe()).description
    assert "a 0 to 1, b 1 to 2, a 1." in description
    assert "Scales from -1 to 4." in description


def test_a_long_path_is_drawn_without_numbers() -> None:
    """They would cover each other."""
    long = recipe([("a", layer % 32, 1.2) for layer in range(96)])
    assert "1.20" not in path_figure(long).inline()
    assert "1.20" in path_figure(recipe([("a", 0, 1.2)])).inline()


def test_a_name_is_escaped() -> None:
    """Names of parents are the user's."""
    drawn = path_figure(recipe([("a<b&c", 0, 1.0)])).inline()
    assert "a&lt;b&amp;c" in drawn


def test_the_figure_of_a_recipe_follows_its_space() -> None:
    """And bears the name that it is given."""
    figure = recipe_figure(recipe(), "path-dfs")
    assert figure is not None
    assert figure.name == "path-dfs"
    assert figure == path_figure(recipe(), "path-dfs")
