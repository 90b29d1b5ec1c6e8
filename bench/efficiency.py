"""How many answers does a search need? Rules that ask fewer questions, with a warm start and without.

On the demo's bed (see search_bed.py), all with one strategy in one space (task arithmetic per block): all 200 search
questions for every candidate; the same 50; 25 fresh ones for each generation; successive halving and racing on
nested subsets, the same for the whole search, and halving on fresh ones. A warm start is the tuned baseline, whose
7,200 answers the final table needs in any case, and which are in no row; a cold one is the same weight everywhere.

Prints accuracy of the search's mean on the test questions by answers generated, the mean over all searches, and the
first of these counts at which it is no worse than what the earlier default (DARE-TIES, 480 candidates on all questions)
reached on the same parents with the finalists' procedure. No row includes the 4,600 answers of the
finalists' procedure, which all need. Answers are kept: a run that is ended goes on where it was.

    python bench/efficiency.py [--cache FOLDER] [--seeds 1 2 3 4 5] [--searches 3] [--most 96000] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from search import earlier, lead
from search_bed import CACHE, SIZES, Bed
from searches import Asking, Trace, at_weights, evolve, finals, tuned_grid, weights_space
from tsugiki.strategies.rungs.halving import Halving
from tsugiki.strategies.rungs.racing import Racing

FULL = 480 * SIZES["search"]
"""Answers of the earlier default."""
COUNTS = (2400, 4800, 9600, 19200, 48000, 96000)
RULES = {
    "all questions": Asking((200,)),
    "the same 50": Asking((50,), fresh=False),
    "25 fresh": Asking((25,)),
    "halving": Asking((25, 50, 100, 200), fresh=False, rule=Halving(kind="halving")),
    "halving, fresh": Asking((12, 25, 50), rule=Halving(kind="halving")),
    "racing": Asking((25, 50, 100, 200), fresh=False, rule=Racing(kind="racing")),
}


def search(bed: Bed, asking: Asking, *, warm: bool, seed: int, answers: int) -> Trace:
    """One search."""
    space = weights_space(bed)
    start = at_weights(space, tuned_grid(bed)[0]) if warm else space.start
    return evolve(
        bed, space, start, seed=seed, answers=answers, asking=asking, population=16, sigma=0.1
    )


def reached(bed: Bed, trace: Trace, counts: Sequence[int]) -> list[float]:
    """Accuracy of the mean on the test questions after so many answers; of the start, before the first."""
    found = []
    for count in counts:
        means = [mean for _, answers, mean in trace.means if answers <= count]
        found.append(bed.score(means[-1], "test") if means else float("nan"))
    return found


def main() -> None:
    """Run the searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--most", type=int, default=FULL, help="answers of a search")
    parser.add_argument("--full", type=int, default=FULL, help="answers of the earlier default")
    parser.add_argument("--quick", action="store_true", help="one set of parents, one search")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.searches, given.most, given.full = given.seeds[:1], 1, 4800, 4800
    counts = [count for count in COUNTS if count <= given.most]
    targets: dict[tuple[int, int], float] = {}
    found: dict[tuple[str, bool], dict[tuple[int, int], list[float]]] = {}
    for seed in given.seeds:
        bed = Bed(seed, given.cache)
        for number in range(1, given.searches + 1):
            full = finals(bed, earlier(bed, number, given.full))
            targets[seed, number] = full.winner
            for name, asking in RULES.items():
                for warm in (True, False):
                    trace = search(bed, asking, warm=warm, seed=number, answers=given.most)
                    values = reached(bed, trace, counts)
                    found.setdefault((name, warm), {})[seed, number] = values
        print(f"parents {seed}: {bed.generated} answers generated", flush=True)
    print(
        f"\nearlier default after {given.full} answers: {statistics.mean(targets.values()):.3f}\n\n"
        f"{'answers':32}" + "".join(f"{count:>8}" for count in counts) + "   reached at"
    )
    for (name, warm), of_search in found.items():
        means = [statistics.mean(column) for column in zip(*of_search.values(), strict=True)]
        target = statistics.mean(targets.values())
        at = next((c for c, mean in zip(counts, means, strict=True) if mean >= target), None)
        last = {key: values[-1] - targets[key] for key, values in of_search.items()}
        print(
            f"{name + (', warm start' if warm else ', cold start'):32}"
            + "".join(f"{mean:8.3f}" for mean in means)
            + f"   {at or 'never'}; at {counts[-1]} {lead(last)}"
        )


if __name__ == "__main__":
    main()
