"""Strategies for indicators (binary genes), and for very many genes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tsugiki.config.base import Section

Step = Annotated[float, Field(gt=0, le=1)]
Margin = Annotated[float, Field(gt=0, lt=0.5)]


class CmaEsMargin(Section):
    """CMA-ES with margin, for indicators and numbers together (Hamano et al. 2022)."""

    kind: Literal["cma_es_margin"]
    """CMA-ES with margin."""
    sigma: Step = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""
    margin: Margin | None = None
    """Smallest probability of either value of an indicator; 1/(n times population) if absent."""


class SeparableCmaEs(Section):
    """CMA-ES with a diagonal covariance, for thousands of genes (Ros and Hansen 2008).

    Indicators, if there are any, keep a margin as in `cma_es_margin`.
    """

    kind: Literal["sep_cma"]
    """Separable CMA-ES."""
    sigma: Step = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""
    margin: Margin | None = None
    """Smallest probability of either value of an indicator; 1/(n times population) if absent."""


class BitCma(Section):
    """A genetic algorithm on the indicators, separable CMA-ES on the numbers that are in use."""

    kind: Literal["bit_cma"]
    """Genetic algorithm and CMA-ES together."""
    population: Annotated[int, Field(ge=4)] = 24
    """Candidates in a generation."""
    survivors: Annotated[int, Field(ge=2)] | None = None
    """Best candidates of all generations that children are bred from; half the population if
    absent."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability that a child has two parents."""
    flips: Annotated[float, Field(gt=0)] = 1.0
    """Indicators that a mutation flips, on average."""
    sigma: Step = 1 / 6
    """First step size of the numbers, in units of their ranges."""
