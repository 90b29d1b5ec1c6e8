"""One generation: its candidates before scoring, and the ledger entry after."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tsugiki.contracts.data import Data, IfSet
from tsugiki.contracts.outcome import Failed, Outcome, Scored

INJECTED = "injected"
"""Key of a candidate's origin that names a candidate from elsewhere, which the strategy did not draw."""


class Candidate(Data):
    """One member of a population."""

    id: str
    """`<generation>-<index>`, such as `003-07`; unique in its stage."""
    recipe: str
    """Digest of its recipe, which lies in candidates/cand-<first 12 digits>/recipe.json."""
    genome: tuple[float, ...]
    """The raw genotype; values may lie outside the unit cube. Empty for hand-made candidates."""
    origin: dict[str, str | list[str]]
    """Where it came from: `distribution` (digest of the strategy's state), `parents` (ids of candidates, of any
    generation before), `injected` (its name in the configuration), `note`, or `leader` (id in the generation before: one of the best so far, which comes again to be scored on
    other documents)."""

    @property
    def leads(self) -> bool:
        """Whether it comes again as one of the best so far; the strategy has not asked for it."""
        return "leader" in self.origin


class Bound(Data):
    """What an objective of the winner is to be on the validation items."""

    value: float
    """At least this; at most, if `weight` is below 0."""
    weight: float
    """What a unit of the objective adds to the weighted sum."""


class Population(Data):
    """The candidates of one generation."""

    version: Literal[1] = 1
    run: str
    phase: Annotated[str, Field(alias="series")]
    """Stage name, phase of its finalists, or `baselines`, `flatness`, `test`, `repeat`."""
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
    left_out: IfSet[dict[str, list[int]] | None] = None
    """Search documents by source that tell nothing apart, as the parents and the first generation show; None
    where none are looked for, and before it is known."""

    bounds: IfSet[dict[str, Bound] | None] = None
    """Of finalists, by objective: what the winner is to meet; None where the weighted sum alone chooses it."""
    knee: IfSet[dict[str, float] | None] = None
    """Of finalists whose winner is the knee of their front, by objective: 1 if larger is better, -1 if smaller
    is. Each one's values on the search items, in this order, are in its origin. None where weights choose."""


class Ranked(Data):
    """A candidate with its outcome."""

    id: str
    recipe: str
    fitness: float | None
    """Weighted sum of the objectives, larger is better; None if it failed, was left at a rung, or if the
    strategy that drew it weighs nothing."""
    outcome: Outcome
    estimated: IfSet[dict[str, float] | None] = None
    """By objective, what it is estimated to score on all documents of a stage, of which it was asked a few. The strategy
    is told of these; they are never compared with scores. None where nothing is estimated."""

    @property
    def told(self) -> Scored | Failed:
        """The outcome as the strategy is told of it: with estimates in place of scores, where there are any."""
        if self.estimated is None or not isinstance(self.outcome, Scored):
            return self.outcome
        measured = {
            name: one.model_copy(update={"value": self.estimated.get(name, one.value)})
            for name, one in self.outcome.measured.items()
        }
        return self.outcome.model_copy(update={"measured": measured})


class Generation(Data):
    """outcomes.json: the ledger's entry for a generation, candidates in population order."""

    version: Literal[1] = 1
    run: str
    phase: Annotated[str, Field(alias="series")]
    generation: int
    population: str
    """SHA-256 of population.json."""
    ranked: tuple[Ranked, ...]

    @property
    def own_documents(self) -> int | None:
        """Its number, if its candidates were scored on documents of its own; None if all share theirs."""
        outcomes = [one.outcome for one in self.ranked if isinstance(one.outcome, Scored)]
        return self.generation if any(one.so_far is not None for one in outcomes) else None
