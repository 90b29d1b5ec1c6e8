"""Search the problems of `search_problems` with cmaes, pycma and pymoo; runs in their own environment.

python run_search_peers.py inputs.json    # prints losses as JSON: peer, function, seed, number
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cma
import cmaes
import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.algorithms.soo.nonconvex.pso import PSO
from pymoo.core.problem import Problem as PymooProblem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from search_problems import FRONTS, NUMBERS, Problem, SpentError

SIGMA, SPREAD = 1 / 6, 0.15
LEAST_STEP = 1e-3


def _cmaes(problem: Problem, genes: int, population: int, kind: Any, **settings: Any) -> None:
    search = kind(
        mean=np.full(genes, 0.5),
        sigma=SIGMA,
        seed=problem.seed,
        population_size=population,
        **settings,
    )
    while True:
        asked = [search.ask() for _ in range(population)]
        pairs = [one if isinstance(one, tuple) else (one, one) for one in asked]
        seen = problem(np.array([one for one, _ in pairs]))
        search.tell([(one, float(value)) for (_, one), value in zip(pairs, seen, strict=True)])


def _full(problem: Problem, genes: int, population: int) -> None:
    _cmaes(problem, genes, population, cmaes.CMA, bounds=np.array([[0.0, 1.0]] * genes))


def _separable(problem: Problem, genes: int, population: int) -> None:
    _cmaes(problem, genes, population, cmaes.SepCMA, bounds=np.array([[0.0, 1.0]] * genes))


def _margin(problem: Problem, genes: int, population: int) -> None:
    bounds = np.array([[0.0, 1.0]] * genes)
    _cmaes(problem, genes, population, cmaes.CMAwM, bounds=bounds, steps=np.ones(genes))


def _options(problem: Problem, population: int) -> dict[str, Any]:
    return {
        "popsize": population,
        "seed": problem.seed + 1,  # 0 is the clock
        "bounds": [0, 1],
        "verbose": -9,
        "verb_log": 0,
    }


def _pycma(problem: Problem, genes: int, population: int) -> None:
    search = cma.CMAEvolutionStrategy(genes * [0.5], SIGMA, _options(problem, population))
    while True:
        asked = search.ask()
        search.tell(asked, problem(np.array(asked)).tolist())


def _restarted(bipop: bool) -> Callable[[Problem, int, int], None]:
    def search(problem: Problem, genes: int, population: int) -> None:
        starts = np.random.default_rng(problem.seed)
        first = iter([np.full(genes, 0.5)])
        cma.fmin2(
            lambda point: float(problem(np.array([point]))[0]),
            lambda: next(first, starts.random(genes)),
            SIGMA,
            {**_options(problem, population), "tolx": LEAST_STEP},
            restarts=9,
            bipop=bipop,
        )

    return search


def _pymoo(make: Callable[[int, int, Any], Any]) -> Callable[[Problem, int, int], None]:
    def search(problem: Problem, genes: int, population: int) -> None:
        class Wrapped(PymooProblem):  # type: ignore[misc]
            def _evaluate(self, x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
                out["F"] = problem(np.array(x, dtype=float))

        objectives = FRONTS[problem.name][1] if problem.name in FRONTS else 1
        noise = np.random.default_rng(problem.seed).normal(size=(population, genes))
        noise[0] = 0.0
        start: Any = np.clip(0.5 + SPREAD * noise, 0.0, 1.0)
        if problem.name == "bits":
            start = start > 0.5
        asked = Wrapped(n_var=genes, n_obj=objectives, xl=0.0, xu=1.0)
        generations = problem.evaluations[-1] // population + 10
        minimize(
            asked, make(population, objectives, start), ("n_gen", generations), seed=problem.seed
        )

    return search


def _nsga3(population: int, objectives: int, start: Any) -> Any:
    steps = population - 1
    while objectives == 3 and (steps + 1) * (steps + 2) // 2 > population:
        steps -= 1
    directions = get_reference_directions("uniform", objectives, n_partitions=steps)
    return NSGA3(directions, pop_size=population, sampling=start)


PEERS: dict[str, tuple[tuple[str, ...], Callable[[Problem, int, int], None]]] = {
    "cmaes CMA": (NUMBERS, _full),
    "pycma": (NUMBERS, _pycma),
    "cmaes SepCMA": (NUMBERS, _separable),
    "pycma IPOP": (("rastrigin",), _restarted(bipop=False)),
    "pycma BIPOP": (("rastrigin",), _restarted(bipop=True)),
    "pymoo DE": (NUMBERS, _pymoo(lambda size, _, start: DE(pop_size=size, sampling=start))),
    "pymoo PSO": (NUMBERS, _pymoo(lambda size, _, start: PSO(pop_size=size, sampling=start))),
    "pymoo GA": (NUMBERS, _pymoo(lambda size, _, start: GA(pop_size=size, sampling=start))),
    "cmaes CMAwM": (("bits",), _margin),
    "pymoo GA, flips": (
        ("bits",),
        _pymoo(
            lambda size, _, start: GA(
                pop_size=size,
                sampling=start,
                crossover=UniformCrossover(),
                mutation=BitflipMutation(),
            )
        ),
    ),
    "pymoo NSGA-II": (
        tuple(FRONTS),
        _pymoo(lambda size, _, start: NSGA2(pop_size=size, sampling=start)),
    ),
    "pymoo NSGA-III": (tuple(FRONTS), _pymoo(_nsga3)),
    "pymoo SMS-EMOA": (
        tuple(FRONTS),
        _pymoo(lambda size, _, start: SMSEMOA(pop_size=size, sampling=start)),
    ),
}


def main() -> None:
    """Search, and print losses."""
    inputs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    warnings.filterwarnings("ignore")
    found: dict[str, dict[str, list[list[float]]]] = {}
    for peer, (functions, search) in PEERS.items():
        for name in functions:
            for seed in range(inputs["seeds"]):
                problem = Problem(name, seed, inputs["evaluations"])
                with contextlib.suppress(SpentError):
                    search(problem, inputs["genes"], inputs["population"])
                found.setdefault(peer, {}).setdefault(name, []).append(problem.losses())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
