"""How a generation is split into jobs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tsugiki.contracts.layout import GenerationFiles
from tsugiki.contracts.population import Candidate, Population
from tsugiki.evaluate.shards import distinct_recipes, jobs_that_scored, shard_of


def population(recipes: list[int]) -> Population:
    """A population of the recipes with these numbers."""
    return Population(
        run="r",
        phase="ps",
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
    shares = [shard_of(of, job, jobs) for job in range(jobs)]
    together = [recipe for share in shares for recipe in share]
    assert sorted(together) == sorted(distinct_recipes(of))
    assert len(together) == len(set(recipes))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def write_marks(files: GenerationFiles, of: Population, jobs: int) -> None:
    """Marks of the shares of `jobs` jobs."""
    for job in range(jobs):
        mark = {"outcomes": dict.fromkeys(shard_of(of, job, jobs), "digest")}
        files.evaluated(job).write_text(json.dumps(mark))


@given(
    recipes=st.sets(st.integers(0, 30), min_size=8, max_size=20),
    jobs=st.integers(1, 8),
    before=st.integers(1, 8),
)
def test_a_ranked_generation_tells_how_it_was_split(
    recipes: set[int], jobs: int, before: int
) -> None:
    """Whatever marks of another split, which was stopped in the middle, lie beside its own."""
    of = population(sorted(recipes))
    with tempfile.TemporaryDirectory() as folder:
        files = GenerationFiles(Path(folder))
        files.population.write_text(of.model_dump_json())
        write_marks(files, of, before)
        write_marks(files, of, jobs)
        assert jobs_that_scored(files) is None
        files.outcomes.touch()
        assert jobs_that_scored(files) == jobs
        files.evaluated(0).unlink()
        assert jobs_that_scored(files) is None
