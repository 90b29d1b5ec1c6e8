"""Paths through layers: are they ahead of chance and of greedy insertion, and of merges, at equal numbers of answers?

On the demo's bed (see search_bed.py), with parents and questions of several seeds and several searches on each. Table
`paths`: the data-flow stage of config/hybrid.yaml (paths that begin and end with the Japanese parent's layers) against
uniform random candidates in its space, greedy insertion of layers, and other strategies. Table `spaces`:
parameter space (PS, the demo's search), data-flow space (DFS), and the hybrid, which spends half of its answers on PS
and the other half on paths through what came of it. All have the same finalists' procedure: the 8 best and the
mean on 400 questions, the winner of these on 1,000 others; the hybrid has it twice.

Prints what bench/search.py prints: means over all searches, and leads with their 95 % intervals. Answers are kept: a run
that is ended goes on where it was.

    python bench/dataflow.py [--tables paths spaces] [--cache FOLDER] [--seeds 1 2 3 4 5] [--searches 3] [--quick]
"""

from __future__ import annotations

import argparse
from typing import Any

from search import Contestant, add_arguments, compare, describe, of_demo, quick
from search_bed import PARENTS, SIZES, Bed
from searches import Asking, Trace, evolve, finals, insertion
from tsugiki.contracts.recipe import Recipe
from tsugiki.space.dataflow_space import DataflowGenome

SPACE = {"repeats": 2, "scales": "per_hop", "scale_range": [0.5, 1.5]}
"""Of config/hybrid.yaml."""
BUDGETS = {"paths": (24, 128), "spaces": (128, 256)}
"""In candidates on all search questions; what is compared is answers."""
PATHS, HYBRID = "bit_cma", "PS, then DFS"


def by(kind: str, asking: Asking | None = None, **settings: Any) -> Contestant:
    """A search for a path from the owner's own one; `settings` of the space."""

    def search(bed: Bed, seed: int, answers: int) -> Trace:
        return _search(bed, bed.paths(PARENTS, **SPACE | settings), seed, answers, kind, asking)

    return search


def greedy(bed: Bed, seed: int, answers: int) -> Trace:
    """Greedy insertion."""
    space = bed.paths(PARENTS, **SPACE)
    return insertion(bed, space, seed=seed, evaluations=answers // SIZES["search"])


def hybrid(kind: str, asking: Asking | None = None) -> Contestant:
    """Half of the answers in parameter space, half for paths through its winner's layers and the maths parent's."""

    def search(bed: Bed, seed: int, answers: int) -> Trace:
        space = over_merge(bed, seed, answers // 2)
        return _search(bed, space, seed, answers // 2, kind, asking)

    return search


def hybrid_by_hand(bed: Bed, seed: int, answers: int) -> Trace:
    """The hybrid with greedy insertion for its paths."""
    space = over_merge(bed, seed, answers // 2)
    return insertion(bed, space, seed=seed, evaluations=answers // 2 // SIZES["search"])


def over_merge(bed: Bed, seed: int, answers: int) -> DataflowGenome:
    """Paths through the layers of a merge that so many answers found, and of the maths parent."""
    merged = finals(bed, of_demo(bed, seed, answers)).recipe
    assert isinstance(merged, Recipe)
    return bed.paths((bed.keep(merged), "maths"), **SPACE)


def _search(
    bed: Bed,
    space: DataflowGenome,
    seed: int,
    answers: int,
    kind: str,
    asking: Asking | None = None,
) -> Trace:
    return evolve(
        bed,
        space,
        space.start,
        seed=seed,
        answers=answers,
        asking=asking,
        kind=kind,
        population=16,
    )


TABLES: dict[str, tuple[str, dict[str, Contestant]]] = {
    "paths": (
        PATHS,
        {
            PATHS: by("bit_cma"),
            "bit_cma, no scales": by("bit_cma", scales="none"),
            "cma_es_margin": by("cma_es_margin"),
            "cma_es_margin, 25 fresh": by("cma_es_margin", Asking((25,))),
            "coordinate_climb": by("coordinate_climb"),
            "greedy insertion": greedy,
            "random": by("random"),
        },
    ),
    "spaces": (
        HYBRID,
        {
            HYBRID: hybrid("bit_cma"),
            "PS, then cma_es_margin, 25 fresh": hybrid("cma_es_margin", Asking((25,))),
            "PS, then greedy insertion": hybrid_by_hand,
            "PS": of_demo,
            "DFS": by("bit_cma"),
        },
    ),
}


def main() -> None:
    """Run what is asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=list(TABLES))
    add_arguments(parser, ())
    given = quick(parser.parse_args())
    asked = given.budgets
    for name in given.tables:
        ours, contestants = TABLES[name]
        given.budgets = asked or BUDGETS[name]
        print(f"{name}\n{describe(compare(contestants, given), ours)}\n", flush=True)


if __name__ == "__main__":
    main()
