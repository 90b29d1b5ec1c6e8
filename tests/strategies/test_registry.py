"""What the port promises, of every strategy in the registry."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores
from tsugiki.strategies.registry import AnyStrategy
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy, clip

POPULATION = 12
STRATEGIES = {
    kind: one(kind=kind, population=POPULATION)
    for one in get_args(AnyStrategy)
    for kind in get_args(one.model_fields["kind"].annotation)
}
STRATEGIES |= {
    # a step that small is as good as none: each search ends with its first population
    f"{one.kind} {restarts}": one.model_copy(update={"restarts": restarts, "sigma": 1e-4})
    for one, restarts in [
        (STRATEGIES["cma_es"], "ipop"),
        (STRATEGIES["cma_es_margin"], "bipop"),
        (STRATEGIES["sep_cma"], "bipop"),
    ]
}
KINDS = GeneKinds(
    binary=np.array([True, True, False, False, False]), switch=np.array([-1, -1, 0, 1, -1])
)
START = np.array([0.3, 0.6, 0.5, 0.5, 0.5])


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    """Each strategy in turn."""
    return STRATEGIES[request.param]


def genomes_of(asked: list[Asked]) -> Array:
    """Shape (population, genes)."""
    return np.array([one.genome for one in asked])


def judged(genomes: Array) -> Scores:
    """Two objectives that do not agree; candidates with a large last gene fail."""
    cube = clip(genomes)
    values = np.stack([-((cube - at) ** 2).sum(axis=1) for at in (0.2, 0.8)], axis=1)
    return scored(values, np.flatnonzero(cube[:, -1] > 0.7).tolist())


def follow(strategy: Strategy, state: State, generation: int) -> State:
    """The state after one more generation."""
    genomes = genomes_of(strategy.ask(state, (1, "ask", generation)))
    return strategy.tell(state, genomes, judged(genomes))


def after(strategy: Strategy, generations: int) -> State:
    """The state after some generations."""
    state = strategy.initial(START, KINDS)
    for generation in range(generations):
        state = follow(strategy, state, generation)
    return state


def test_asking_and_telling_are_pure(strategy: Strategy) -> None:
    """Equal arguments, equal results; no state, argument or global generator is changed."""
    state = after(strategy, 3)
    before = state.to_bytes()
    np.random.seed(7)  # noqa: NPY002 - the global generator is what is tested
    random.seed(7)
    expected = np.random.random(), random.random()  # noqa: NPY002 - as above
    np.random.seed(7)  # noqa: NPY002 - as above
    random.seed(7)
    first, again, other = (genomes_of(strategy.ask(state, (1, key))) for key in "aab")
    scores = judged(first)
    given_ = first.copy(), scores.values.copy()
    told = [strategy.tell(state, first, scores).to_bytes() for _ in range(2)]
    assert (np.random.random(), random.random()) == expected  # noqa: NPY002 - as above
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert told[0] == told[1]
    assert state.to_bytes() == before
    assert np.array_equal(first, given_[0])
    assert np.array_equal(scores.values, given_[1], equal_nan=True)


def test_a_search_goes_on_bit_for_bit_from_the_bytes_of_its_state(strategy: Strategy) -> None:
    """Read anew after every generation, it comes to the state of the search that was not stopped."""
    state = strategy.initial(START, KINDS)
    for generation in range(6):
        state = State.from_bytes(follow(strategy, state, generation).to_bytes())
    assert state.to_bytes() == after(strategy, 6).to_bytes()


def test_a_search_goes_on_bit_for_bit_in_a_new_process(strategy: Strategy, tmp_path: Path) -> None:
    """With another hash seed, from the bytes of the state alone."""
    (tmp_path / "2.npz").write_bytes(after(strategy, 2).to_bytes())
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.strategies.test_registry import STRATEGIES, follow\n"
        "from tsugiki.strategies.state import State\n"
        "folder, name = Path(sys.argv[1]), sys.argv[2]\n"
        "state = State.from_bytes((folder / '2.npz').read_bytes())\n"
        "for generation in (2, 3, 4):\n"
        "    state = follow(STRATEGIES[name], state, generation)\n"
        "(folder / '5.npz').write_bytes(state.to_bytes())\n"
    )
    (name,) = [name for name, one in STRATEGIES.items() if one is strategy]
    command = [sys.executable, "-c", script, str(tmp_path), name]
    environment = {"PYTHONHASHSEED": "4711"}
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=environment)
    assert (tmp_path / "5.npz").read_bytes() == after(strategy, 5).to_bytes()


def test_every_generation_has_its_size_and_can_be_decoded(strategy: Strategy) -> None:
    """As many candidates as asked for, of finite genes; parents are among those who live in the state."""
    state = strategy.initial(START, KINDS)
    for generation in range(6):
        asked = strategy.ask(state, (1, "ask", generation))
        assert len(asked) == POPULATION
        assert np.isfinite(genomes_of(asked)).all()
        living = strategy.living(state)
        assert len(living.genomes) == len(living.told)
        assert strategy.keeps or (living.told >= 0).all()
        assert all(0 <= one < len(living.told) for candidate in asked for one in candidate.parents)
        state = follow(strategy, state, generation)


def test_indicators_are_at_first_as_uncertain_as_the_start_says(strategy: Strategy) -> None:
    """Of 400, a tenth differs from the more probable value; to plain CMA-ES they are numbers, others ask for no such start."""
    if strategy.kind in {"cma_es", "coordinate_climb", "random"}:
        pytest.skip("has no use for it")
    count = 400
    start = np.where(np.arange(count) % 2, 0.9, 0.1)
    kinds = replace(GeneKinds.numbers(count), binary=np.ones(count, dtype=np.bool_))
    _, *others = genomes_of(strategy.ask(strategy.initial(start, kinds), (1, "ask", 0)))
    differ = np.mean((np.array(others) > 0.5) != (start > 0.5))
    assert differ == pytest.approx(0.1, abs=0.02)


def test_generations_of_failures_leave_a_usable_state(strategy: Strategy) -> None:
    """At the start, and after something was scored."""
    for before in (0, 2):
        state = after(strategy, before)
        for generation in range(5):
            genomes = genomes_of(strategy.ask(state, (1, generation)))
            failures = scored(np.zeros((POPULATION, 2)), range(POPULATION))
            state = strategy.tell(state, genomes, failures)
        assert np.isfinite(genomes_of(strategy.ask(state, (1, 5)))).all()


def test_a_search_goes_on_where_a_generation_failed_as_a_whole(strategy: Strategy) -> None:
    """Equal from the bytes of its state, and what it tells of itself is finite."""
    state, again = after(strategy, 2), after(strategy, 2)
    for generation in range(2, 6):
        genomes = genomes_of(strategy.ask(state, (1, "ask", generation)))
        everybody = range(POPULATION) if generation in {2, 4} else []
        scores = scored(
            judged(genomes).values, [*np.flatnonzero(judged(genomes).failed), *everybody]
        )
        state = strategy.tell(state, genomes, scores)
        again = strategy.tell(State.from_bytes(again.to_bytes()), genomes, scores)
        assert again.to_bytes() == state.to_bytes()
    mean = strategy.mean(state)
    assert mean is None or np.isfinite(mean).all()


def test_a_search_that_is_drawn_to_a_corner_stays_in_the_cube_or_near_it(
    strategy: Strategy,
) -> None:
    """Candidates are decoded at the nearest point of the cube; only normal draws need that."""
    state = strategy.initial(START, KINDS)
    for generation in range(40):
        genomes = genomes_of(strategy.ask(state, (1, "ask", generation)))
        outside = np.abs(genomes - clip(genomes))[:, ~KINDS.binary]
        assert np.median(outside) < 3
        if strategy.kind in {"de", "pso", "genetic", "nsga2", "nsga3", "random"}:
            assert not outside.any()
        values = np.stack([clip(genomes).sum(axis=1)] * 2, axis=1)
        state = strategy.tell(state, genomes, scored(values))


def test_nothing_better_than_failures_is_no_progress(strategy: Strategy) -> None:
    """The generation of the last better candidate stays; the first score of all is better."""
    state = strategy.initial(START, KINDS).with_scalars(best=None, best_generation=0)
    failures = scored(np.zeros((POPULATION, 2)), range(POPULATION))
    assert strategy.progress(state, failures, 3)["best_generation"] == 0
    one = scored(np.zeros((POPULATION, 2)), range(1, POPULATION))
    assert strategy.progress(state, one, 3)["best_generation"] == 3


def test_the_same_scores_again_are_no_progress(strategy: Strategy) -> None:
    """Neither for one number, nor for a front."""
    state = strategy.initial(START, KINDS).with_scalars(best=None, best_generation=0)
    genomes = genomes_of(strategy.ask(state, (1, "ask", 0)))
    scores = judged(genomes)
    remembered = strategy.progress(state, scores, 1)
    state = strategy.tell(state, genomes, scores).with_scalars(**remembered)
    assert strategy.progress(state, scores, 2)["best_generation"] == 1
    better = replace(scores, values=scores.values + 1.0)
    assert strategy.progress(state, better, 2)["best_generation"] == 2


@given(
    values=st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=1, max_size=12),
    data=st.data(),
)
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_the_best_are_distinct_scored_and_dominated_by_none(
    strategy: Strategy, values: list[tuple[int, int]], data: st.DataObject
) -> None:
    """No failure is among them, and the first one is on the front, whatever the strategy."""
    failed = data.draw(st.sets(st.sampled_from(range(len(values)))))
    best = strategy.best(scored(values, sorted(failed)), 5)
    assert len(set(best)) == len(best) <= 5
    assert bool(best) == (len(failed) < len(values))
    assert not set(best) & failed
    known = [value for index, value in enumerate(values) if index not in failed]
    for index in best[:1] if strategy.weighs else best:
        mine = values[index]
        assert not any(
            one != mine and all(a >= b for a, b in zip(one, mine, strict=True)) for one in known
        )


def test_candidates_from_elsewhere_are_told_no_farther_from_the_mean_than_draws_are(
    strategy: Strategy,
) -> None:
    """Where there is a normal distribution: in its direction, by Hansen 2011, equation 4; else as they are."""
    state = strategy.initial(START, GeneKinds.numbers(5))
    step = strategy.model_dump().get("sigma", 1.0)
    near, far = START + 0.01 * step, np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    told = strategy.injected(state, np.array([near, far]))
    assert np.allclose(told[0], near)
    if strategy.mean(state) is None and strategy.kind != "bit_cma":
        assert np.array_equal(told[1], far)
        return
    sigma = strategy.model_dump()["sigma"]
    length = np.linalg.norm(told[1] - START) / sigma
    assert length == pytest.approx(np.sqrt(5) + 10 / 7)
    assert np.allclose(np.cross(told[1][:3] - START[:3], far[:3] - START[:3]), 0.0)
