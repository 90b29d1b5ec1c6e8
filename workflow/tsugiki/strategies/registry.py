"""All strategies. A stage's configuration chooses one by its `kind`."""

from __future__ import annotations

from tsugiki.strategies.bit_cma import BitCma
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.cma_es_margin import CmaEsMargin
from tsugiki.strategies.coordinate_climb import CoordinateClimb
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.nsga2 import Nsga2
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.sep_cma import SeparableCmaEs

AnyStrategy = (
    CmaEs | CmaEsMargin | SeparableCmaEs | BitCma | Genetic | Nsga2 | CoordinateClimb | RandomSearch
)
