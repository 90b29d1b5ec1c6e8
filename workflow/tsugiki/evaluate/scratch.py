"""A merged model for a moment, in a temporary folder on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.merge.write import write_merge


@contextmanager
def merged_in_scratch(
    recipe: AnyRecipe, folders: Mapping[str, Path], digests: Mapping[str, str], *, threads: int
) -> Iterator[tuple[Path, str]]:
    """Merge a recipe, yield the model's folder and the digest of its weights, and remove it.

    Raises:
        RecipeError, LineageError, ParentError, InfrastructureError: as `write_merge` does.
    """
    with tempfile.TemporaryDirectory(prefix="tsugiki-") as scratch:
        folder = Path(scratch) / "model"
        yield folder, write_merge(recipe, folders, digests, folder, threads=threads)
