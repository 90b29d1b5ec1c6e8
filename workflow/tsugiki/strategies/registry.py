"""All strategies. A stage's configuration chooses one by its `kind`."""

from __future__ import annotations

from tsugiki.strategies.bit_cma import BitCma
from tsugiki.strategies.cat_cma import CatCma
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.cma_es_margin import CmaEsMargin
from tsugiki.strategies.coordinate_climb import CoordinateClimb
from tsugiki.strategies.cycle_qd import CycleQd
from tsugiki.strategies.de import DifferentialEvolution
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.mo_cma_es import MoCmaEs
from tsugiki.strategies.natural_niches import NaturalNiches
from tsugiki.strategies.nsga2 import Nsga2
from tsugiki.strategies.nsga3 import Nsga3
from tsugiki.strategies.pso import ParticleSwarm
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.sep_cma import SeparableCmaEs

AnyStrategy = (
    CmaEs
    | CmaEsMargin
    | SeparableCmaEs
    | BitCma
    | CatCma
    | DifferentialEvolution
    | ParticleSwarm
    | Genetic
    | Nsga2
    | Nsga3
    | MoCmaEs
    | CycleQd
    | NaturalNiches
    | CoordinateClimb
    | RandomSearch
)
