"""What needs the models before anything is scored: a stage's first generation, its decompositions, the baselines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tsugiki import atomic
from tsugiki.config.baselines import FrankenmergeBaseline
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.contracts.layout import BASELINES, RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.locks import DecompositionsLock, ParentsLock, read_lock
from tsugiki.contracts.recipe import Recipe, with_names
from tsugiki.errors import ConfigError
from tsugiki.evolve.select import first
from tsugiki.finalists.baselines import baseline_population
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.decompose import write_decompositions
from tsugiki.merge.models import OpenModels
from tsugiki.merge.registry import PER_PARENT, get_method
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.plan import make_plan
from tsugiki.parents.locate import decomposition_cache, locate
from tsugiki.parents.run_models import RunModels, models_of, run_models
from tsugiki.space.dataflow_space import build_dataflow_genome
from tsugiki.space.parameter_space import build_parameter_genome
from tsugiki.space.read import read_genome
from tsugiki.steps.begin import Encode, Space, begin, encode_any
from tsugiki.steps.evolution import write_drawn, write_population


def write_first(
    files: RunFiles, config: RunConfig, stage: Stage, log: Callable[[str], None] = print
) -> None:
    """Write space.json and the first generation.

    Raises:
        ConfigError: the strategy cannot search this space, or the space does not have a recipe that the
            search is to begin with.
        LineageError: such a recipe cannot be read.
        ParentError: the parents cannot be merged.
    """
    space, encode = open_space(config, stage, models_of(files, config, stage.name))
    space = begin(files, config, stage, space, encode, log=log)
    objectives = len(config.evaluation.objectives)
    for fault in stage.strategy.faults(objectives, len(space.start)):
        raise ConfigError(fault, where=f"stage {stage.name}")
    phase = files.phase(stage.name)
    following = first(config, stage, space, population=rival_size(files, config, stage))
    atomic.write_bytes(phase.space, space.to_json())
    write_drawn(phase, 0, following)


def write_decomposed(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    *,
    threads: int,
    log: Callable[[str], None] = print,
) -> None:
    """Decompose the task vectors of a stage's models, once for all candidates, and lock what is kept.

    Raises:
        LineageError: space.json cannot be read, or a model is not the one that was locked.
        ParentError: a model cannot be read, or holds numbers that are not finite.
        InfrastructureError: the disk is full or fails.
    """
    phase, models = files.phase(stage.name), run_models(files, config, stage.members)
    space = read_genome(phase.space)
    recipe = space.decode(space.start)  # all points have the same models and options
    assert isinstance(recipe, Recipe), "methods belong to parameter space"
    cache = decomposition_cache(config)
    found = write_decompositions(
        recipe, models.folders, models.digests, cache, threads=threads, log=log
    )
    atomic.write_bytes(phase.decomposed, DecompositionsLock(decompositions=found).to_json())


def rival_size(files: RunFiles, config: RunConfig, stage: Stage) -> int | None:
    """Candidates in a generation of a rival, where no setting says it: those of the last stage.

    Raises:
        LineageError: the last stage has not begun.
    """
    if not config.is_rival(stage.name) or stage.strategy.population is not None:
        return None
    last = config.stages[-1]
    drawn = len(read_population(files.phase(last.name).generation(0).population).candidates)
    return config.evaluation.whole_candidates(drawn)


def open_space(config: RunConfig, stage: Stage, models: RunModels) -> tuple[Space, Encode]:
    """What the genomes of a stage mean, and what its recipes are as genomes: from its models' headers."""
    if not isinstance(stage.space, ParameterSpace):
        folders = {name: models.folders[name] for name in stage.parents}
        parents = DataflowParents(OpenModels(folders, models.digests))
        layers = {name: len(parents.parts(name).layers) for name in stage.parents}
        genome = build_dataflow_genome(stage, digests=models.digests, layers=layers)
        parents.check(genome.decode([1.0] * len(genome.start)))
        return genome, partial(encode_any, genome)
    members = sorted(stage.members)
    given = config.tensor_names
    checkpoints = [Checkpoint(name, models.folders[name], given.get(name)) for name in members]
    plan = make_plan(checkpoints, stage.owner)
    space = build_parameter_genome(
        stage,
        seed=config.seed,
        digests=models.digests,
        tensor_names=plan.merged,
        kind=plan.kind,
        per_parent=PER_PARENT[get_method(stage.space.method).name],
    )
    space = space.model_copy(update={"frame": with_names(space.frame, given)})
    return space, partial(encode_any, space, tensors=plan.merged, kind=plan.kind)


def write_baselines(files: RunFiles, config: RunConfig) -> None:
    """Write the population of baselines."""
    lock = read_lock(files.parents)
    stacked = any(isinstance(baseline, FrankenmergeBaseline) for baseline in config.baselines)
    layers = layers_of_parents(config, lock) if stacked else {}
    population, recipes = baseline_population(config, lock.digests, PER_PARENT, layers)
    write_population(files.phase(BASELINES), population, recipes)


def layers_of_parents(config: RunConfig, lock: ParentsLock) -> dict[str, int]:
    """Number of layers of every parent, by name."""
    parents = [Checkpoint(name, folder) for name, folder in locate(config, lock).items()]
    return {parent.name: len(parent.kind.blocks(parent.headers)) for parent in parents}
