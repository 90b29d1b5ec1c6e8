"""One generation: its candidates before scoring, and the ledger entry after."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tsugiki.contracts.data import Data
from tsugiki.contracts.outcome import Outcome


class Candidate(Data):
    """One member of a population."""

    id: str
    """`<generation>-<index>`, such as `003-07`; unique in its stage."""
    recipe: str
    """Digest of its recipe, which lies in candidates/cand-<first 12 digits>/recipe.json."""
    genome: tuple[float, ...]
    """The raw genotype; values may lie outside the unit cube. Empty for hand-made candidates."""
    origin: dict[str, str | list[str]]
    """Where it came from: `distribution` (digest of the strategy's state), `parents` (candidate
    ids), `note`, or `leader` (id in the generation before: one of the best so far, which comes again to be scored on
    other documents)."""

    @property
    def leads(self) -> bool:
        """Whether it comes again as one of the best so far; the strategy has not asked for it."""
        return "leader" in self.origin


class Population(Data):
    """The candidates of one generation."""

    version: Literal[1] = 1
    run: str
    phase: Annotated[str, Field(alias="series")]
    """Stage name, phase of its finalists, or `baselines`, `test`."""
    generation: int
    split: Literal["search", "validation", "test"]
    """Which items score it."""
    previous: str | None
    """SHA-256 of the preceding generation's outcomes.json; None for the first."""
    state: str | None
    """SHA-256 of the strategy's state.npz it was drawn from; None where there is no strategy."""
    stopped: str | None = None
    """Why the stage ended. An ended stage has no candidates in its later generations."""
    candidates: tuple[Candidate, ...]


class Ranked(Data):
    """A candidate with its outcome."""

    id: str
    recipe: str
    fitness: float | None
    """Weighted sum of the objectives, larger is better; None if it failed, was left at a rung, or if the
    strategy that drew it weighs nothing."""
    outcome: Outcome


class Generation(Data):
    """outcomes.json: the ledger's entry for a generation, candidates in population order."""

    version: Literal[1] = 1
    run: str
    phase: Annotated[str, Field(alias="series")]
    generation: int
    population: str
    """SHA-256 of population.json."""
    ranked: tuple[Ranked, ...]
