"""Does the search beat chance and what one would do by hand, at equal cost?

On the demo's bed (see search_bed.py), with parents and questions of several seeds and several searches on
each, at equal numbers of answers: the demo's search; the same from the tuned baseline, and with one weight for a block and parent, not two; the default up to version 1;
uniform random candidates in the same space, on all questions, or as many as the demo's search has on as few fresh ones;
a coordinate climb from the tuned baseline, over one weight per block and parent as in the final table, or in the same space. The grid of that baseline, 36 merges, is there for the
final table in any case; its 7,200 answers are in no budget. All have the same finalists' procedure: the 8 best and the
mean on 400 questions, the winner of these on 1,000 others.

Prints, for each budget, the mean over all searches first, then the lead of the demo's search over each rival
with two 95 % intervals: for these parents (what other searches would give), and across parents (what other parents
would give; Student's t over the parents' means). Chosen for show: the learning rate of the
demo's maths expert, with which it forgets Japanese, so that no parent solves the task. Numbers differ between
processors, since training does. Answers are kept: a run that is ended goes on where it was.

    python bench/search.py [--cache FOLDER] [--seeds 1 2 3 4 5] [--searches 3] [--rivals NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from scipy.stats import t as student

from demo_seeds import mean_and_half_width
from search_bed import CACHE, SIZES, Bed
from searches import (
    Asking,
    Trace,
    at_weights,
    climb,
    components_space,
    evolve,
    finals,
    first_space,
    tuned_grid,
    weights_space,
)
from tsugiki.space.parameter_space import ParameterGenome

Contestant = Callable[[Bed, int, int], Trace]
"""Bed, seed of the search, and most answers."""
Found = dict[tuple[str, int], dict[tuple[int, int], float]]
"""By contestant and budget, then by parents and search."""

BUDGETS = (24, 128, 240, 480)
"""In candidates on all search questions; what is compared is answers."""


def of_demo(bed: Bed, seed: int, answers: int) -> Trace:
    """config/config.yaml: two weights per block and parent, small steps, many generations of few fresh questions."""
    space = components_space(bed)
    return _small_steps(bed, space, space.start, seed, answers)


def one_weight(bed: Bed, seed: int, answers: int) -> Trace:
    """The same with one weight per block and parent, for the whole task vector."""
    space = weights_space(bed)
    return _small_steps(bed, space, space.start, seed, answers)


def from_baseline(bed: Bed, seed: int, answers: int) -> Trace:
    """The demo's search from the tuned baseline."""
    space = components_space(bed)
    return _small_steps(bed, space, at_weights(space, tuned_grid(bed)[0]), seed, answers)


def _small_steps(
    bed: Bed, space: ParameterGenome, start: Sequence[float], seed: int, answers: int
) -> Trace:
    return evolve(
        bed,
        space,
        start,
        seed=seed,
        answers=answers,
        asking=Asking((25,)),
        population=16,
        sigma=0.1,
    )


def earlier(bed: Bed, seed: int, answers: int) -> Trace:
    """The default up to version 1: weights and densities of DARE-TIES per block, all questions."""
    space = first_space(bed)
    return evolve(bed, space, space.start, seed=seed, answers=answers, population=24, sigma=0.2)


def uniform(
    bed: Bed, seed: int, answers: int, *, asking: Asking | None = None, population: int = 24
) -> Trace:
    """Uniform random candidates in the space of the demo's search."""
    space = components_space(bed)
    return evolve(
        bed,
        space,
        space.start,
        seed=seed,
        answers=answers,
        asking=asking,
        kind="random",
        population=population,
    )


def by_hand(bed: Bed, seed: int, answers: int) -> Trace:
    """A coordinate climb over one weight per block and parent, from the tuned baseline."""
    return _climb(bed, weights_space(bed), seed, answers)


def by_hand_in_components(bed: Bed, seed: int, answers: int) -> Trace:
    """The same over the two weights of the demo's search."""
    return _climb(bed, components_space(bed), seed, answers)


def _climb(bed: Bed, space: ParameterGenome, seed: int, answers: int) -> Trace:
    start = at_weights(space, tuned_grid(bed)[0])
    return climb(bed, space, start, seed=seed, evaluations=answers // SIZES["search"])


DEMO = "the demo's search"
CONTESTANTS: dict[str, Contestant] = {
    DEMO: of_demo,
    "from the baseline": from_baseline,
    "one weight": one_weight,
    "coordinate climb": by_hand,
    "coordinate climb, same space": by_hand_in_components,
    "random": uniform,
    "random, 25 fresh questions": partial(uniform, asking=Asking((25,)), population=16),
    "earlier default": earlier,
}


def main() -> None:
    """Run the searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser, BUDGETS)
    parser.add_argument("--rivals", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    given = quick(parser.parse_args())
    names = dict.fromkeys([DEMO, *given.rivals])
    print(describe(compare({name: CONTESTANTS[name] for name in names}, given), DEMO))


def add_arguments(parser: argparse.ArgumentParser, budgets: Sequence[int]) -> None:
    """What a comparison is asked for."""
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(budgets))
    parser.add_argument(
        "--quick", action="store_true", help="one set of parents, one search, 24 candidates"
    )


def quick(given: argparse.Namespace) -> argparse.Namespace:
    """The arguments, made small where that is asked for."""
    if given.quick:
        given.seeds, given.searches, given.budgets = given.seeds[:1], 1, [24]
    return given


def compare(contestants: Mapping[str, Contestant], given: argparse.Namespace) -> Found:
    """Run the searches; test accuracy of each one's winner."""
    found: Found = {}
    for seed in given.seeds:
        bed, began = Bed(seed, given.cache), time.monotonic()
        for search in range(1, given.searches + 1):
            for budget in given.budgets:
                for name, contestant in contestants.items():
                    final = finals(bed, contestant(bed, search, budget * SIZES["search"]))
                    found.setdefault((name, budget), {})[seed, search] = final.winner
        grid = bed.score(bed.recipe("task_arithmetic", {"weight": tuned_grid(bed)[0]}), "test")
        print(
            f"parents {seed}: tuned baseline {grid:.3f}; {bed.generated} answers generated, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    return found


def describe(found: Found, ours: str) -> str:
    """The table: accuracy by contestant and budget, and the leads of one of them."""
    lines = []
    for budget in sorted({budget for _, budget in found}):
        lines.append(f"\n{budget} candidates on {SIZES['search']} questions, or as many answers")
        best = found[ours, budget]
        for name in dict.fromkeys(name for name, _ in found):
            values = found[name, budget]
            leads = {key: best[key] - values[key] for key in values}
            line = f"  {name:32} {statistics.mean(values.values()):.3f}"
            if name != ours:
                line += f"   lead {lead(leads)}"
            of_parents = parents_means(values).values()
            lines.append(f"{line}   by parents: {' '.join(f'{one:.3f}' for one in of_parents)}")
    return "\n".join(lines)


def parents_means(values: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """Mean over the searches on each set of parents."""
    return {
        parents: statistics.mean(value for (one, _), value in values.items() if one == parents)
        for parents in dict.fromkeys(parents for parents, _ in values)
    }


def lead(leads: Mapping[tuple[int, int], float]) -> str:
    """Mean lead, with its interval for these parents and across parents."""
    means = parents_means(leads)
    within = [value - means[parents] for (parents, _), value in leads.items()]
    freedom = len(within) - len(means)
    here = math.nan
    if freedom > 0:
        variance = sum(value**2 for value in within) / freedom
        here = _t(freedom) * math.sqrt(variance / len(within))
    _, across = mean_and_half_width(list(means.values()))
    return (
        f"{statistics.mean(leads.values()):+.3f} ± {here:.3f} for these parents, "
        f"± {across:.3f} across parents"
    )


def _t(freedom: int) -> float:
    """Student's t, two-sided 95 %."""
    return float(student.ppf(0.975, freedom))


if __name__ == "__main__":
    main()
