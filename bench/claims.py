"""The paper's claims on the demo's bed: which of them hold on tiny models, with intervals.

Each row of the paper's tables (Akiba et al., arXiv 2403.13187) that the bed can have (see search_bed.py): parents,
untuned merges, PS with one weight and one density for each parent, from a mean of 0.5 with a step of 1/6, in
generations of 4 + floor(3 ln n), on all search questions; DFS with M = 12 layers in a row, r = 3 and a scale for each
pair of layers, each generation on a quarter of the questions, drawn anew (the paper's batches are 200 of 869); the
hybrid; and PS with 1, 2 and 4 irrelevant parents besides. What is not the paper's: PS with such a
weight and density for each block, PS for the hybrid's price, and the demo's own searches (see search.py and dataflow.py;
its hybrid spends half of the answers on each space). DFS begins at the Japanese
parent, which is the better one by itself on most sets, as Abel is in the paper. An irrelevant parent is the set's base,
trained further in what is neither Japanese questions nor maths.

All searches have as many answers, the hybrid twice as many, and the same finalists' procedure: the 8 best and the
mean on 400 questions, the winner of these on 1,000 others. Prints a table of accuracies, then each claim, all with
their intervals across sets of parents (Student's t) beside the paper's numbers, after each row anew. Answers are kept:
a run that is ended goes on where it was. What is known is in the cache as well (`claims-<candidates>.json`).

    python bench/claims.py [--cache FOLDER] [--seeds 1 2 3 4 5] [--rows PS …] [--candidates 128]
        [--quick]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dataflow import by
from dataflow import hybrid as of_demo_in_both
from demo_seeds import mean_and_half_width
from search import of_demo
from search_bed import CACHE, PARENTS, SIZES, Bed
from searches import Asking, Trace, evolve, finals
from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, Hop, ParentRef, Recipe
from tsugiki.demo.documents import DocumentKind
from tsugiki.demo.parents import ensure_trained
from tsugiki.demo.specification import TRAINING
from tsugiki.space.parameter_space import ParameterGenome

DFS = {"repeats": 3, "scales": "matrix", "scale_range": [0.5, 1.5]}
POPULATION = 16
"""Of a search for paths; the paper's is 128, of 100 generations."""
BATCH = SIZES["search"] // 4
"""Questions of a generation of paths."""
IRRELEVANT: tuple[Mapping[DocumentKind, float], ...] = (
    {"reading_en": 1},
    {"story_en": 1},
    {"japanese_to_english": 1},
    {"reading_en": 1, "story_en": 1},
)
"""What each irrelevant parent was trained in."""
COUNTS = (1, 2, 4)
"""Of irrelevant parents."""
Found = dict[str, dict[int, float]]
"""By row, then by set of parents."""


def ps(bed: Bed, parents: Sequence[str] = PARENTS, grouping: str = "model") -> ParameterGenome:
    """The paper's space: DARE-TIES with a weight and a density for each parent."""
    gene = {"range": [0.0, 1.0], "start": 0.5, "grouping": grouping}
    return bed.space("dare_ties", {"weight": gene, "density": gene}, parents=parents)


def by_cma(bed: Bed, space: ParameterGenome, answers: int) -> Trace:
    """The paper's search of a parameter space, whose step is the strategy's default."""
    size = 4 + math.floor(3 * math.log(len(space.start)))
    return evolve(bed, space, space.start, seed=1, answers=answers, population=size)


def by_paths(bed: Bed, owner: str, other: str, answers: int) -> Trace:
    """A search for paths through two models' layers, from the owner's own."""
    space = bed.paths((owner, other), **DFS)
    return evolve(
        bed,
        space,
        space.start,
        seed=1,
        answers=answers,
        asking=Asking((BATCH,)),
        kind="sep_cma",
        population=POPULATION,
    )


def hybrid(bed: Bed, answers: int) -> Trace:
    """Paths through what PS found, and the Japanese parent."""
    merged = finals(bed, by_cma(bed, ps(bed), answers)).recipe
    assert isinstance(merged, Recipe)
    return by_paths(bed, bed.keep(merged), "japanese", answers)


def with_irrelevant(bed: Bed, count: int, answers: int) -> Trace:
    """PS with so many irrelevant parents besides."""
    names = [irrelevant(bed, place) for place in range(count)]
    return by_cma(bed, ps(bed, (*PARENTS, *names)), answers)


def irrelevant(bed: Bed, place: int) -> str:
    """Have an irrelevant parent; its name."""
    name = f"irrelevant-{place + 1}"
    if name not in bed.folders:
        training = replace(
            TRAINING["japanese"], mixture=IRRELEVANT[place], documents=3200, steps=100
        )
        trainings = {**TRAINING, "japanese": training}
        bed.add(name, ensure_trained("japanese", bed.seed, bed.folders["base"].parent, trainings))
    return name


def stack(bed: Bed) -> DataflowRecipe:
    """A frankenmerge: three quarters of one parent's layers, then three quarters of the other's."""
    layers = bed.model.config.num_hidden_layers
    slices = {"japanese": range(layers * 3 // 4), "maths": range(layers // 4, layers)}
    return DataflowRecipe(
        parents=tuple(ParentRef(name=name, digest=bed.digests[name]) for name in PARENTS),
        owner="japanese",
        head="maths",
        path=tuple(Hop(parent=name, layer=one) for name, taken in slices.items() for one in taken),
        dtype="float32",
    )


def fixed(bed: Bed) -> dict[str, AnyRecipe]:
    """What needs no search: parents, and merges that nobody tuned."""
    half = dict.fromkeys(PARENTS, 0.5)
    both = {"weight": half, "density": half}

    def alone(parent: str) -> Recipe:
        one = {name: float(name == parent) for name in PARENTS}
        return bed.recipe("task_arithmetic", {"weight": one})

    return {
        "base": bed.recipe("task_arithmetic", {"weight": dict.fromkeys(PARENTS, 0.0)}),
        **{parent: alone(parent) for parent in PARENTS},
        "TIES, untuned": bed.recipe("ties", both, normalize=True),
        "DARE-TIES, untuned": bed.recipe("dare_ties", both),
        "frankenmerge": stack(bed),
    }


SEARCHES: dict[str, Callable[[Bed, int], Trace]] = {
    "PS": lambda bed, answers: by_cma(bed, ps(bed), answers),
    "PS, per block": lambda bed, answers: by_cma(bed, ps(bed, grouping="block"), answers),
    "PS, twice": lambda bed, answers: by_cma(bed, ps(bed), 2 * answers),
    "DFS": lambda bed, answers: by_paths(bed, *PARENTS, answers),
    "PS + DFS": hybrid,
    "demo's PS": lambda bed, answers: of_demo(bed, 1, answers),
    "demo's DFS": lambda bed, answers: by("bit_cma")(bed, 1, answers),
    "demo's PS + DFS": lambda bed, answers: of_demo_in_both("bit_cma")(bed, 1, answers),
    **{
        f"PS, {count} irrelevant": lambda bed, answers, count=count: with_irrelevant(
            bed, count, answers
        )
        for count in COUNTS
    },
}
PAPER: dict[str, str] = {
    "japanese": "9.6",
    "maths": "18.4, 30.0",
    "TIES, untuned": "4.4",
    "DARE-TIES, untuned": "35.2",
    "frankenmerge": "0.0",
    "PS": "52.0",
    "DFS": "36.4",
    "PS + DFS": "55.2",
    "PS, 1 irrelevant": "46.8 (50.0 without)",
    "PS, 2 irrelevant": "46.8 (50.0 without)",
    "PS, 4 irrelevant": "48.4 (50.0 without)",
}
"""MGSM-JA in per cent: Tables 1 and 2."""
BEST_PARENT, BEST_UNTUNED = "best parent", "best untuned merge"
CLAIMS: tuple[tuple[str, str, str], ...] = (
    ("PS", BEST_PARENT, "+22.0"),
    ("PS", BEST_UNTUNED, "+16.8"),
    ("DARE-TIES, untuned", "TIES, untuned", "+30.8"),
    ("frankenmerge", BEST_PARENT, "-30.0"),
    ("PS, per block", BEST_PARENT, "not there"),
    ("PS, per block", BEST_UNTUNED, "not there"),
    ("PS, per block", "PS", "no gain to speak of"),
    ("demo's PS", "PS", "not there"),
    ("DFS", BEST_PARENT, "+6.4"),
    ("DFS", "PS", "-15.6"),
    ("PS + DFS", "PS", "+3.2"),
    ("PS + DFS", "PS, twice", "not there"),
    ("demo's PS", BEST_PARENT, "+22.0"),
    ("demo's PS", BEST_UNTUNED, "+16.8"),
    ("demo's DFS", BEST_PARENT, "+6.4"),
    ("demo's DFS", "demo's PS", "-15.6"),
    ("demo's PS + DFS", "demo's PS", "+3.2, at another price"),
    ("PS, 1 irrelevant", "PS", "-3.2"),
    ("PS, 2 irrelevant", "PS", "-3.2"),
    ("PS, 4 irrelevant", "PS", "-1.6"),
)
"""Two rows, and by how much the first is ahead in the paper, in per cent."""


def measure_fixed(bed: Bed, tested: Found) -> None:
    """Note the accuracy, on the test questions, of all that needs no search."""
    for name, recipe in fixed(bed).items():
        tested.setdefault(name, {})[bed.seed] = bed.score(recipe, "test")
    for best, names in (
        (BEST_PARENT, ("base", *PARENTS)),
        (BEST_UNTUNED, ("TIES, untuned", "DARE-TIES, untuned", "frankenmerge")),
    ):
        tested.setdefault(best, {})[bed.seed] = max(tested[name][bed.seed] for name in names)


def measure(bed: Bed, row: str, answers: int, tested: Found, searched: Found) -> None:
    """Note the accuracy of a search's winner, on test and search questions, and of new irrelevant parents."""
    final = finals(bed, SEARCHES[row](bed, answers))
    tested.setdefault(row, {})[bed.seed] = final.winner
    searched.setdefault(row, {})[bed.seed] = bed.score(final.recipe, "search")
    for name in bed.folders:
        if name.startswith("irrelevant"):
            alone = bed.recipe("task_arithmetic", {"weight": {name: 1.0}})
            tested.setdefault(name, {})[bed.seed] = bed.score(alone, "test")


def describe(tested: Found, searched: Found) -> str:
    """The table, and the claims."""
    lines = ["", f"{'row':22} accuracy        on search questions   paper   by set of parents"]
    for name, values in tested.items():
        found = f"{statistics.mean(searched[name].values()):.3f}" if name in searched else ""
        sets = " ".join(f"{one:.3f}" for one in values.values())
        mean, half = mean_and_half_width(list(values.values()))
        paper = PAPER.get(name, "")
        lines.append(f"{name:22} {mean:.3f} ± {half:.3f}   {found:5}   {paper}   {sets}")
    lines += [
        "",
        "how far the first is ahead of the second, and the paper's difference in per cent",
    ]
    for first, second, paper in CLAIMS:
        if {first, second} <= tested.keys():
            ahead = lead(tested[first], tested[second])
            lines.append(f"{first} - {second}: {ahead}   {paper}")
    lines += ["", "what a winner loses from search questions to held-out ones"]
    lines += [f"{name}: {lead(searched[name], tested[name])}" for name in searched]
    return "\n".join(lines)


def lead(first: Mapping[int, float], second: Mapping[int, float]) -> str:
    """Mean difference, and half its 95 % interval across sets of parents."""
    mean, half = mean_and_half_width([value - second[seed] for seed, value in first.items()])
    return f"{mean:+.3f} ± {half:.3f}"


def main() -> None:
    """Measure row after row on all sets of parents, and print what is known after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--rows", nargs="+", choices=SEARCHES, default=list(SEARCHES))
    parser.add_argument("--candidates", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="one set of parents, 16 candidates")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.candidates = given.seeds[:1], 16
    tested: Found = {}
    searched: Found = {}
    beds = [Bed(seed, given.cache) for seed in given.seeds]
    for bed in beds:
        measure_fixed(bed, tested)
    for row in given.rows:
        for bed in beds:
            measure(bed, row, given.candidates * SIZES["search"], tested, searched)
            print(
                f"{row}, parents {bed.seed}: {tested[row][bed.seed]:.3f}; {bed.generated} answers "
                f"generated on these parents, {time.process_time():.0f} s of processor so far",
                flush=True,
            )
        print(f"{describe(tested, searched)}\n", flush=True)
        file = given.cache / f"claims-{given.candidates}.json"
        atomic.write_bytes(file, pretty_json({"tested": tested, "searched": searched}))


if __name__ == "__main__":
    main()
