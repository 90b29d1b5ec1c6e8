"""How a search looks and moves, by generation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.progress.diagnosis import condition, diagnose, diversity, root_mean_square
from tsugiki.report.generations import movement_figure, sentences, signal_figure


def searched(folder: Path, kind: str) -> SyntheticRun:
    """Three generations drawn by a strategy."""
    strategy = {"kind": kind, "population": 6}
    run = SyntheticRun(RunFiles(folder / "run"), generations=3, strategy=strategy)
    run.write_search()
    return run


def test_numbers_by_their_formulas() -> None:
    """Distances are for one gene: corners of a square are 1 apart along a side in each of two genes."""
    square = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert diversity(square) == pytest.approx((1.0 + 2 * math.sqrt(0.5)) / 3)
    assert diversity(square[:1]) is None
    assert condition(np.array([0.1, 0.2, 0.4])) == pytest.approx(16.0)
    assert condition(np.empty(0)) is None
    assert root_mean_square(np.array([0.3, 0.4])) == pytest.approx(math.sqrt(0.125))


def test_cma_es_starts_round_and_with_its_step(tmp_path: Path) -> None:
    """As its settings say: `sigma`, and the identity; then both change, and the mean moves."""
    run = searched(tmp_path, "cma_es")
    (stage,), objectives = run.config.stages, run.config.evaluation.objectives
    phase = run.files.phase("ps")
    first, second, third = diagnose(phase, stage, list(entries(phase)), objectives)
    assert first.step == pytest.approx(1 / 6)
    assert first.condition == pytest.approx(1.0)
    assert first.moved is None
    # two points of a normal distribution are sqrt(2) steps apart, in each gene
    assert first.diversity == pytest.approx(math.sqrt(2) / 6, rel=0.3)
    assert second.moved is not None
    assert 0 < second.moved < 3 / 6
    assert third.condition is not None
    assert third.condition > 1
    assert all(one.signal is not None and 0 <= one.signal <= 1 for one in (first, second, third))


@pytest.mark.parametrize("kind", ["sep_cma", "bit_cma", "genetic", "random"])
def test_every_strategy_is_diagnosed_as_far_as_it_can_be(tmp_path: Path, kind: str) -> None:
    """One without a distribution has candidates that lie apart and a centre that moves."""
    run = searched(tmp_path, kind)
    (stage,), objectives = run.config.stages, run.config.evaluation.objectives
    phase = run.files.phase("ps")
    *_, last = diagnose(phase, stage, list(entries(phase)), objectives)
    assert (last.step is not None) is (kind in ("sep_cma", "bit_cma"))
    assert last.diversity is not None
    assert last.moved is not None


def test_figures_say_in_words_what_they_show(tmp_path: Path) -> None:
    """A dot for each generation and number; nothing where nothing is known."""
    run = searched(tmp_path, "cma_es")
    phase = run.files.phase("ps")
    found = diagnose(
        phase, run.config.stages[0], list(entries(phase)), run.config.evaluation.objectives
    )
    signal, movement = signal_figure({"ps": found}), movement_figure({"ps": found})
    assert signal is not None
    assert signal.body.count("<title>generation") == 3
    assert f"{found[-1].signal:.0%} in the last generation" in signal.description
    assert movement is not None
    assert movement.body.count("<title>generation") == 3 + 3 + 2
    assert "condition number of the covariance 1 → " in sentences({"ps": found})["movement"]
    assert signal_figure({}) is movement_figure({}) is None
