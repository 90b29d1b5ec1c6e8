"""The first generation of a stage."""

from __future__ import annotations

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.evolve.select import first
from tsugiki.lineage.layout import RunFiles
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.plan import make_plan
from tsugiki.merge.registry import get_method
from tsugiki.parents.locate import locate
from tsugiki.parents.lock import read_lock
from tsugiki.recipe.recipe import with_names
from tsugiki.space.parameter_space import build_parameter_genome
from tsugiki.steps.recipes import write_recipes


def write_first(files: RunFiles, config: RunConfig, stage: Stage) -> None:
    """Write space.json and the first generation.

    Raises:
        ParentError: the parents cannot be merged.
    """
    lock = read_lock(files.parents)
    folders = locate(config, lock)
    names = sorted({*stage.parents, *([stage.base] if stage.base else [])})
    given = config.tensor_names
    plan = make_plan([Checkpoint(name, folders[name], given.get(name)) for name in names])
    method = get_method(stage.space.method)
    space = build_parameter_genome(
        stage,
        seed=config.seed,
        digests=lock.digests,
        tensor_names=[planned.name for planned in plan.tensors if planned.merged],
        per_parent={parameter.name: parameter.per_parent for parameter in method.parameters},
    )
    space = space.model_copy(update={"frame": with_names(space.frame, given)})
    series = files.series(stage.name)
    following = first(config, stage, space)
    atomic.write_bytes(series.space, space.to_json())
    write_recipes(series, following.recipes)
    generation = series.generation(0)
    atomic.write_bytes(generation.state, following.state)
    atomic.write_bytes(generation.population, following.population)
