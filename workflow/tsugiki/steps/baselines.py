"""The population of baselines."""

from __future__ import annotations

from tsugiki.config.run import RunConfig
from tsugiki.config.stack_baseline import StackBaseline
from tsugiki.finalists.baselines import baseline_population
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import BASELINES
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.registry import METHODS
from tsugiki.parents.locate import locate
from tsugiki.parents.lock import ParentsLock, read_lock
from tsugiki.steps.recipes import write_population, write_recipes


def write_baselines(files: RunFiles, config: RunConfig) -> None:
    """Write the population of baselines."""
    per_parent = {
        name: {parameter.name: parameter.per_parent for parameter in method.parameters}
        for name, method in METHODS.items()
    }
    lock = read_lock(files.parents)
    layers = layers_of_parents(config, lock) if _stacks(config) else {}
    population, recipes = baseline_population(config, lock.digests, per_parent, layers)
    series = files.series(BASELINES)
    write_recipes(series, recipes)
    write_population(series.generation(0).population, population)


def layers_of_parents(config: RunConfig, lock: ParentsLock) -> dict[str, int]:
    """Number of layers of every parent, by name."""
    return {
        name: int(Checkpoint(name, folder).config["num_hidden_layers"])
        for name, folder in locate(config, lock).items()
    }


def _stacks(config: RunConfig) -> bool:
    return any(isinstance(baseline, StackBaseline) for baseline in config.baselines)
