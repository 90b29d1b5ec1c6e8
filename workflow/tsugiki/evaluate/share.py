"""How a generation is split into jobs."""

from __future__ import annotations

from tsugiki.evolve.population import Population


def distinct_recipes(population: Population) -> list[str]:
    """Digests of a generation's recipes, each once, in population order."""
    return list(dict.fromkeys(candidate.recipe for candidate in population.candidates))


def share_of(population: Population, job: int, jobs: int) -> list[str]:
    """The recipes that one of `jobs` jobs evaluates: every `jobs`-th, from `job` on."""
    return distinct_recipes(population)[job::jobs]
