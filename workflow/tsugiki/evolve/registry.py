"""The strategy that a stage's configuration names."""

from __future__ import annotations

from tsugiki.config.stage import CmaEs, Genetic, RandomSearch
from tsugiki.evolve.strategies.cma_es import CmaEsStrategy
from tsugiki.evolve.strategies.genetic import GeneticStrategy
from tsugiki.evolve.strategies.random_search import RandomStrategy
from tsugiki.evolve.strategy import Strategy


def make_strategy(settings: CmaEs | Genetic | RandomSearch) -> Strategy:
    """The strategy for a stage's settings."""
    match settings:
        case CmaEs():
            return CmaEsStrategy(settings)
        case Genetic():
            return GeneticStrategy(settings)
        case RandomSearch():
            return RandomStrategy(settings)
