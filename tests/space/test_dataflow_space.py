"""Genomes of data-flow space, and the paths that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.canonical import digest_bytes
from tsugiki.config.stage import Stage
from tsugiki.contracts.recipe import Hop
from tsugiki.errors import LineageError, ParentError
from tsugiki.space.dataflow_space import DataflowGenome, build_dataflow_genome
from tsugiki.space.read import read_genome

LAYERS = {"a": 4, "b": 3}


def genome(parents: tuple[str, ...] = ("a", "b"), **space: Any) -> DataflowGenome:
    """A space over two small models."""
    stage = Stage.model_validate(
        {
            "name": "dfs",
            "parents": list(parents),
            "space": {"kind": "dataflow", "repeats": 2, "dtype": "float32", **space},
            "strategy": {"kind": "bit_cma"},
            "budget": {"generations": 1},
        }
    )
    digests = {name: digest_bytes(name.encode()) for name in LAYERS}
    return build_dataflow_genome(stage, digests=digests, layers=LAYERS)


def start_of(space: DataflowGenome) -> list[float]:
    """The start, with indicators at their likelier value."""
    pairs = zip(space.start, space.kinds.binary, strict=True)
    return [float(value > 0.5) if binary else value for value, binary in pairs]


SCALES = ("per_hop", "matrix", "network", "none")


@pytest.mark.parametrize("fixed_ends", [True, False])
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("owner_first", [("a", "b"), ("b", "a")])
def test_the_search_starts_at_the_owner_itself(
    scales: str, owner_first: tuple[str, ...], *, fixed_ends: bool
) -> None:
    """Every layer of the first parent once, in order, with scales of 1."""
    space = genome(owner_first, scales=scales, fixed_ends=fixed_ends, scale_range=(-0.5, 1.25))
    recipe = space.decode(start_of(space))
    owner = owner_first[0]
    assert recipe.path == tuple(Hop(parent=owner, layer=one) for one in range(LAYERS[owner]))
    assert recipe.owner == owner
    assert [parent.name for parent in recipe.parents] == [owner]


def test_indicators_take_layers_in_the_order_of_the_repeated_row() -> None:
    """a0 a1 a2 a3 b0 b1 b2, twice."""
    space = genome(fixed_ends=False, scales="none")
    assert len(space.start) == 2 * (4 + 3)
    everything = space.decode([1.0] * 14)
    row = [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0), ("b", 1), ("b", 2)]
    assert [(hop.parent, hop.layer) for hop in everything.path] == row * 2
    some = space.decode([0.9 if place in (1, 5, 8) else 0.1 for place in range(14)])
    assert [(hop.parent, hop.layer) for hop in some.path] == [("a", 1), ("b", 1), ("a", 1)]


def test_fixed_ends_are_always_there() -> None:
    """First and last layer of the owner; the first repetition has no indicator for them."""
    space = genome(scales="none")
    assert len(space.start) == 2 * (4 + 3) - 2
    path = space.decode([0.0] * 12).path
    assert [(hop.parent, hop.layer) for hop in path] == [("a", 0), ("a", 3)]
    everything = [(hop.parent, hop.layer) for hop in space.decode([1.0] * 12).path]
    row = [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0), ("b", 1), ("b", 2)]
    assert everything == [*(one for one in row if one != ("a", 3)), *row, ("a", 3)]


def test_a_path_without_layers_becomes_the_owners_first_one() -> None:
    """A model has to have a layer; only free ends allow the case."""
    space = genome(fixed_ends=False, scales="none")
    assert space.decode([0.0] * 14).path == (Hop(parent="a", layer=0),)


def test_a_scale_per_hop_belongs_to_its_place() -> None:
    """Its indicator switches it; a fixed last layer has one of its own."""
    space = genome(scale_range=(0.0, 2.0))
    count = 12
    assert len(space.start) == count + count + 1
    kinds = space.kinds
    assert kinds.binary.tolist() == [True] * count + [False] * (count + 1)
    assert kinds.switch.tolist() == [-1] * count + [*range(count), -1]
    assert kinds.depth is not None
    assert kinds.depth[:count] == pytest.approx((np.arange(count) + 0.5) / count)
    np.testing.assert_array_equal(kinds.depth[count:-1], kinds.depth[:count])
    assert kinds.depth[-1] > kinds.depth[-2]
    numbers = np.linspace(0.1, 0.9, count + 1)
    taken = [float(place in (0, 5)) for place in range(count)]
    path = space.decode([*taken, *numbers]).path
    assert [(hop.parent, hop.layer) for hop in path] == [("a", 0), ("a", 1), ("a", 0), ("a", 3)]
    expected = [1.0, 2 * numbers[0], 2 * numbers[5], 2 * numbers[-1]]
    assert np.allclose([hop.scale for hop in path], expected, atol=1e-6)


def test_the_matrix_has_a_scale_for_each_pair_of_layers() -> None:
    """W[i, j] scales what layer j gets from layer i, at whatever step."""
    space = genome(scales="matrix", fixed_ends=False, scale_range=(0.0, 2.0))
    assert len(space.start) == 14 + 7 * 7
    matrix = np.random.default_rng(1).random((7, 7))
    taken = [float(place in (1, 5, 8, 12)) for place in range(14)]  # a1 b1 a1 b1
    path = space.decode([*taken, *matrix.ravel()]).path
    expected = [1.0, 2 * matrix[1, 5], 2 * matrix[5, 1], 2 * matrix[1, 5]]
    assert np.allclose([hop.scale for hop in path], expected, atol=1e-6)


def test_the_network_gives_scales_in_the_range_from_few_weights() -> None:
    """They depend on both layers and on the step; a saturated output reaches the ends."""
    space = genome(scales="network", hidden=3, fixed_ends=False, scale_range=(0.5, 2.0))
    assert len(space.start) == 14 + 5 * 3 + 1
    taken = [float(place in (1, 5, 8, 12)) for place in range(14)]  # a1 b1 a1 b1
    weights = np.random.default_rng(2).random(16)
    scales = [hop.scale for hop in space.decode([*taken, *weights]).path]
    assert scales[0] == 1.0
    assert len(set(scales)) == 4
    assert all(0.5 <= scale <= 2.0 for scale in scales)
    largest = [hop.scale for hop in space.decode([*taken, *[1.0] * 16]).path][1:]
    smallest = [
        hop.scale for hop in space.decode([*taken, *[1.0] * 9, *[0.5] * 3, *[0.0] * 4]).path
    ][1:]
    assert np.allclose(largest, 2.0, atol=1e-2)
    assert np.allclose(smallest, 0.5, atol=1e-2)


def test_the_network_is_the_formula() -> None:
    """1 + tanh(v tanh(A x + b) + c) times the room on its side, with weights in [-3, 3]."""
    space = genome(scales="network", hidden=1, fixed_ends=False, scale_range=(0.5, 2.0))
    taken = [float(place in (2, 4)) for place in range(14)]  # a2 b0
    numbers = [0.6, 0.7, 0.4, 0.55, 0.8, 0.45]
    a = [6 * value - 3 for value in numbers]
    inner = np.tanh(a[0] * 2 / 6 + a[1] * 4 / 6 + a[2] * 1 / 14 + a[3])
    output = np.tanh(a[4] * inner + a[5])
    expected = 1 + output * (1.0 if output > 0 else 0.5)
    assert np.isclose(space.decode([*taken, *numbers]).path[1].scale, expected, atol=1e-6)


def test_the_paper_has_4288_genes_with_the_full_matrix() -> None:
    """Two models of 32 layers, r = 3: T = 192 indicators, and W of 64 x 64."""
    stage = Stage.model_validate(
        {
            "name": "dfs",
            "parents": ["a", "b"],
            "space": {"kind": "dataflow", "repeats": 3, "scales": "matrix", "fixed_ends": False},
            "budget": {"generations": 1},
        }
    )
    digests = {name: digest_bytes(name.encode()) for name in LAYERS}
    space = build_dataflow_genome(stage, digests=digests, layers={"a": 32, "b": 32})
    assert len(space.start) == 4288
    assert len(space.to_json()) < 2000


@given(st.data())
def test_every_point_of_the_cube_is_a_recipe(data: st.DataObject) -> None:
    """With scales in the range, rounded so that equal candidates have equal digests."""
    scales = data.draw(st.sampled_from(SCALES))
    space = genome(scales=scales, fixed_ends=data.draw(st.booleans()))
    point = data.draw(st.lists(st.floats(0, 1), min_size=(n := len(space.start)), max_size=n))
    recipe = space.decode(point)
    assert all(0.5 <= hop.scale <= 1.5 for hop in recipe.path)
    assert all(hop.scale == round(hop.scale, 6) for hop in recipe.path)
    assert space.decode(point).digest == recipe.digest


def test_a_genome_of_another_length_is_refused() -> None:
    """It belongs to another space."""
    with pytest.raises(LineageError, match="does not fit"):
        genome().decode([0.5] * 3)


def test_fixed_ends_need_an_owner_of_two_layers() -> None:
    """Otherwise first and last are the same one."""
    stage = Stage.model_validate(
        {
            "name": "dfs",
            "parents": ["a"],
            "space": {"kind": "dataflow"},
            "budget": {"generations": 1},
        }
    )
    with pytest.raises(ParentError, match="no two layers"):
        build_dataflow_genome(stage, digests={"a": digest_bytes(b"a")}, layers={"a": 1})


@pytest.mark.parametrize("scales", SCALES)
def test_a_written_space_is_read_again(tmp_path: Path, scales: str) -> None:
    """space.json says of which space it is."""
    space = genome(scales=scales)
    path = tmp_path / "space.json"
    path.write_bytes(space.to_json())
    assert read_genome(path) == space
