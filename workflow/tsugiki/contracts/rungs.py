"""rung-<n>.json: which candidates of a generation go on from a rung, and why others do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from tsugiki.contracts.data import Data
from tsugiki.contracts.layout import GenerationFiles
from tsugiki.json_files import reader


class Judged(Data):
    """A candidate that was scored on a rung's documents."""

    recipe: str
    """Digest of its recipe."""
    outcome: str
    """SHA-256 of its outcome.json of this rung."""
    left: str | None
    """Why it is left here; None if it goes on."""


class Promotion(Data):
    """The decision after a rung, which says who is scored on the documents of the next one."""

    version: Literal[1] = 1
    run: str
    phase: Annotated[str, Field(alias="series")]
    generation: int
    rung: int
    population: str
    """SHA-256 of population.json."""
    candidates: tuple[Judged, ...]
    """Those that came so far, each recipe once, in population order."""


read_promotion = reader(Promotion.model_validate_json, "decision after a rung")
"""Read rung-<n>.json; LineageError where it is missing or no such decision."""


def left_at(files: GenerationFiles, rungs: Iterable[int]) -> dict[str, int]:
    """The rung at which each recipe was left that does not go on, over some rungs of a generation.

    Raises:
        LineageError: a decision is missing or damaged.
    """
    return {
        judged.recipe: rung
        for rung in rungs
        for judged in read_promotion(files.promotion(rung)).candidates
        if judged.left is not None
    }
