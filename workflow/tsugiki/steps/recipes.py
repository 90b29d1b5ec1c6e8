"""Writing the recipes of a population; the population itself comes last."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.evolve.population import Population
from tsugiki.lineage.layout import SeriesFiles
from tsugiki.recipe.read import AnyRecipe


def write_recipes(series: SeriesFiles, recipes: Iterable[AnyRecipe]) -> None:
    """Write recipe.json of each candidate, where it is not there yet."""
    files = {series.candidate(recipe.digest).recipe: recipe.to_json() for recipe in recipes}
    atomic.write_all(
        {
            path: content
            for path, content in files.items()
            if not (path.is_file() and path.read_bytes() == content)
        }
    )


def write_population(path: Path, population: Population) -> None:
    """Write population.json."""
    atomic.write_bytes(path, pretty_json(population.model_dump(mode="json")))
