"""Putting recipes from elsewhere into a stage's space: where its search starts, and who is injected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tsugiki.canonical import digest_bytes
from tsugiki.config.baselines import AnyBaseline, Baseline, FrankenmergeBaseline
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.load import faults_in
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import START, Origin, Stage
from tsugiki.contracts.genome import Known
from tsugiki.contracts.layout import BASELINES, RunFiles
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.recipe import (
    SHARED,
    AnyRecipe,
    DataflowRecipe,
    Hop,
    Parameter,
    ParentRef,
    read_recipe,
)
from tsugiki.errors import ConfigError, TsugikiError
from tsugiki.finalists.baselines import baseline_population
from tsugiki.finalists.files import winning_recipe
from tsugiki.merge.registry import PER_PARENT
from tsugiki.models.kinds.kind import Kind
from tsugiki.parents.run_models import run_digests, with_digests
from tsugiki.space.dataflow_space import DataflowGenome
from tsugiki.space.from_path import encode_path
from tsugiki.space.from_recipe import Encoded, encode, translate
from tsugiki.space.parameter_space import ParameterGenome, frame_of
from tsugiki.steps.origins import outside_file

Space = ParameterGenome | DataflowGenome
Encode = Callable[[AnyRecipe], Encoded]
"""From a recipe to the point of a space."""


def find_recipe(
    files: RunFiles, config: RunConfig, stage: Stage, origin: Origin, space: Space
) -> AnyRecipe:
    """The recipe that an origin names: of baselines, the best that the space has.

    Raises:
        ConfigError: the space has none of the baselines that are meant, or another run is not there.
        LineageError: the recipe cannot be read, or is not known yet.
        RecipeError: the file holds no recipe.
    """
    if origin.is_baseline:
        return _best_baseline(files, stage, origin, space)
    if origin.stage is not None:
        return winning_recipe(files, config.finalists_of(origin.stage))
    return read_recipe(outside_file(origin))


def _best_baseline(files: RunFiles, stage: Stage, origin: Origin, space: Space) -> AnyRecipe:
    first = files.phase(BASELINES).generation(0)
    population, generation = read_population(first.population), read_generation(first.outcomes)
    named = [
        (ranked.fitness, candidate.recipe)
        for candidate, ranked in zip(population.candidates, generation.ranked, strict=True)
        if candidate.origin.get("kind") == "baseline"
        and origin.baseline in (SHARED, candidate.origin["name"])
        and ranked.fitness is not None
    ]
    for _, digest in sorted(named, key=lambda one: one[0], reverse=True):
        recipe = read_recipe(files.phase(BASELINES).candidate(digest).recipe)
        if misfit(space, recipe) is None:
            return recipe
    raise ConfigError(
        "no baseline that was scored can be expressed in the stage's space",
        where=f"stage {stage.name}",
        expected="a baseline of its merge method, parents and base, and with its fixed options",
        got=str(origin),
        fix="see what became of the baselines in the run's folder, or start from something else",
    )


def misfit(space: Space, recipe: AnyRecipe) -> ConfigError | None:
    """Why a space does not have a recipe, as far as that shows without its models; None if it does."""
    try:
        if isinstance(space, ParameterGenome):
            translate(space, recipe)
        else:
            encode_any(space, recipe)
    except ConfigError as error:
        return error
    return None


def encode_any(
    space: Space, recipe: AnyRecipe, *, tensors: Sequence[str] = (), kind: Kind | None = None
) -> Encoded:
    """The point of a space that is a recipe; tensors and kind of model are for parameter space.

    Raises:
        ConfigError: the space does not have it.
    """
    if isinstance(space, DataflowGenome):
        return encode_path(space, recipe)
    assert kind is not None
    return encode(space, recipe, tensors=tensors, kind=kind)


def begin(
    files: RunFiles,
    config: RunConfig,
    stage: Stage,
    space: Space,
    encode: Encode,
    *,
    log: Callable[[str], None],
) -> Space:
    """The space with the recipes that the search begins with.

    `encode` gives the point of a recipe. `log` takes a line for each recipe, and for whatever its point
    does not say as it did.

    Raises:
        ConfigError: the space does not have a recipe.
        LineageError: a recipe cannot be read.
    """
    known: dict[str, Known] = {}
    for name, origin in stage.origins.items():
        recipe = find_recipe(files, config, stage, origin, space)
        source = str(origin)
        try:
            encoded = encode(recipe)
        except ConfigError as error:
            where = f"stage {stage.name}, {name}: {source}"
            raise ConfigError(
                error.what, where=where, expected=error.expected, got=error.got, fix=error.fix
            ) from error
        log(f"{stage.name}: {name} is {source}, recipe {recipe.short}")
        for note in encoded.notes:
            log(f"{stage.name}: {name}: {note}")
        point = space.as_start(encoded.point) if name == START else encoded.point
        known[name] = Known(name=name, source=source, recipe=recipe.digest, point=point)
    if not known:
        return space
    injected = tuple(known[name] for name in stage.inject)
    return space.model_copy(update={"begin": known.get(START), "injected": injected})


def differing_origin(files: RunFiles, config: RunConfig, stage: Stage, space: Space) -> str | None:
    """How the recipes that a recorded space was begun with differ from those that are there; None if not.

    A file or a run that is no part of this run may be gone by now: it is passed over.
    """
    known = {one.name: one for one in space.known}
    if known.keys() != stage.origins.keys():
        return "the space was begun with other recipes than those that the configuration names"
    for name, origin in stage.origins.items():
        outside = origin.recipe or origin.run
        try:
            recipe = find_recipe(files, config, stage, origin, space)
        except TsugikiError:
            if outside is None:
                raise
            continue
        if recipe.digest != known[name].recipe:
            return f"{name} was taken from another recipe than that of {origin}"
    return None


def check_origins(files: RunFiles, config: RunConfig, *, where: str) -> None:
    """Refuse recipes that stages are to begin with and that their spaces do not have.

    What is known before anything is merged is compared: merge methods, parents, bases and options. Parents
    of recipes from outside the run are compared by name until the run's are locked.

    Raises:
        ConfigError: naming every fault.
        LineageError: another run has no such candidate, or no finalists yet.
        RecipeError: a file holds no recipe.
    """
    faults = [
        f"`stages[{index}].{'start' if name == START else f'inject.{name}'}`: {fault}"
        for index, stage in enumerate(config.stages)
        for name, origin in stage.origins.items()
        for fault in _faults_of(files, config, stage, origin)
    ]
    if faults:
        raise faults_in(faults, where)


def _faults_of(files: RunFiles, config: RunConfig, stage: Stage, origin: Origin) -> Iterator[str]:
    names = (*config.parents, *(one.name for one in config.stages))
    digests = {name: digest_bytes(name.encode()) for name in names}
    meant = [one for one in config.baselines if origin.baseline in (SHARED, one.name)]
    if origin.is_baseline:
        recipes = _points([one for one in meant if isinstance(one, Baseline)], config, digests)
    elif origin.stage is not None:
        recipes = [_typical(config, config.stage(origin.stage) or stage, digests)]
    else:
        recipe = read_recipe(outside_file(origin))
        if files.parents.is_file():
            digests |= run_digests(files, config)
        elif any(ref.name not in digests for ref in recipe.models):
            return  # whose files these are shows when the parents are locked
        else:
            recipe = with_digests(recipe, digests)
        recipes = [recipe]
    if isinstance(stage.space, DataflowSpace):
        paths = [*recipes, *meant]
        if not any(isinstance(one, DataflowRecipe | FrankenmergeBaseline) for one in paths):
            yield f"{origin}: merges in parameter space are no paths through layers"
        return
    per_parent = PER_PARENT[stage.space.method]
    space = ParameterGenome(
        genes=(),
        groupings={name: gene.grouping for name, gene in stage.space.genes.items()},
        frame=frame_of(stage, seed=config.seed, digests=digests, per_parent=per_parent),
    )
    misfits = [error for recipe in recipes if (error := misfit(space, recipe)) is not None]
    if len(misfits) == len(recipes):
        for error in misfits[:1]:
            yield f"{origin}: {error.what} (expected {error.expected}; got {error.got})"
        if not misfits:
            yield f"{origin}: there is no merge in parameter space among the baselines"


def _points(
    merges: list[AnyBaseline], config: RunConfig, digests: Mapping[str, str]
) -> list[AnyRecipe]:
    """Every point of some baselines that are merges."""
    some = config.model_copy(update={"baselines": merges})
    population, recipes = baseline_population(some, digests, PER_PARENT)
    return [
        recipe
        for candidate, recipe in zip(population.candidates, recipes, strict=True)
        if candidate.origin["kind"] == "baseline"
    ]


def _typical(config: RunConfig, stage: Stage, digests: Mapping[str, str]) -> AnyRecipe:
    """One of a stage's recipes."""
    if isinstance(stage.space, DataflowSpace):
        names = stage.parents
        return DataflowRecipe(
            parents=tuple(ParentRef(name=name, digest=digests[name]) for name in names),
            owner=names[0],
            path=(Hop(parent=names[0], layer=0),),
        )
    per_parent = PER_PARENT[stage.space.method]
    frame = frame_of(stage, seed=config.seed, digests=digests, per_parent=per_parent)
    searched = {
        name: Parameter(values={SHARED: {"model": gene.range[0]}})
        for name, gene in stage.space.genes.items()
    }
    return frame.model_copy(update={"parameters": {**frame.parameters, **searched}})
