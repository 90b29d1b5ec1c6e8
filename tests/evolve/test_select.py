"""From one generation to the next."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs_for_tests import raw_config
from tsugiki.canonical import digest_bytes, pretty_json
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.genome import Known
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Generation, Population
from tsugiki.contracts.scores import scores_of
from tsugiki.errors import LineageError
from tsugiki.evolve.rank import rank
from tsugiki.evolve.select import Next, first, select
from tsugiki.models.kinds.text import TEXT
from tsugiki.space.parameter_space import ParameterGenome, build_parameter_genome
from tsugiki.strategies.state import State

ZERO = "0" * 64
TENSORS = [
    "model.embed_tokens.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "lm_head.weight",
]


def configured(*, strategy: dict[str, Any] | None = None, **budget: int) -> RunConfig:
    """A run with one stage."""
    raw = raw_config(Path("models"), Path("tasks"), Path("results"))
    raw["evaluation"]["objectives"] = raw["evaluation"]["objectives"][:1]
    raw["stages"][0]["strategy"] = strategy or {"kind": "cma_es", "population": 6}
    raw["stages"][0]["budget"] = {"generations": 5, **budget}
    return parse_config(raw, where="test")


def space_of(config: RunConfig) -> ParameterGenome:
    """What the stage's genomes mean."""
    return build_parameter_genome(
        config.stages[0],
        seed=config.seed,
        digests={name: digest_bytes(name.encode()) for name in config.parents},
        tensor_names=TENSORS,
        kind=TEXT,
        per_parent={"weight": True, "density": True},
    )


def score(
    config: RunConfig, drawn: Next, *, failing: tuple[int, ...] = (), flat: bool = False
) -> bytes:
    """outcomes.json: the nearer the weights are to 0.6, the better; `failing` by index."""
    population = Population.model_validate_json(drawn.population)
    outcomes: dict[str, Scored | Failed] = {}
    for index, recipe in enumerate(drawn.recipes):
        values = [
            value
            for of_parent in recipe.parameters["weight"].values.values()
            for value in of_parent.values()
        ]
        value = 0.5 if flat else 1.0 - float(np.mean((np.array(values) - 0.6) ** 2))
        outcomes[recipe.digest] = (
            Failed(recipe=recipe.digest, evaluation=ZERO, kind="model", reason="NaN")
            if index in failing
            else Scored(
                recipe=recipe.digest,
                evaluation=ZERO,
                measured={"even": Measured(value=value, items=8)},
                rates={},
                weights=ZERO,
                records=ZERO,
            )
        )
    entry = rank(population, drawn.population, outcomes, config.evaluation.objectives)
    return pretty_json(entry.model_dump(mode="json"))


def follow(config: RunConfig, drawn: Next, outcomes: bytes) -> Next:
    """The next generation."""
    return select(
        config,
        config.stages[0],
        space_of(config),
        population_bytes=drawn.population,
        state_bytes=drawn.state,
        outcomes_bytes=outcomes,
        objectives=config.evaluation.objectives,
    )


def start(config: RunConfig) -> Next:
    """The first generation."""
    return first(config, config.stages[0], space_of(config))


STRATEGIES = [
    {"kind": "cma_es", "population": 6},
    {"kind": "genetic", "population": 6},
    {"kind": "random", "population": 6},
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one["kind"])
def test_selection_gives_the_same_bytes_twice_and_touches_no_global_state(
    strategy: dict[str, Any],
) -> None:
    """It depends on its arguments alone."""
    config = configured(strategy=strategy)
    drawn = start(config)
    outcomes = score(config, drawn)
    following = follow(config, drawn, outcomes)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what is tested
    random.seed(5)
    expected = np.random.random(), random.random()  # noqa: NPY002 - as above
    np.random.seed(5)  # noqa: NPY002 - as above
    random.seed(5)
    assert start(config) == drawn
    assert follow(config, drawn, outcomes) == following
    assert (np.random.random(), random.random()) == expected  # noqa: NPY002 - as above


def test_selection_gives_the_same_bytes_in_a_new_process(tmp_path: Path) -> None:
    """Also under another hash seed."""
    config = configured()
    drawn = start(config)
    outcomes = score(config, drawn)
    following = follow(config, drawn, outcomes)
    (tmp_path / "outcomes").write_bytes(outcomes)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.evolve.test_select import configured, follow, start\n"
        "folder = Path(sys.argv[1])\n"
        "config = configured()\n"
        "found = follow(config, start(config), (folder / 'outcomes').read_bytes())\n"
        "(folder / 'population').write_bytes(found.population)\n"
        "(folder / 'state').write_bytes(found.state)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": "4711", "HF_HUB_OFFLINE": "1"},
    )
    assert (tmp_path / "population").read_bytes() == following.population
    assert (tmp_path / "state").read_bytes() == following.state


def test_every_generation_names_what_it_follows_from() -> None:
    """A chain of digests: state and outcomes of the generation before."""
    config = configured()
    drawn = start(config)
    population = Population.model_validate_json(drawn.population)
    assert (population.generation, population.previous) == (0, None)
    for generation in range(1, 4):
        outcomes = score(config, drawn)
        drawn = follow(config, drawn, outcomes)
        population = Population.model_validate_json(drawn.population)
        assert population.generation == generation
        assert population.previous == digest_bytes(outcomes)
        assert population.state == digest_bytes(drawn.state)
        assert [one.id for one in population.candidates] == [
            f"{generation:03d}-{index:02d}" for index in range(6)
        ]
        assert [one.recipe for one in population.candidates] == [
            one.digest for one in drawn.recipes
        ]
        assert all(
            one.origin == {"distribution": population.state} for one in population.candidates
        )


def test_children_of_the_genetic_algorithm_name_their_parents() -> None:
    """By the ids of the generation before."""
    config = configured(strategy=STRATEGIES[1])
    drawn = start(config)
    following = follow(config, drawn, score(config, drawn))
    for candidate in Population.model_validate_json(following.population).candidates:
        parents = candidate.origin["parents"]
        assert set(parents) <= {f"000-{index:02d}" for index in range(6)}


@pytest.mark.parametrize("changed", ["state", "population"])
def test_files_that_do_not_belong_together_are_refused(changed: str) -> None:
    """A state or population of another generation never goes unnoticed."""
    config = configured()
    drawn = start(config)
    outcomes = score(config, drawn)
    later = follow(config, drawn, outcomes)
    mixed = {
        "state": Next(drawn.population, later.state, drawn.recipes),
        "population": Next(drawn.population + b"\n", drawn.state, drawn.recipes),
    }[changed]
    with pytest.raises(LineageError, match=f"the {changed} does not belong"):
        follow(config, mixed, outcomes)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one["kind"])
def test_failures_do_not_stop_the_search(strategy: dict[str, Any]) -> None:
    """One of six, and then all of them."""
    config = configured(strategy=strategy)
    drawn = start(config)
    for failing in ((3,), tuple(range(6)), ()):
        drawn = follow(config, drawn, score(config, drawn, failing=failing))
        population = Population.model_validate_json(drawn.population)
        assert len(population.candidates) == 6
        assert np.isfinite([one.genome for one in population.candidates]).all()


def test_the_search_leaves_failures_behind() -> None:
    """Those with a large first gene fail: the mean moves away from them."""
    config = configured(strategy={"kind": "cma_es", "population": 12})
    drawn = start(config)
    for _ in range(6):
        population = Population.model_validate_json(drawn.population)
        failing = tuple(
            index for index, one in enumerate(population.candidates) if one.genome[0] > 0.5
        )
        drawn = follow(config, drawn, score(config, drawn, failing=failing))
    genomes = [one.genome[0] for one in Population.model_validate_json(drawn.population).candidates]
    assert float(np.mean(genomes)) < 0.5


def test_a_stagnant_stage_ends_with_empty_generations() -> None:
    """Two generations without a better candidate; the plan is static, so the rest is empty."""
    config = configured(stagnation=2, generations=6)
    drawn = start(config)
    sizes = []
    stopped = []
    for _ in range(5):
        drawn = follow(config, drawn, score(config, drawn, flat=True))
        population = Population.model_validate_json(drawn.population)
        sizes.append(len(population.candidates))
        stopped.append(population.stopped)
    assert sizes == [6, 6, 0, 0, 0]
    assert stopped[2:] == ["no better candidate in 2 generations"] * 3
    assert drawn.recipes == ()


def test_a_stage_that_improves_does_not_stagnate() -> None:
    """Patience starts anew with each better candidate."""
    config = configured(stagnation=1)
    drawn = start(config)
    outcomes = score(config, drawn)
    following = follow(config, drawn, outcomes)
    assert Population.model_validate_json(following.population).stopped is None


def test_genomes_outside_the_cube_are_kept_raw_and_decoded_at_its_edge() -> None:
    """The optimiser needs the genome that it drew; the recipe has valid values."""
    config = configured(strategy={"kind": "cma_es", "population": 40, "sigma": 1.0})
    drawn = start(config)
    population = Population.model_validate_json(drawn.population)
    genomes = np.array([one.genome for one in population.candidates])
    assert genomes.min() < 0.0
    assert genomes.max() > 1.0
    space = space_of(config)
    for candidate, recipe in zip(population.candidates, drawn.recipes, strict=True):
        clipped = [min(max(value, 0.0), 1.0) for value in candidate.genome]
        assert space.decode(clipped) == recipe
        for name, (low, high) in (("weight", (0.0, 1.5)), ("density", (0.1, 1.0))):
            for values in recipe.parameters[name].values.values():
                assert all(low <= value <= high for value in values.values())


def test_candidates_from_elsewhere_come_last_and_are_told_nearer_to_the_mean() -> None:
    """Named by their origin, scored as they are; CMA-ES learns from shortened steps (Hansen 2011)."""
    config = configured()
    space = space_of(config)
    far = Known(name="far", source="test", recipe=ZERO, point=(1.0,) * len(space.genes))
    begun = space.model_copy(update={"injected": (far,)})
    plain, drawn = first(config, config.stages[0], space), first(config, config.stages[0], begun)
    population = Population.model_validate_json(drawn.population)
    before = Population.model_validate_json(plain.population)
    assert population.candidates[:-1] == before.candidates[:-1]
    assert population.candidates[-1].genome == far.point
    assert population.candidates[-1].origin == {"injected": "far"}
    assert drawn.recipes[-1] == space.decode(far.point)
    outcomes = score(config, drawn)
    following = follow(config, drawn, outcomes)
    strategy, state = config.stages[0].strategy, State.from_bytes(drawn.state)
    genomes = np.array([one.genome for one in population.candidates])
    # the mean is the middle of the cube, the steps are half its diagonal
    n, sigma = genomes.shape[1], 1 / 6
    length = sigma * (np.sqrt(n) + 2 * n / (n + 2))
    genomes[-1] = 0.5 + length / np.sqrt(n)
    ranked = Generation.model_validate_json(outcomes).ranked
    scores = scores_of([one.outcome for one in ranked], config.evaluation.objectives)
    told = strategy.tell(state, genomes, scores)
    mean = State.from_bytes(following.state).arrays["centroid"]
    assert np.allclose(mean, told.arrays["centroid"], atol=1e-12)
