"""Paths as points of a data-flow space: the inverse of decoding."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.space.test_dataflow_space import LAYERS, genome
from tests.space.test_parameter_space import space_of
from tsugiki.canonical import digest_bytes
from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.errors import ConfigError
from tsugiki.space.from_path import encode_path


@given(st.data())
@pytest.mark.parametrize("scales", ["per_hop", "matrix", "none"])
@pytest.mark.parametrize("fixed_ends", [True, False])
def test_encoding_is_the_inverse_of_decoding(
    scales: str, fixed_ends: bool, data: st.DataObject
) -> None:
    """The path comes back, scales and all."""
    space = genome(scales=scales, fixed_ends=fixed_ends)
    count = len(space.start)
    point = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    recipe = space.decode(point)
    found = encode_path(space, recipe)
    assert space.decode(found.point) == recipe
    assert found.notes == ()


def test_a_start_is_as_sure_of_its_path_as_the_space_says() -> None:
    """Indicators differ from it with `start_probability`; scales are the path's."""
    space = genome(start_probability=0.2, scale_range=(0.0, 2.0))
    path = path_of(("a", 0), ("b", 1), ("a", 3), scales=(1.0, 0.5, 1.5))
    point = space.as_start(encode_path(space, path).point)
    count = len(space.places)
    assert [place for place in range(count) if point[place] == 0.8] == [3]  # a1 a2 b0 b1 …
    assert sum(point[place] == 0.2 for place in range(count)) == count - 1
    assert (point[count + 3], point[-1]) == (0.25, 0.75)
    assert set(point[count:]) == {0.25, 0.5, 0.75}


def path_of(
    *hops: tuple[str, int], scales: tuple[float, ...] | None = None, owner: str = "a", **fields: Any
) -> DataflowRecipe:
    """A path through models `a` and `b`."""
    return DataflowRecipe(
        parents=tuple(ParentRef(name=name, digest=digest_bytes(name.encode())) for name in LAYERS),
        owner=owner,
        path=tuple(
            Hop(parent=parent, layer=layer, scale=scale)
            for (parent, layer), scale in zip(hops, scales or (1.0,) * len(hops), strict=True)
        ),
        **fields,
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (path_of(("b", 0), ("a", 3)), "fixed ends"),
        (
            path_of(("a", 0), ("a", 2), ("a", 1), ("b", 0), ("a", 2), ("a", 1), ("a", 3)),
            "in an order",
        ),
        (path_of(("a", 0), ("a", 3), owner="b"), "another model gives embeddings"),
        (path_of(("a", 0), ("a", 3), head="b"), "its head"),
        (path_of(("a", 0), ("a", 3), scales=(0.9, 1.0)), "cannot be given"),
        (
            path_of(("a", 0), ("a", 3)).model_copy(
                update={"parents": (ParentRef(name="a", digest=digest_bytes(b"c")),)}
            ),
            "part of another model",
        ),
        (space_of().decode([0.5] * 10), "merge in parameter space"),
    ],
    ids=str,
)
def test_what_the_space_cannot_express_is_refused(path: Any, message: str) -> None:
    """One clear error."""
    with pytest.raises(ConfigError, match=message):
        encode_path(genome(), path)


def test_scales_that_are_not_searched_have_to_be_one() -> None:
    """Those of a network cannot be read back either."""
    for scales in ("none", "network"):
        space = genome(scales=scales)
        plain = path_of(("a", 0), ("b", 1), ("a", 3))
        assert space.decode(encode_path(space, plain).point).path == plain.path
        with pytest.raises(ConfigError, match=f"scales: {scales}"):
            encode_path(space, path_of(("a", 0), ("b", 1), ("a", 3), scales=(1.0, 0.9, 1.0)))


def test_scales_beyond_the_range_move_to_its_end_and_that_is_said() -> None:
    """As values of genes do."""
    space = genome(scale_range=(0.5, 1.5))
    found = encode_path(space, path_of(("a", 0), ("b", 1), ("a", 3), scales=(1.0, 2.0, 0.5)))
    assert [hop.scale for hop in space.decode(found.point).path] == [1.0, 1.5, 0.5]
    assert found.notes == ("1 scales beyond `scale_range` moved to its end",)
