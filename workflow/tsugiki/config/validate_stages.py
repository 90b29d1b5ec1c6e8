"""Check the stages of a configuration: their names, and what they merge."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.load import nearest
from tsugiki.config.reserved_names import stage_is_taken
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.config.validate_methods import stage_faults


def stages(config: RunConfig) -> Iterator[str]:
    """Faults of all stages."""
    earlier: dict[str, Stage] = {}
    for index, stage in enumerate(config.stages):
        key = f"stages[{index}]"
        if stage_is_taken(stage.name) or stage.name in earlier:
            yield f"`{key}.name`: {stage.name!r} is taken; choose another name"
        if stage.name in config.parents:
            yield f"`{key}.name`: {stage.name!r} is the name of a parent; choose another name"
        yield from _members(config, stage, earlier, key)
        yield from _tokenizer(stage, key)
        yield from stage_faults(stage, key)
        earlier[stage.name] = stage


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


def _tokenizer(stage: Stage, key: str) -> Iterator[str]:
    tokenizer = getattr(stage.space, "tokenizer", None)
    if tokenizer is not None and tokenizer not in stage.members:
        yield (
            f"`{key}.space.tokenizer`: {tokenizer!r} is not merged in this stage; "
            f"{nearest(tokenizer, [*stage.parents, *filter(None, [stage.base])])}"
        )
