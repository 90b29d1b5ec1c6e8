"""The models that a run merges: its locked parents, and the best models of earlier stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import BASELINES, RunFiles
from tsugiki.contracts.locks import (
    LockedParent,
    digest_of_files,
    read_decompositions_lock,
    read_lock,
)
from tsugiki.contracts.recipe import AnyRecipe, ParentRef, Recipe
from tsugiki.errors import InfrastructureError
from tsugiki.json_files import reader
from tsugiki.models.files import digest_folder
from tsugiki.parents.locate import (
    decomposition_cache,
    digest_memory,
    locate,
    require_files,
)


@dataclass(frozen=True)
class RunModels:
    """Folder and digest of each model, by name."""

    folders: dict[str, Path]
    digests: dict[str, str]
    decompositions: Mapping[str, Path] = field(default_factory=dict)
    """Files of decompositions of their task vectors, by their keys; without them, merges decompose anew."""


def run_models(
    files: RunFiles, config: RunConfig, names: Iterable[str] | None = None, *, read: bool = False
) -> RunModels:
    """All parents, and best models of stages.

    Args:
        files: The run.
        config: Its configuration.
        names: Which stages (other names count nothing); all that others merge if absent. A stage
            that has no best model yet is left out.
        read: Read every file, even those that have not changed since they were read last.

    Raises:
        LineageError: the parents are not locked, a lock file is damaged, or a model's files are not
            those that were locked.
        ParentError: a model's files are not on this machine.
    """
    lock = read_lock(files.parents)
    wanted = set(merged_stages(config) if names is None else names)
    folders = locate(config, lock, read=read)
    digests = {name: lock.digests[name] for name in config.parents}
    for stage in config.stages:
        phase = files.phase(stage.name)
        if stage.name in wanted and phase.best_lock.is_file():
            locked = read_stage_lock(phase.best_lock)
            require_files(
                f"the best model of stage `{stage.name}`",
                phase.best,
                locked.files,
                digest_memory(config),
                fix=f"remove {phase.best_lock} and run the workflow again",
                read=read,
            )
            folders[stage.name], digests[stage.name] = phase.best, locked.digest
    return RunModels(folders, digests)


def merged_stages(config: RunConfig) -> list[str]:
    """Names of the stages whose best models other stages merge, in order."""
    members = {name for stage in config.stages for name in stage.members}
    return [stage.name for stage in config.stages if stage.name in members]


def models_of(files: RunFiles, config: RunConfig, phase: str, *, read: bool = False) -> RunModels:
    """The models that candidates of a phase are made from.

    All parents, and for a stage and its finalists the stages that it merges; for the baselines
    none, for the test all. With what is kept of task vectors, except for the baselines. `read` and errors
    are those of `run_models`.

    Raises:
        InfrastructureError: a decomposition is not there.
    """
    if phase == BASELINES:
        return run_models(files, config, (), read=read)
    stages, members = config.searches, None
    for stage in config.searches:
        if phase in (stage.name, config.finalists_of(stage.name)):
            stages, members = [stage], stage.members
    models = run_models(files, config, members, read=read)
    kept = [_decompositions(files, config, stage.name, read=read) for stage in stages]
    return replace(models, decompositions={key: file for one in kept for key, file in one.items()})


def _decompositions(
    files: RunFiles, config: RunConfig, stage: str, *, read: bool
) -> dict[str, Path]:
    """What is kept of a stage's task vectors, by key; refused where it is not what was locked."""
    path = files.phase(stage).decomposed
    if not path.is_file():
        return {}
    fix = f"run `tsugiki decompose {config.folder} --stage {stage}`, which makes it again"
    found = {}
    for key, one in read_decompositions_lock(path).decompositions.items():
        folder, what = (
            decomposition_cache(config) / one.folder,
            f"the decomposition of `{one.parent}`",
        )
        file = folder / one.file.name
        if not file.is_file():
            raise InfrastructureError(
                f"{what} is not on this machine", where=str(file), got="no such file", fix=fix
            )
        memory = digest_memory(config)
        require_files(what, folder, (one.file,), memory, fix=fix, closed=False, read=read)
        found[key] = file
    return found


def run_digests(files: RunFiles, config: RunConfig) -> dict[str, str]:
    """Digest of each model, by name; where the models are is not asked."""
    digests = dict(read_lock(files.parents).digests)
    for stage in config.stages:
        if (lock := files.phase(stage.name).best_lock).is_file():
            digests[stage.name] = read_stage_lock(lock).digest
    return digests


def with_digests(recipe: AnyRecipe, digests: Mapping[str, str]) -> AnyRecipe:
    """The recipe with other digests of those models, by name, that have one here."""

    def known(ref: ParentRef) -> ParentRef:
        return ref.model_copy(update={"digest": digests.get(ref.name, ref.digest)})

    update: dict[str, Any] = {"parents": tuple(known(ref) for ref in recipe.parents)}
    if isinstance(recipe, Recipe) and recipe.base is not None:
        update["base"] = known(recipe.base)
    return recipe.model_copy(update=update)


def lock_stage(stage: str, folder: Path, recipe: str) -> LockedParent:
    """What the best model of `stage` in `folder` consists of; `recipe` is its recipe's digest."""
    found = digest_folder(folder)
    source = {"stage": stage, "recipe": recipe}
    return LockedParent(source=source, files=found, digest=digest_of_files(found))


read_stage_lock = reader(
    LockedParent.model_validate_json,
    "lock file of a stage's best model",
    missing="the stage's best model is not written yet",
    make="let the workflow run; it writes it after the stage's last generation",
    mend="remove the file and run the workflow again",
)
"""Read best.lock.json of a stage; LineageError where there is none, or it is no valid lock file."""
