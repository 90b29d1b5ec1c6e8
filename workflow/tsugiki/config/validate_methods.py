"""Check what a configuration says about merge methods against the methods themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tsugiki.config.baselines import AnyBaseline, FrankenmergeBaseline
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.load import nearest
from tsugiki.config.stage import Gene, Stage
from tsugiki.contracts.recipe import SHARED
from tsugiki.errors import ConfigError

if TYPE_CHECKING:
    from tsugiki.merge.method import Method, OptionSpec, ParameterSpec


def stage_faults(stage: Stage, key: str) -> Iterator[str]:
    """Faults of a stage's method, genes and options; `key` is where the stage stands."""
    space = stage.space
    if isinstance(space, DataflowSpace):
        return
    method, fault = _find_method(space.method)
    if method is None:
        yield f"`{key}.space.method`: {fault}"
        return
    yield from _models(method, stage, f"{key}.parents", f"{key}.base")
    for name, gene in space.genes.items():
        yield from _gene(method, stage, name, gene, f"{key}.space.genes.{name}")
    for name, value in space.options.items():
        at = f"{key}.space.options.{name}"
        known = method.option(name) or method.parameter(name)
        if known is None:
            yield _unknown(at, "option", method, name)
        elif name in space.genes:
            yield f"`{at}`: {name} is searched; remove it here, or from the genes"
        else:
            yield from _value(known, value, at)


def _gene(method: Method, stage: Stage, name: str, gene: Gene, key: str) -> Iterator[str]:
    spec = method.parameter(name)
    if spec is None:
        yield _unknown(key, "parameter", method, name)
        return
    if gene.range[0] < spec.low or gene.range[1] > spec.high:
        yield (
            f"`{key}.range`: {list(gene.range)} leaves "
            f"[{spec.low:g}, {spec.high:g}], the values that {method.name} takes"
        )
    owners = [*(stage.parents if spec.per_parent else []), SHARED]
    for parent in gene.start if isinstance(gene.start, dict) else ():
        if parent not in owners:
            yield (
                f"`{key}.start`: {parent!r} is no parent that has a {name} of its own; "
                f"{nearest(parent, owners)}"
            )


def baseline_faults(baseline: AnyBaseline, stage: Stage, key: str) -> Iterator[str]:
    """Faults of a baseline, which merges the models of `stage`; `key` is where it stands."""
    if isinstance(baseline, FrankenmergeBaseline):
        for name, _, _ in baseline.slices:
            if name not in stage.parents:
                yield f"`{key}.slices`: unknown parent {name!r}; {nearest(name, stage.parents)}"
        return
    method, fault = _find_method(baseline.method)
    if method is None:
        yield f"`{key}.method`: {fault}"
        return
    yield from _models(method, stage, f"{key}.method", f"{key}.method")
    for name, value in baseline.parameters.items():
        spec = method.parameter(name)
        if spec is None:
            yield _unknown(f"{key}.parameters.{name}", "parameter", method, name)
        else:
            yield from _value(spec, value, f"{key}.parameters.{name}")
            if name in baseline.per_parent and not spec.per_parent:
                yield f"`{key}.per_parent`: {name} of {method.name} belongs to no parent"
    for name, chosen in baseline.options.items():
        option = method.option(name)
        if option is None:
            yield _unknown(f"{key}.options.{name}", "option", method, name)
        else:
            yield from _value(option, chosen, f"{key}.options.{name}")


def _find_method(name: str) -> tuple[Method | None, str]:
    from tsugiki.merge.registry import get_method  # imports torch

    try:
        return get_method(name), ""
    except ConfigError as error:
        return None, f"{error.what} {name!r}; {error.expected}"


def _models(method: Method, stage: Stage, parents: str, base: str) -> Iterator[str]:
    low, high = method.min_parents, method.max_parents
    if method.needs_base and stage.base is None:
        yield f"`{base}`: method {method.name} needs a base, and stage {stage.name} names none"
    if len(stage.parents) < low or (high is not None and len(stage.parents) > high):
        takes = f"at least {low}" if high is None else f"{low}" if low == high else f"{low}-{high}"
        yield (
            f"`{parents}`: method {method.name} takes {takes} parents; "
            f"stage {stage.name} has {len(stage.parents)}"
        )


def _unknown(key: str, kind: str, method: Method, name: str) -> str:
    options = method.options if kind == "option" else ()
    near = nearest(name, [spec.name for specs in (method.parameters, options) for spec in specs])
    return f"`{key}`: method {method.name} has no such {kind}; {near}"


def _value(spec: ParameterSpec | OptionSpec, value: object, key: str) -> Iterator[str]:
    """Whether a fixed value, or each of a grid's, is one that a method takes."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(spec.default, bool):
            if not isinstance(one, bool):
                yield f"`{key}`: {spec.name} is true or false; got {one!r}"
        elif isinstance(spec.default, str):
            choices: tuple[str, ...] = getattr(spec, "choices", ())
            if one not in choices:
                yield f"`{key}`: there is no {one!r}; {nearest(str(one), choices)}"
        elif isinstance(one, bool | str) or not isinstance(one, int | float):
            yield f"`{key}`: {spec.name} is a number; got {one!r}"
        else:
            low = -math.inf if spec.low is None else spec.low
            high = math.inf if spec.high is None else spec.high
            if not low <= one <= high:
                yield f"`{key}`: {one:g} leaves [{low:g}, {high:g}], the values that it takes"
