"""Searching the unit cube with the strategies of a stage: ask and tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, TypeAdapter

from tsugiki.contracts.scores import Scores
from tsugiki.strategies.registry import AnyStrategy
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Strategy, clip


def strategy(kind: str, start: Sequence[float], *, seed: int = 0, **settings: Any) -> Search:
    """Begin a search of the unit cube with one of the strategies of a stage.

    Args:
        kind: Such as `cma_es`; the others are in config/README.md, with their settings.
        start: shape (genes,): where the search starts, each number between 0 and 1.
        seed: The same seed, settings and scores give the same points.
        settings: Those of the strategy, such as `population`.

    Raises:
        ValueError: there is no such strategy or setting.
    """
    kinds: TypeAdapter[AnyStrategy] = TypeAdapter(
        Annotated[AnyStrategy, Field(discriminator="kind")]
    )
    made = kinds.validate_python({"kind": kind, **settings})
    return Search(made, made.initial(np.array(start, dtype=np.float64)), seed)


@dataclass
class Search:
    """Ask for points, tell their scores, again and again.

    Attributes:
        strategy: How points are drawn; pure functions of the state.
        state: All that the search remembers; `state.to_bytes()` keeps it.
        seed: Of all randomness, with the number of the generation.
        generation: How many generations have been told.
    """

    strategy: Strategy
    state: State
    seed: int
    generation: int = 0

    def ask(self) -> Array:
        """The points of this generation, the same ones until it is told.

        Returns:
            float64, shape (population, genes), each number between 0 and 1.
        """
        return clip(self._genomes())

    def tell(self, scores: ArrayLike) -> None:
        """Take the scores of the points that were asked for.

        Args:
            scores: shape (population,), or (population, objectives): most strategies take their sum,
                others look at each, and to `natural_niches` each is a document. Larger is better.
                NaN says that a point has no score.

        Raises:
            ValueError: there are more or fewer than were asked for.
        """
        genomes, values = self._genomes(), np.asarray(scores, dtype=np.float64)
        if values.ndim not in {1, 2} or len(values) != len(genomes):
            raise ValueError(f"expected scores of {len(genomes)} points, got shape {values.shape}")
        values = values.reshape(len(genomes), -1)
        failed = ~np.isfinite(values.sum(axis=1))
        values = np.where(failed[:, None], np.nan, values)
        told = Scores(values, failed, np.ones(values.shape[1]))
        self.state = self.strategy.tell(self.state, genomes, told)
        self.generation += 1

    @property
    def mean(self) -> Array | None:
        """The centre of the search, shape (genes,), between 0 and 1; None if the strategy has none."""
        found = self.strategy.mean(self.state)
        return None if found is None else clip(found)

    def _genomes(self) -> Array:
        """The points as the strategy knows them, which may lie outside the unit cube."""
        asked = self.strategy.ask(self.state, (self.seed, "ask", self.generation))
        return np.stack([one.genome for one in asked])
