"""How many answers does a search need? Rules that ask fewer questions, with a warm start and without.

On the demo's bed (see search_bed.py), all with the demo's strategy in the demo's space (two weights per block and
parent): all 200 search questions for every candidate; the same 50; 25 fresh ones for each generation, also with a
surrogate, or with estimates by item response theory; successive halving and racing on nested subsets, the same for
the whole search, and halving on fresh ones. A warm start is the tuned baseline, whose 7,200 answers the final table
needs in any case, and which are in no row (nor are the 600 of the parents; item response theory uses both); a cold one
is the same weight everywhere.

Prints, by answers generated, accuracy of the search's mean on the test questions, the mean over all searches, with
the lead over all questions from the same start; and how many searches had a mean by then that is no worse than what
the earlier default (DARE-TIES, 480 candidates on all questions) reached on the same parents with the
finalists' procedure. A search ends when it reaches that, but not before the counts that are compared. No row
includes the 4,600 answers of the finalists' procedure, which all need. Answers are kept: a run that is ended goes on where it
was.

    python bench/efficiency.py [--cache FOLDER] [--seeds 1 2 3 4 5] [--searches 3] [--most 96000] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from search import earlier, lead
from search_bed import CACHE, SIZES, Bed
from searches import Asking, at_weights, components_space, evolve, finals, tuned_grid
from tsugiki.strategies.rungs.halving import Halving
from tsugiki.strategies.rungs.racing import Racing

FULL = 480 * SIZES["search"]
"""Answers of the earlier default."""
COUNTS = (2400, 4800, 9600, 19200, 48000, 96000)
COMPARED = 9600
"""Up to here no search ends, so that all can be compared."""
ALL = "all questions"


@dataclass(frozen=True)
class Rule:
    """How a search asks."""

    asking: Asking
    screened: bool = False


RULES = {
    ALL: Rule(Asking((200,))),
    "the same 50": Rule(Asking((50,), fresh=False)),
    "25 fresh": Rule(Asking((25,))),
    "25 fresh, surrogate": Rule(Asking((25,)), screened=True),
    "25 fresh, IRT": Rule(Asking((25,), irt=True)),
    "halving": Rule(Asking((25, 50, 100, 200), fresh=False, rule=Halving(kind="halving"))),
    "halving, fresh": Rule(Asking((12, 25, 50), rule=Halving(kind="halving"))),
    "racing": Rule(Asking((25, 50, 100, 200), fresh=False, rule=Racing(kind="racing"))),
}
Found = dict[int, dict[tuple[int, int], float]]
"""By answers, then by parents and search: accuracy of the mean."""


def search(bed: Bed, rule: Rule, *, warm: bool, seed: int, answers: int) -> float:
    """Accuracy of a search's last mean on the test questions; of its start before there is one."""
    space = components_space(bed)
    start = at_weights(space, tuned_grid(bed)[0]) if warm else space.start
    trace = evolve(
        bed,
        space,
        start,
        seed=seed,
        answers=answers,
        asking=rule.asking,
        screened=rule.screened,
        population=16,
        sigma=0.1,
    )
    return bed.score(trace.means[-1][2] if trace.means else space.decode(start), "test")


def main() -> None:
    """Run the searches and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--most", type=int, default=FULL, help="answers of a search")
    parser.add_argument("--full", type=int, default=FULL, help="answers of the earlier default")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--quick", action="store_true", help="one set of parents, one search")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.searches, given.most, given.full = given.seeds[:1], 1, 4800, 4800
    counts = [count for count in COUNTS if count <= given.most]
    targets: dict[int, float] = {}
    found: dict[tuple[str, bool], Found] = {}
    for seed in given.seeds:
        bed = Bed(seed, given.cache)
        targets[seed] = finals(bed, earlier(bed, 1, given.full)).winner
        for number in range(1, given.searches + 1):
            for name in given.rules:
                for warm in (True, False):
                    of_rule = found.setdefault((name, warm), {count: {} for count in counts})
                    for count in counts:
                        value = search(bed, RULES[name], warm=warm, seed=number, answers=count)
                        of_rule[count][seed, number] = value
                        if count >= COMPARED and value >= targets[seed]:
                            break
        print(f"parents {seed}: {bed.generated} answers generated", flush=True)
    print(f"\nearlier default, {given.full} answers: {statistics.mean(targets.values()):.3f}")
    print(describe(found, targets))


def describe(found: dict[tuple[str, bool], Found], targets: dict[int, float]) -> str:
    """Accuracies and leads by answers; then the answers that searches needed."""
    counts = list(next(iter(found.values())))
    compared = [count for count in counts if count <= COMPARED]
    lines = [f"\n{'answers':32}" + "".join(f"{count:>8}" for count in compared)]
    for (name, warm), of_rule in found.items():
        means = "".join(f"{statistics.mean(of_rule[count].values()):8.3f}" for count in compared)
        line = f"{_row(name, warm)}{means}"
        if name != ALL and (ALL, warm) in found:
            last, against = of_rule[compared[-1]], found[ALL, warm][compared[-1]]
            line += f"   lead {lead({key: last[key] - against[key] for key in last})}"
        lines.append(line)
    lines.append(f"\n{'searches as good, by answers':32}" + "".join(f"{one:>8}" for one in counts))
    for (name, warm), of_rule in found.items():
        done: set[tuple[int, int]] = set()
        line = _row(name, warm)
        for values in of_rule.values():
            done |= {key for key, value in values.items() if value >= targets[key[0]]}
            line += f"{len(done):>5}/{len(of_rule[counts[0]])}"
        lines.append(line)
    return "\n".join(lines)


def _row(name: str, warm: bool) -> str:
    return f"{name + (', warm start' if warm else ', cold start'):32}"


if __name__ == "__main__":
    main()
