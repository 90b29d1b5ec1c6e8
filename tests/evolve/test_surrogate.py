"""Screening what a strategy asks for by a model of the scores."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evolve.test_select import configured, score, space_of, start
from tsugiki.canonical import digest_bytes
from tsugiki.config.stage import Surrogate
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.population import Generation, Population
from tsugiki.contracts.scores import Scores
from tsugiki.evolve.select import Next, select
from tsugiki.evolve.stop import Past
from tsugiki.evolve.surrogate import fit, screen
from tsugiki.keyed import generator
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.strategy import Asked


def test_a_gaussian_process_is_that_of_the_book() -> None:
    """Rasmussen and Williams (2006), algorithm 2.1, at the length and noise that were chosen."""
    points = generator("surrogate", "points").random((30, 2))
    values = np.sin(6 * points[:, 0]) + points[:, 1]
    model = fit(points, values)
    new = generator("surrogate", "new").random((8, 2))

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(first[:, None] - second[None], axis=2)
        scaled = np.sqrt(5) * distance / model.length
        return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)

    predictions = [
        values.mean()
        + kernel(new, points)
        @ np.linalg.solve(kernel(points, points) + noise * np.eye(30), values - values.mean())
        for noise in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    ]
    found = model.predict(new)
    assert min(np.abs(found - one).max() for one in predictions) < 1e-8
    truth = np.sin(6 * new[:, 0]) + new[:, 1]
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.25 * truth.std()


def test_noise_that_says_nothing_is_taken_for_noise() -> None:
    """Scores that have nothing to do with the genes: predictions stay near their mean."""
    random = generator("surrogate", "noise")
    model = fit(random.random((60, 5)), random.normal(size=60))
    predicted = model.predict(random.random((100, 5)))
    assert predicted.std() < 0.5


def test_each_place_of_the_second_half_takes_the_best_of_its_own_draws() -> None:
    """And the first half is as the strategy asks for it."""
    points = generator("surrogate", "line").random((40, 1))
    model = fit(points, points[:, 0])
    draws = [
        [Asked(np.array([value]), (index,)) for index, value in enumerate(row)]
        for row in ([0.5, 0.1, 0.2, 0.7], [0.9, 0.9, 0.3, 0.4], [0.8, 0.8, 0.1, 0.9])
    ]
    kept = screen(draws, model, GeneKinds.numbers(1))
    assert [float(one.genome[0]) for one in kept] == [0.5, 0.1, 0.3, 0.9]
    assert [one.parents for one in kept] == [(0,), (1,), (2,), (3,)]


def searched(seed: int, oversample: int) -> float:
    """How far the mean of CMA-ES is from the best point of a noisy sphere, after 12 generations of 10."""
    strategy = CmaEs(population=10)
    state = strategy.initial(np.full(10, 0.3))
    goal, noise = np.full(10, 0.7), generator("surrogate", "sphere", seed)
    genomes, values = np.empty((0, 10)), np.empty(0)
    for generation in range(12):
        draws = [
            strategy.ask(state, (seed, generation, draw)) for draw in range(max(1, oversample))
        ]
        asked = draws[0]
        if oversample and len(values):
            asked = screen(draws, fit(genomes[-100:], values[-100:]), GeneKinds.numbers(10))
        drawn = np.array([one.genome for one in asked])
        scored = -((np.clip(drawn, 0, 1) - goal) ** 2).sum(axis=1) + 0.02 * noise.normal(size=10)
        genomes, values = np.concatenate([genomes, drawn]), np.concatenate([values, scored])
        scores = Scores(scored[:, np.newaxis], np.zeros(10, dtype=np.bool_), np.ones(1))
        state = strategy.tell(state, drawn, scores)
    return float(((state.arrays["centroid"] - goal) ** 2).sum())


def test_a_search_gets_further_with_a_surrogate_at_the_same_number_of_evaluations() -> None:
    """In the median of fifteen searches."""
    plain = np.median([searched(seed, 0) for seed in range(15)])
    screened = np.median([searched(seed, 4) for seed in range(15)])
    assert screened < plain


def test_a_generation_follows_from_files_and_its_first_half_is_what_is_asked() -> None:
    """With another second half, as soon as there are candidates enough."""
    plain = configured()
    stage = plain.stages[0].model_copy(update={"surrogate": Surrogate(oversample=3)})
    config = plain.model_copy(update={"stages": [stage]})
    drawn = start(plain)
    assert start(config) == drawn
    outcomes = score(plain, drawn)

    def follow(run: object, past: Past = Past()) -> Next:  # noqa: B008 - frozen
        chosen = config if run is config else plain
        return select(
            chosen,
            chosen.stages[0],
            space_of(chosen),
            population_bytes=drawn.population,
            state_bytes=drawn.state,
            outcomes_bytes=outcomes,
            objectives=chosen.evaluation.objectives,
            past=past,
        )

    screened, other = follow(config), follow(plain)
    assert screened == follow(config)
    assert screened.state == other.state
    names = [
        [one.recipe for one in Population.model_validate_json(one.population).candidates]
        for one in (screened, other)
    ]
    assert names[0][:3] == names[1][:3]
    assert names[0][3:] != names[1][3:]
    known = (
        Population.model_validate_json(drawn.population),
        Generation.model_validate_json(outcomes),
    )
    assert digest_bytes(follow(plain, Past(history=(known,))).population) == digest_bytes(
        other.population
    )


@pytest.mark.parametrize(("generation", "expected"), [(0, []), (1, [0]), (4, [2, 3])])
def test_a_model_is_fitted_on_the_latest_generations(generation: int, expected: list[int]) -> None:
    """Three, the ranked one included."""
    stage = configured().stages[0].model_copy(update={"surrogate": Surrogate(generations=3)})
    assert list(stage.modelled(generation)) == expected
