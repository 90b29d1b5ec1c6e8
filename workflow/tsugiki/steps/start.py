"""The first generation of a stage."""

from __future__ import annotations

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.errors import ConfigError
from tsugiki.evolve.select import first
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.run_models import RunModels, models_of
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.models import Models
from tsugiki.merge.plan import make_plan
from tsugiki.merge.registry import get_method
from tsugiki.space.dataflow_space import build_dataflow_genome
from tsugiki.space.genome import Genome
from tsugiki.space.parameter_space import build_parameter_genome
from tsugiki.steps.recipes import write_recipes

FULL = {"cma_es", "cma_es_margin"}
MOST_GENES = 2000
"""A full covariance of so many genes puts three matrices of 32 MB into each state."""


def write_first(files: RunFiles, config: RunConfig, stage: Stage) -> None:
    """Write space.json and the first generation.

    Raises:
        ConfigError: the strategy cannot handle so many genes.
        ParentError: the parents cannot be merged.
    """
    space = build_genome(stage, models_of(files, config, stage.name), seed=config.seed)
    if (genes := len(space.start)) > MOST_GENES and stage.strategy.kind in FULL:
        raise ConfigError(
            f"the space has too many genes for {stage.strategy.kind}",
            where=f"stage {stage.name}",
            expected=f"at most {MOST_GENES:,} genes, since it learns all their covariances",
            got=f"{genes:,}",
            fix="use the strategy `sep_cma`, or fewer genes",
        )
    series = files.series(stage.name)
    following = first(config, stage, space)
    atomic.write_bytes(series.space, space.to_json())
    write_recipes(series, following.recipes)
    generation = series.generation(0)
    atomic.write_bytes(generation.state, following.state)
    atomic.write_bytes(generation.population, following.population)


def build_genome(stage: Stage, models: RunModels, *, seed: int) -> Genome:
    """What the genomes of a stage mean, from the headers of its models."""
    if not isinstance(stage.space, ParameterSpace):
        folders = {name: models.folders[name] for name in stage.parents}
        parents = DataflowParents(Models(folders, models.digests))
        layers = {name: len(parents.parts(name).layers) for name in stage.parents}
        genome = build_dataflow_genome(stage, digests=models.digests, layers=layers)
        parents.check(genome.decode([1.0] * len(genome.start)))
        return genome
    members = sorted(stage.members)
    plan = make_plan([Checkpoint(name, models.folders[name]) for name in members])
    method = get_method(stage.space.method)
    return build_parameter_genome(
        stage,
        seed=seed,
        digests=models.digests,
        tensor_names=[planned.name for planned in plan.tensors],
        per_parent={parameter.name: parameter.per_parent for parameter in method.parameters},
    )
