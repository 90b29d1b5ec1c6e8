"""How much of a generation's differences is noise of the documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation
from tsugiki.contracts.spread import Spread, read_spread, risen, spread
from tsugiki.keyed import generator

DOCUMENTS = 200


def table(seed: int, *, signal: float, better: float = 0.0, candidates: int = 24) -> np.ndarray:
    """Right answers of candidates whose skills have a deviation of `signal`; documents differ, too."""
    random = generator("table", seed)
    skill = 0.4 + better + signal * random.standard_normal(candidates)
    easy = generator("documents").uniform(-0.3, 0.3, DOCUMENTS)
    chance = np.clip(skill[:, None] + easy, 0.0, 1.0)
    return (random.random(chance.shape) < chance).astype(np.float64)


def generation(seed: int, *, signal: float, better: float = 0.0) -> Spread:
    """Of 24 candidates on 200 documents."""
    return spread({"task": (range(DOCUMENTS), table(seed, signal=signal, better=better))})


def test_the_share_of_signal_is_that_of_the_models_which_made_the_scores() -> None:
    """Signal and binomial noise are known here; the mean over 100 generations is near their ratio."""
    signal = 0.05
    easy = generator("documents").uniform(-0.3, 0.3, DOCUMENTS)
    chance = 0.4 + easy
    # E[p(1-p)] over documents, with p = 0.4 + easy + signal·z
    noise = float((chance * (1 - chance) - signal**2).mean()) / DOCUMENTS
    found = [generation(n, signal=signal) for n in range(100)]
    assert np.mean([one.observed for one in found]) == pytest.approx(signal**2 + noise, rel=0.1)
    assert np.mean([one.noise for one in found]) == pytest.approx(noise, rel=0.03)
    shares = [one.signal or 0.0 for one in found]
    assert np.mean(shares) == pytest.approx(signal**2 / (signal**2 + noise), abs=0.05)


def test_noise_is_the_residual_of_the_two_way_layout() -> None:
    """By hand: 2 candidates, 2 documents, residuals of a quarter each, one degree of freedom."""
    found = spread({"task": ((0, 1), np.array([[1.0, 0.0], [0.0, 0.0]]))})
    assert found.noise == pytest.approx(4 * 0.25**2 / 1 / 2)
    assert found.observed == pytest.approx(0.5**2 / 2)
    assert found.signal == pytest.approx(0.0)


def test_chance_alone_is_called_noise_in_nineteen_generations_of_twenty() -> None:
    """The F test holds its level, and misses no clear signal."""
    found = [generation(n, signal=0.0).is_noise for n in range(400)]
    assert np.mean(found) == pytest.approx(0.95, abs=0.04)
    assert not any(generation(n, signal=0.1).is_noise for n in range(50))


def test_tasks_add_up() -> None:
    """The variance of a sum of means of independent documents is the sum of their variances."""
    first, second = table(1, signal=0.0), table(2, signal=0.0)
    documents = range(DOCUMENTS)
    both = spread({"a": (documents, first), "b": (documents, 2 * second)})
    alone = [spread({"x": (documents, one)}) for one in (first, second)]
    assert both.noise == pytest.approx(alone[0].noise + 4 * alone[1].noise)
    score = first.mean(axis=1) + 2 * second.mean(axis=1)
    assert both.observed == pytest.approx(float(score.var(ddof=1)))


def test_a_mean_has_risen_if_it_is_above_by_its_standard_error() -> None:
    """Documents that two generations do not share do not compare."""
    before, same = generation(1, signal=0.05), generation(2, signal=0.05)
    after = generation(3, signal=0.05, better=0.1)
    assert risen(before, after) is True
    assert risen(after, before) is False
    elsewhere = spread({"task": (range(500, 700), table(4, signal=0.05))})
    assert risen(before, elsewhere) is None
    assert risen(before, same) is False


def test_it_is_read_from_the_records_of_a_generation(tmp_path: Path) -> None:
    """Failures have none; a generation of one scored candidate says nothing."""
    run = SyntheticRun(RunFiles(tmp_path / "run"), generations=2, population=4)
    run.write_stage(failing=["000-00", "001-00", "001-01", "001-02"])
    phase, objectives = run.files.phase("ps"), run.config.evaluation.objectives
    first, second = (read_generation(phase.generation(n).outcomes) for n in range(2))
    found = read_spread(phase, first, objectives)
    assert found is not None
    scores = [one.fitness for one in first.ranked if one.fitness is not None]
    assert found.candidates == 3
    assert found.observed == pytest.approx(float(np.var(scores, ddof=1)))
    assert len(found.means["demo_ja_maths"]) == run.items
    assert read_spread(phase, second, objectives) is None
