"""The knee of a front."""

from __future__ import annotations

import numpy as np
import pytest

from tsugiki.finalists.choose import bulges
from tsugiki.keyed import generator


def test_the_knee_is_the_point_furthest_from_the_line_through_the_ends() -> None:
    """Of a quarter of a circle, by symmetry the middle, sqrt(2) - 1 over sqrt(2) times sqrt(2) away: 1 - 1/sqrt(2)."""
    angles = np.linspace(0, np.pi / 2, 9)
    found = bulges(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert found.argmax() == 4
    assert found[4] == pytest.approx(1 - 1 / np.sqrt(2), abs=1e-9)
    assert found[0] == found[-1] == 0.0


def test_units_of_objectives_do_not_matter() -> None:
    """Accuracies and tokens: the front's extent is the unit of each."""
    values = generator("knee").random((20, 3))
    assert np.allclose(bulges(values), bulges(values * [1.0, 400.0, 0.01] + [0.0, -7.0, 3.0]))


def test_whom_another_dominates_is_never_the_knee() -> None:
    """However far it bulges."""
    found = bulges(np.array([[0.0, 1.0], [0.8, 0.8], [0.7, 0.7], [1.0, 0.0]]))
    assert found[2] == -np.inf
    assert found.argmax() == 1


def test_a_hollow_front_has_no_knee_but_its_ends() -> None:
    """All between lie short of the line."""
    found = bulges(np.array([[0.0, 1.0], [0.2, 0.3], [1.0, 0.0]]))
    assert found.tolist() == [0.0, pytest.approx(-0.5 / np.sqrt(2), abs=1e-9), 0.0]


def test_three_objectives_have_a_plane_through_three_ends() -> None:
    """Ends on the axes: the plane x + y + z = 1, and (2/3, 2/3, 2/3) lies 1/sqrt(3) beyond it."""
    values = np.vstack([np.eye(3), np.full(3, 2 / 3)])
    assert bulges(values)[3] == pytest.approx(1 / np.sqrt(3), abs=1e-9)


@pytest.mark.parametrize(
    "values", [[[0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]], [[1.0, 2.0], [0.0, 1.0]]]
)
def test_a_front_of_one_point_is_its_own_knee(values: list[list[float]]) -> None:
    """Nothing to normalise by."""
    found = bulges(np.array(values))
    assert np.isfinite(found[0])
    assert found.argmax() == 0


def test_one_candidate_may_be_the_best_on_two_of_three_objectives() -> None:
    """The ends then make no plane; the sum of what is normalised takes its place."""
    values = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.9, 0.9, 0.8]])
    assert bulges(values).argmax() == 2
