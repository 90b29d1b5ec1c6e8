"""tsugiki's strategies against cmaes, pycma and pymoo, at equal evaluations.

Each search has the same start, first step or spread, and population; settings are otherwise the defaults of
each side. Prints, for each function and number of evaluations, the median loss over the seeds of both, and
the ratio of the medians (below 1: tsugiki is nearer) with its 95 % interval by bootstrap over the seeds.

    python bench/strategies.py [--seeds 25] [--genes 16] [--generations 20 80] [--environments DIR]

Installs the peers into an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np

from peer_environments import peer_python
from search_problems import FRONTS, NUMBERS, Problem, SpentError
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores
from tsugiki.strategies.registry import AnyStrategy
from tsugiki.strategies.strategy import clip

OURS: list[tuple[str, dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [
    ("cma_es", {}, ("cmaes CMA", "pycma"), NUMBERS),
    ("sep_cma", {}, ("cmaes SepCMA",), NUMBERS),
    ("cma_es", {"restarts": "ipop"}, ("pycma IPOP",), ("rastrigin",)),
    ("cma_es", {"restarts": "bipop"}, ("pycma BIPOP",), ("rastrigin",)),
    ("de", {}, ("pymoo DE",), NUMBERS),
    ("pso", {}, ("pymoo PSO",), NUMBERS),
    ("genetic", {}, ("pymoo GA",), NUMBERS),
    ("cma_es_margin", {}, ("cmaes CMAwM",), ("bits",)),
    ("genetic", {}, ("pymoo GA, flips",), ("bits",)),
    ("nsga2", {}, ("pymoo NSGA-II",), tuple(FRONTS)),
    ("nsga3", {}, ("pymoo NSGA-III",), tuple(FRONTS)),
    ("mo_cma_es", {}, ("pymoo SMS-EMOA",), tuple(FRONTS)),
]
"""Kind, settings, peers, functions."""
LEAST = {"bits": 0.02}
KINDS = {get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(AnyStrategy)}


def search(kind: str, settings: dict[str, Any], problem: Problem, genes: int, size: int) -> None:
    """Search a problem with one of our strategies until its evaluations are spent."""
    strategy = KINDS[kind](kind=kind, population=size, **settings)
    kinds = GeneKinds.numbers(genes)
    if problem.name == "bits":
        kinds = GeneKinds(np.ones(genes, dtype=np.bool_), np.full(genes, -1))
    state = strategy.initial(np.full(genes, 0.5), kinds)
    for generation in range(problem.evaluations[-1]):
        genomes = np.array(
            [one.genome for one in strategy.ask(state, ("bench", problem.seed, generation))]
        )
        try:
            seen = problem(clip(genomes))
        except SpentError:
            return
        values = -seen.reshape(size, -1)
        scores = Scores(values, np.zeros(size, dtype=np.bool_), np.ones(values.shape[1]))
        state = strategy.tell(state, genomes, scores)


def interval(ours: np.ndarray, theirs: np.ndarray, least: float) -> tuple[float, float, float]:
    """Ratio of the medians, with the 95 % interval of 2,000 draws of seeds.

    Args:
        ours: Losses, shape (seeds,).
        theirs: The same of the peer.
        least: Losses below are as good as none.
    """
    ours, theirs = np.maximum(ours, least), np.maximum(theirs, least)
    draws = np.random.default_rng(0).integers(len(ours), size=(2, 2000, len(ours)))
    ratios = np.median(ours[draws[0]], axis=1) / np.median(theirs[draws[1]], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(np.median(ours) / np.median(theirs)), float(low), float(high)


def main() -> None:
    """Search with both sides, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--genes", type=int, default=16)
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--generations", type=int, nargs="+", default=[20, 80])
    parser.add_argument("--environments", type=Path, default=Path("~/.cache/tsugiki/bench"))
    arguments = parser.parse_args()
    evaluations = [arguments.population * one for one in sorted(arguments.generations)]
    python = peer_python("strategies", arguments.environments.expanduser())
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.json"
        sizes = {"genes": arguments.genes, "population": arguments.population}
        inputs.write_text(
            json.dumps({**sizes, "seeds": arguments.seeds, "evaluations": evaluations})
        )
        script = Path(__file__).parent / "run_search_peers.py"
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        answer = subprocess.run(
            [python, script, inputs],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **threads},
        )
    theirs = json.loads(answer.stdout.splitlines()[-1])
    print("| strategy | peer | function | evaluations | ours | theirs | ratio | 95 % interval |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, settings, peers, functions in OURS:
        for name in functions:
            losses = []
            for seed in range(arguments.seeds):
                problem = Problem(name, seed, evaluations)
                search(kind, settings, problem, arguments.genes, arguments.population)
                losses.append(problem.losses())
            for peer in peers:
                for at, count in enumerate(evaluations):
                    mine, other = (np.array(one)[:, at] for one in (losses, theirs[peer][name]))
                    ratio, low, high = interval(mine, other, LEAST.get(name, 1e-9))
                    shown = " ".join([kind, *settings.values()])
                    print(
                        f"| {shown} | {peer} | {name} | {count} | {np.median(mine):.3g} | "
                        f"{np.median(other):.3g} | {ratio:.2f} | {low:.2f} to {high:.2f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
