"""Check a configuration against what exists, before any file of a parent is read.

Folders, parents, stages and baselines are checked here, each by one function that yields a line for every
fault; methods, tasks and backends are in files of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.load import faults_in, nearest
from tsugiki.config.parents import LocalParent, adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.config.sources import measured_files
from tsugiki.config.stage import START, Stage
from tsugiki.config.validate_backend import backend_faults
from tsugiki.config.validate_methods import baseline_faults, stage_faults
from tsugiki.config.validate_tasks import task_faults
from tsugiki.contracts.data import folder_of
from tsugiki.contracts.layout import FILES, RunFiles, row_is_taken, run_is_taken, stage_is_taken
from tsugiki.contracts.recipe import SHARED
from tsugiki.models.kinds.registry import KINDS

UNUSABLE = frozenset("{}\n")
IN_WORDS = "a brace or a line break in it, which Snakemake would take for a pattern of its own"
OTHER = "is a name that tsugiki uses itself; choose another name"
OF_A_RUN = ("config.lock.yaml", "parents.lock.json", "items.json", ".lock")
"""Any of these is in the folder of a run, as soon as there is anything."""


def validate_config(config: RunConfig, *, where: str, folders: bool = True) -> None:
    """Check everything that can be checked before any file of a parent is read.

    Args:
        config: The run.
        where: What the error names as its place.
        folders: Whether folders of parents have to be there; not, for one who goes on to say so of each.

    Raises:
        ConfigError: naming every fault, with the nearest valid names.
    """
    faults = [
        *_folders(config),
        *_parents(config, folders=folders),
        *_vocabulary(config),
        *_accepted(config.accept_differences),
        *_stages(config),
        *_baselines(config),
        *task_faults(config.evaluation),
        *_template(config),
        *_preference(config),
        *backend_faults(config),
    ]
    if faults:
        raise faults_in(faults, where)


def _preference(config: RunConfig) -> Iterator[str]:
    preference, known = (
        config.finalists.preference,
        [one.name for one in config.evaluation.objectives],
    )
    if preference is not None and preference.by == "knee":
        if len(known) < 2:
            yield "`finalists.preference.by`: one objective has no front, and no knee; remove it, or add an objective"
        elif config.stages[-1].strategy.weighs:
            yield (
                f"`finalists.preference.by`: the last stage's strategy, {config.stages[-1].strategy.kind}, looks for "
                "the largest weighted sum, and its finalists are no front with a knee; use `nsga2`, say, or `by: weights`"
            )
    for name in preference.bounds if preference else ():
        if name not in known:
            yield f"`finalists.preference.bounds.{name}`: no objective is called that; {nearest(name, known)}"


def _folders(config: RunConfig) -> Iterator[str]:
    """Faults of the folders that a run writes to, and of those of its tasks."""
    if run_is_taken(config.name):
        yield f"`name`: {config.name!r} {OTHER}"
    wrong = {
        f"has {IN_WORDS}": UNUSABLE & set(str(config.folder)),
        "begins with `-`, and would be taken for an option": str(config.folder).startswith("-"),
        "names the home folder of a user who is not there": str(config.folder).startswith("~"),
    }
    yield from (f"`results`: {config.results!r} {text}" for text, found in wrong.items() if found)
    for standing in _something_else(config):
        yield (
            f"`name`: the run would replace {str(standing)!r}, which is no run's; choose another name "
            "for the run, or another folder as `results`"
        )
    own = config.folder.resolve()
    own_files = config.evaluation.functions or config.evaluation.files
    for name, source in config.parents.items():
        if isinstance(source, LocalParent) and source.folder.resolve().is_relative_to(own):
            yield (
                f"`parents.{name}.path`: {source.path!r} lies in the run's own folder, where the run "
                "replaces what it has written; choose another name for the run"
            )
    for file in measured_files(config.evaluation) if own_files else ():
        if UNUSABLE & set(str(file)):
            yield f"`evaluation.objectives`: {str(file)!r} has {IN_WORDS}"
    for folder in config.evaluation.task_folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            if UNUSABLE & set(str(path)):
                yield f"`evaluation.task_paths`: {str(path)!r} has {IN_WORDS}"
                break


def _something_else(config: RunConfig) -> Iterator[Path]:
    """What the run would replace or write into, though no run has written it."""
    folder = config.folder
    if not folder.is_dir():
        yield from [folder] if os.path.lexists(folder) else []
    elif not any((folder / name).is_file() for name in OF_A_RUN):
        own = FILES | {stage.name for stage in config.searches}
        for path in sorted(folder.iterdir()):
            if path.name in own or stage_is_taken(path.name):
                yield path


def _parents(config: RunConfig, *, folders: bool) -> Iterator[str]:
    for name, source in config.parents.items():
        if row_is_taken(name):
            yield f"`parents.{name}`: {name!r} {OTHER}"
        if folders and isinstance(source, LocalParent) and not source.folder.is_dir():
            yield f"`parents.{name}.path`: there is no folder {source.path!r}"
        base, key = adapter_base(source), f"`parents.{name}.adapter_of`"
        if base is None:
            continue
        if base not in config.parents:
            yield f"{key}: unknown parent {base!r}; {nearest(base, config.parents)}"
        elif base == name:
            yield f"{key}: an adapter cannot be its own base"
        elif adapter_base(config.parents[base]) is not None:
            yield f"{key}: {base!r} is an adapter too; name a whole model"


def _vocabulary(config: RunConfig) -> Iterator[str]:
    vocabulary = config.vocabulary
    if vocabulary.of is None:
        return
    if vocabulary.of not in config.parents:
        near = nearest(vocabulary.of, config.parents)
        yield f"`vocabulary.of`: unknown parent {vocabulary.of!r}; {near}"
    bases = sorted(config.common_bases)
    if len(bases) > 1:
        yield (
            f"`vocabulary`: rows that a model lacks are taken from the base, but the stages have "
            f"several: {', '.join(bases)}; give them one base"
        )


def _accepted(keys: list[str]) -> Iterator[str]:
    fixed = frozenset().union(*(kind.agreement.fixed for kind in KINDS))
    for key in keys:
        if key.rpartition(".")[2] in fixed:
            yield (
                f"`accept_differences`: models that differ in {key} cannot be merged; "
                "remove it from the list"
            )
    if len(set(keys)) != len(keys):
        yield "`accept_differences`: a key is listed twice"


def _stages(config: RunConfig) -> Iterator[str]:
    earlier: dict[str, Stage] = {}
    for index, stage in enumerate(config.stages):
        key = f"stages[{index}]"
        if stage_is_taken(stage.name) or stage.name in earlier:
            yield f"`{key}.name`: {stage.name!r} is taken; choose another name"
        if stage.name in config.parents:
            yield f"`{key}.name`: {stage.name!r} is the name of a parent; choose another name"
        yield from _members(config, stage, earlier, key)
        tokenizer = getattr(stage.space, "tokenizer", None)
        if tokenizer is not None and tokenizer not in stage.members:
            yield (
                f"`{key}.space.tokenizer`: {tokenizer!r} is not merged in this stage; "
                f"{nearest(tokenizer, stage.members)}"
            )
        for rival, search in config.rival_stages.items():
            if stage.name == search.name:
                yield f"`{key}.name`: {stage.name!r} is the folder of the rival `{rival}`; choose another name"
        yield from stage_faults(stage, key)
        yield from _origins(config, stage, earlier, key)
        for fault in stage.strategy.faults(len(config.evaluation.objectives)):
            yield f"`{key}.strategy`: {fault}"
        if stage.surrogate is not None and not stage.strategy.weighs:
            yield (
                f"`{key}.surrogate`: a surrogate models the weighted sum, which {stage.strategy.kind} does not look "
                "for; remove it, or use another strategy"
            )
        yield from _subsets(config, stage, key)
        earlier[stage.name] = stage


def _subsets(config: RunConfig, stage: Stage, key: str) -> Iterator[str]:
    """What a stage cannot be where each generation has documents of its own."""
    subsets = config.evaluation.subsets
    if subsets is None:
        return
    restarts = getattr(stage.strategy, "restarts", None)
    if restarts or not stage.strategy.forgets:
        how = f" with `restarts: {restarts}`" if restarts else ""
        yield (
            f"`{key}.strategy`: {stage.strategy.kind}{how} compares candidates of different generations, which "
            "`evaluation.subsets` scores on different documents; remove that, or use `cma_es`"
        )
    if not subsets.leaders and stage.budget.stagnation is not None:
        yield (
            f"`{key}.budget.stagnation` waits for a better candidate, and with `evaluation.subsets` those of "
            "different generations compare only if some come again: set `leaders` to 1 or more, or use `settled`"
        )


def _members(config: RunConfig, stage: Stage, earlier: dict[str, Stage], key: str) -> Iterator[str]:
    if len(set(stage.parents)) != len(stage.parents):
        yield f"`{key}.parents`: a parent is listed twice"
    later = {one.name for one in config.stages} - set(earlier) - {stage.name}
    for name in [*stage.parents, *([stage.base] if stage.base else [])]:
        if name in config.parents:
            continue
        if name == stage.name:
            yield f"`{key}`: stage {name!r} cannot merge its own result; name an earlier stage"
        elif name in later:
            yield f"`{key}`: stage {name!r} comes later; a stage merges results of earlier ones"
        elif name not in earlier:
            yield f"`{key}`: unknown parent {name!r}; {nearest(name, [*config.parents, *earlier])}"
        elif isinstance(earlier[name].space, DataflowSpace) and stage.space.kind == "parameter":
            yield (
                f"`{key}`: stage {name!r} is in data-flow space, and its result may have any "
                "number of layers: it cannot be merged in parameter space"
            )


def _origins(config: RunConfig, stage: Stage, earlier: dict[str, Stage], key: str) -> Iterator[str]:
    """Faults of the names of what a stage's search begins with."""
    for name, origin in stage.origins.items():
        at = f"{key}.start" if name == START else f"{key}.inject.{name}"
        baselines = [one.name for one in config.baselines]
        if origin.is_baseline and origin.baseline not in (*baselines, SHARED):
            yield f"`{at}.baseline`: unknown baseline {origin.baseline!r}; " + nearest(
                str(origin.baseline), baselines
            )
        if origin.stage is not None and origin.stage not in earlier:
            yield f"`{at}.stage`: there is no earlier stage {origin.stage!r}; " + nearest(
                origin.stage, earlier
            )
        if origin.recipe is not None and not folder_of(origin.recipe).is_file():
            yield f"`{at}.recipe`: there is no file {origin.recipe!r}"
        if origin.run is not None and not RunFiles(folder_of(origin.run)).exist():
            yield f"`{at}.run`: {origin.run!r} is no folder of a run"


def _baselines(config: RunConfig) -> Iterator[str]:
    names: set[str] = {*config.parents, *(stage.name for stage in config.stages)}
    for index, baseline in enumerate(config.baselines):
        key = f"baselines[{index}]"
        if row_is_taken(baseline.name):
            yield f"`{key}.name`: {baseline.name!r} {OTHER}"
        if baseline.name in names:
            yield f"`{key}.name`: {baseline.name!r} is taken by a parent, a stage or another baseline"
        names.add(baseline.name)
        yield from baseline_faults(baseline, config.stages[0], key)


def _template(config: RunConfig) -> Iterator[str]:
    given, file = config.evaluation.chat_template, config.evaluation.template_file
    if file is not None and not file.is_file():
        yield f"`evaluation.chat_template`: there is no file {given!r}"
    if given is not None and file is None and given not in config.parents:
        yield (
            f"`evaluation.chat_template`: {given!r} is no parent, and no file that ends in .jinja; "
            f"{nearest(given, config.parents)}"
        )
