"""How a generation is split into jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsugiki.evaluate.share import distinct_recipes, share_of
from tsugiki.evolve.population import Candidate, Population


def population(recipes: list[int]) -> Population:
    """A population of the recipes with these numbers."""
    return Population(
        run="r",
        series="ps",
        generation=0,
        split="search",
        previous=None,
        state=None,
        candidates=tuple(
            Candidate(id=f"000-{index:02d}", recipe=f"{recipe:064x}", genome=(), origin={})
            for index, recipe in enumerate(recipes)
        ),
    )


@given(recipes=st.lists(st.integers(0, 9), max_size=30), jobs=st.integers(1, 12))
def test_every_distinct_recipe_is_one_jobs_work(recipes: list[int], jobs: int) -> None:
    """Shares are disjoint, cover all, and differ in size by one at most."""
    of = population(recipes)
    shares = [share_of(of, job, jobs) for job in range(jobs)]
    together = [recipe for share in shares for recipe in share]
    assert sorted(together) == sorted(distinct_recipes(of))
    assert len(together) == len(set(recipes))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
