"""The strategy that a stage's configuration names."""

from __future__ import annotations

from tsugiki.strategies.bit_cma import BitCma, BitCmaStrategy
from tsugiki.strategies.cma_es import CmaEs, CmaEsStrategy
from tsugiki.strategies.cma_es_margin import CmaEsMargin, CmaEsMarginStrategy
from tsugiki.strategies.genetic import Genetic, GeneticStrategy
from tsugiki.strategies.random_search import RandomSearch, RandomStrategy
from tsugiki.strategies.sep_cma import SeparableCmaEs, SeparableStrategy
from tsugiki.strategies.strategy import Strategy

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
