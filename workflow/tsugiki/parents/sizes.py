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
    """Bytes of the merged models on disk: the best ones, and one for each job that writes its own.

    A path in data-flow space is counted as one model of its owner's size. Models of the demo count
    nothing.
    """
    jobs = config.evaluation.jobs if config.evaluation.storage == "disk" else 0
    sizes = {stage.name: _merged_bytes(config, stage, models) for stage in config.stages}
    merged_later = {name for stage in config.stages for name in stage.members}
    kept = merged_later | {config.stages[-1].name}
    best = sum(size for name, size in sizes.items() if name in kept)
    return best + jobs * max(sizes.values())


def memory_bytes(config: RunConfig, models: Mapping[str, Model]) -> int:
    """Bytes of weights in an evaluating job: all models of a stage, and the merged one.

    A path in data-flow space takes the parents' own layers: it adds nothing.
    """
    return max(
        sum(_stored(config, name, models) for name in stage.members)
        + (0 if stage.space.kind == "dataflow" else _merged_bytes(config, stage, models))
        for stage in config.stages
    )


def _stored(config: RunConfig, name: str, models: Mapping[str, Model]) -> int:
    stage = config.stage(name)
    if stage is not None:
        return _merged_bytes(config, stage, models)
    return models[name].stored if name in models else 0


def _merged_bytes(config: RunConfig, stage: Stage, models: Mapping[str, Model]) -> int:
    names = (config.owner(stage), *config.origins(stage))
    known = [models[name] for name in names if name in models]
    if not known:
        return 0
    numbers = sum(prod(tensor.shape) for tensor in known[0].tensors.values())
    return numbers * WIDTH[stage.space.dtype]
