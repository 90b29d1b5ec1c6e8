"""The strategy that a stage's configuration names."""

from __future__ import annotations

from tsugiki.config.mixed_strategies import BitCma, CmaEsMargin, SeparableCmaEs
from tsugiki.config.stage import CmaEs, Genetic, RandomSearch
from tsugiki.evolve.strategies.bit_cma import BitCmaStrategy
from tsugiki.evolve.strategies.cma_es import CmaEsStrategy
from tsugiki.evolve.strategies.cma_es_margin import CmaEsMarginStrategy
from tsugiki.evolve.strategies.genetic import GeneticStrategy
from tsugiki.evolve.strategies.random_search import RandomStrategy
from tsugiki.evolve.strategies.sep_cma import SeparableStrategy
from tsugiki.evolve.strategy import Strategy

Settings = CmaEs | CmaEsMargin | SeparableCmaEs | BitCma | Genetic | RandomSearch


def make_strategy(settings: Settings) -> Strategy:
    """The strategy for a stage's settings."""
    match settings:
        case CmaEs():
            return CmaEsStrategy(settings)
        case CmaEsMargin():
            return CmaEsMarginStrategy(settings)
        case SeparableCmaEs():
            return SeparableStrategy(settings)
        case BitCma():
            return BitCmaStrategy(settings)
        case Genetic():
            return GeneticStrategy(settings)
        case RandomSearch():
            return RandomStrategy(settings)
