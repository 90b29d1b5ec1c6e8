"""What a run will need: network, disk and memory, from the sizes in headers and listings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.parents import hub
from tsugiki.parents.files import needed
from tsugiki.parents.model import Model
from tsugiki.parents.sources import HubFiles, ParentFiles

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number."""


def download_bytes(sources: Iterable[ParentFiles]) -> int:
    """Bytes of the needed files on the Hub that the cache lacks; a repository counts once."""
    lacking = {
        (source.listing.repo, source.listing.commit, name): source.sizes[name]
        for source in sources
        if isinstance(source, HubFiles)
        for name in needed(source.sizes)
        if hub.cached_file(source.listing.repo, source.listing.commit, name) is None
    }
    return sum(lacking.values())


def disk_bytes(config: RunConfig, models: Mapping[str, Model]) -> int:
    """Bytes of the merged models on disk: the best one, and one for each job that writes its own.

    Models of the demo count nothing.
    """
    jobs = config.evaluation.jobs if config.evaluation.storage == "disk" else 0
    return _merged_bytes(config.stages[-1], models) + jobs * max(
        _merged_bytes(stage, models) for stage in config.stages
    )


def memory_bytes(config: RunConfig, models: Mapping[str, Model]) -> int:
    """Bytes of weights in an evaluating job: all models of a stage, and the merged one."""
    return max(
        sum(models[name].stored for name in members(stage) if name in models)
        + _merged_bytes(stage, models)
        for stage in config.stages
    )


def merged_tensors(config: RunConfig, models: Mapping[str, Model]) -> dict[str, dict[str, int]]:
    """Elements of each tensor that is merged, by stage; without stages of unknown parents."""
    found = {}
    for stage in config.stages:
        known = [models[name] for name in members(stage) if name in models]
        if known:
            found[stage.name] = {
                name: prod(tensor.shape) for name, tensor in known[0].merged.items()
            }
    return found


def members(stage: Stage) -> list[str]:
    """Names of the models that a stage merges, the base first."""
    names = [*([stage.base] if stage.base else []), *stage.parents]
    return list(dict.fromkeys(names))


def _merged_bytes(stage: Stage, models: Mapping[str, Model]) -> int:
    owner = stage.space.tokenizer or members(stage)[0]
    known = [models[name] for name in (owner, *members(stage)) if name in models]
    if not known:
        return 0
    numbers = sum(prod(tensor.shape) for tensor in known[0].tensors.values())
    return numbers * WIDTH[stage.space.dtype]
