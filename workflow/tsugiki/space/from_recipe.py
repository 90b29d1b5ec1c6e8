"""A recipe -> the point of a parameter space that stands for it: the inverse of decoding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tsugiki.contracts.recipe import (
    SHARED,
    AnyRecipe,
    Gradient,
    Grouping,
    Parameter,
    ParentRef,
    Recipe,
)
from tsugiki.errors import ConfigError
from tsugiki.merge.method import Method, Value
from tsugiki.merge.registry import METHODS
from tsugiki.models.grouping import group_of, groups, value_at
from tsugiki.models.kinds.kind import Kind
from tsugiki.space.parameter_space import DECIMALS, ParameterGenome

EQUAL_WHERE_ALL_IS_KEPT = (
    frozenset({"task_arithmetic", "dare_linear"}),
    frozenset({"ties", "dare_ties"}),
)
"""Methods that differ only in what they keep of task vectors: with a density of 1 everywhere, which
`task_arithmetic` always has, those of a set give the same bits."""

WHOLE = {"svd_task_arithmetic": "task_arithmetic"}
"""Methods with a weight for each of two parts of a task vector, `weight` and `rest`, and the method that they are, up to
rounding, where both are equal."""


@dataclass(frozen=True)
class Encoded:
    """A recipe in a space.

    Attributes:
        point: For every gene its coordinate in [0, 1]; of an indicator 0 or 1.
        notes: What the point does not say as the recipe did, in words.
    """

    point: tuple[float, ...]
    notes: tuple[str, ...] = ()


def misfit_of(why: str, expected: object, got: object) -> ConfigError:
    """The error for a recipe that no point of a space is."""
    return ConfigError(
        f"the recipe cannot be expressed in the stage's space: {why}",
        expected=str(expected),
        got=str(got),
        fix="give the stage a space that has it, or start from another recipe",
    )


def translate(space: ParameterGenome, recipe: AnyRecipe) -> Recipe:
    """The recipe in the space's own terms: its merge method, its names of the parents.

    Parents are known by the digests of their files. What a space does not search has to be as it is
    there. Methods stand for each other only where they give the same bits
    (`EQUAL_WHERE_ALL_IS_KEPT`), or the same up to rounding (`WHOLE`).

    Raises:
        ConfigError: no point of the space is the recipe.
    """
    frame = space.frame
    if not isinstance(recipe, Recipe):
        raise misfit_of("it is a path through layers", "a recipe in parameter space", recipe.method)
    bases = [
        one.base if METHODS[frame.method].base != "unused" else None for one in (frame, recipe)
    ]
    if len({base and base.digest for base in bases}) > 1:
        raise misfit_of("it has another base", *(_called([base]) for base in bases))
    names = names_by_files(frame.parents, recipe.parents)
    if sorted(names.values()) != sorted(ref.name for ref in frame.parents):
        raise misfit_of("it merges other parents", _called(frame.parents), _called(recipe.parents))
    if bases[0] is not None and bases[1] is not None:
        names.setdefault(bases[1].name, bases[0].name)
    if recipe.method not in METHODS:
        raise misfit_of("there is no such merge method", frame.method, recipe.method)
    parameters = {
        name: parameter.model_copy(
            update={"values": {names.get(one, one): of for one, of in parameter.values.items()}}
        )
        for name, parameter in recipe.parameters.items()
    }
    options = _options(recipe)
    if recipe.method != frame.method:
        meant = WHOLE.get(frame.method, frame.method)
        _require_equal_methods(recipe, meant)
        parameters.pop("density", None)
        if METHODS[frame.method].parameter("density"):
            parameters["density"] = Parameter(values={SHARED: {"model": 1.0}})
        if meant != frame.method:
            _require_defaults(recipe)
            options = _options(frame)
            if "weight" in parameters:
                parameters["rest"] = parameters["weight"]
    told = recipe.model_copy(
        update={
            "method": frame.method,
            "parameters": parameters,
            "owner": names.get(recipe.owner, recipe.owner),
            "options": options,
        }
    )
    _require_equal_beside_genes(space, told, METHODS[recipe.method])
    return told


def encode(
    space: ParameterGenome,
    recipe: AnyRecipe,
    *,
    tensors: Sequence[str],
    kind: Kind,
) -> Encoded:
    """The point of the space that decodes to a recipe, or the nearest that there is.

    A gene has the recipe's value for the tensors of its group: their mean if they have several, and for
    the anchors of a gradient the least squares. Values beyond a gene's range are moved to its end.
    Parameters that the recipe does not name stay where the genes start.

    Raises:
        ConfigError: no point of the space is near the recipe (see `translate`), or the recipe has no
            value for a tensor.
    """
    told = translate(space, recipe)
    notes = [
        f"it has another {name} ({there}; {here} here)"
        for name in ("dtype", "mask_seed", "owner")
        if (there := getattr(told, name)) != (here := getattr(space.frame, name))
    ]
    found: dict[tuple[str, str, str], float] = {}
    for name, grouping in space.groupings.items():
        parameter = told.parameters.get(name)
        if parameter is None:
            notes.append(f"it says nothing of `{name}`, which starts where its genes say")
            continue
        exact = True
        for owner in {gene.parent for gene in space.genes if gene.parameter == name}:
            values = parameter.values.get(owner) or parameter.values.get(SHARED) or {}
            regrouped, kept = _regroup(values, parameter.grouping, grouping, tensors, kind)
            found |= {(name, owner, group): value for group, value in regrouped.items()}
            exact &= kept
        if not exact:
            notes.append(f"several values of `{name}` became their mean in coarser genes")
    outside: dict[str, int] = {}
    point = []
    for gene in space.genes:
        value = found.get((gene.parameter, gene.parent, gene.group), gene.start)
        inside = min(max(value, gene.low), gene.high)
        if round(value - inside, DECIMALS):
            outside[gene.parameter] = outside.get(gene.parameter, 0) + 1
        point.append(gene.coordinate(inside))
    notes += [
        f"{count} value{'s' * (count > 1)} of `{name}` beyond the range of its genes moved to the end"
        for name, count in outside.items()
    ]
    return Encoded(tuple(point), tuple(notes))


def names_by_files(ours: Sequence[ParentRef], theirs: Iterable[ParentRef]) -> dict[str, str]:
    """What the models of a recipe are called in a space, by their names in the recipe.

    Models are known by the digests of their files; of several with one digest, that of the same name is
    meant. A model that the space does not have is called nothing.
    """
    known = {ref.digest: ref.name for ref in ours}
    same = {(ref.name, ref.digest) for ref in ours}
    return {
        ref.name: ref.name if (ref.name, ref.digest) in same else known.get(ref.digest, "")
        for ref in theirs
    }


def _called(models: Iterable[ParentRef | None]) -> str:
    """Models by name and digest."""
    return ", ".join(f"{one.name} ({one.digest[:12]})" if one else "none" for one in models)


def _options(recipe: Recipe) -> dict[str, Value]:
    """Options of the recipe's method, with defaults where it says nothing."""
    return {spec.name: spec.default for spec in METHODS[recipe.method].options} | recipe.options


def _require_equal_beside_genes(space: ParameterGenome, told: Recipe, original: Method) -> None:
    """What is not searched is the same; `told` has left out what has its default in its own method."""
    frame = space.frame
    for spec in METHODS[frame.method].parameters:
        if spec.name not in space.groupings:
            theirs = original.parameter(spec.name) or spec
            here = _numbers(frame.parameters.get(spec.name), spec.default)
            there = _numbers(told.parameters.get(spec.name), theirs.default)
            if here != there:
                raise misfit_of(f"it has another `{spec.name}`, which is not searched", here, there)
    for name, ours in _options(frame).items():
        if ours != told.options[name]:
            raise misfit_of(f"it has another `{name}`", ours, told.options[name])


def _require_equal_methods(recipe: Recipe, method: str) -> None:
    """The recipe's method is another one by name only."""
    pair = {recipe.method, method}
    if len(pair) > 1 and not any(pair <= methods for methods in EQUAL_WHERE_ALL_IS_KEPT):
        raise misfit_of("it is of another merge method", method, recipe.method)
    density = METHODS[recipe.method].parameter("density")
    densities = _numbers(recipe.parameters.get("density"), density.default if density else 1.0)
    if densities != [1.0]:
        raise misfit_of(
            f"it is of another merge method, which equals {method} at a density of 1 only",
            method,
            f"{recipe.method}, density {', '.join(map(str, densities))}",
        )


def _require_defaults(recipe: Recipe) -> None:
    """Options that the space's method does not have are as if they were not there."""
    options = _options(recipe)
    for spec in METHODS[recipe.method].options:
        if options[spec.name] != spec.default:
            raise misfit_of(f"it has a `{spec.name}`", spec.default, options[spec.name])


def _numbers(parameter: Parameter | None, default: float) -> list[float]:
    """Every value of a parameter once, ascending."""
    if parameter is None:
        return [default]
    return sorted(
        {round(value, DECIMALS) for of in parameter.values.values() for value in of.values()}
    )


def _regroup(
    values: Mapping[str, float], old: Grouping, new: Grouping, tensors: Sequence[str], kind: Kind
) -> tuple[dict[str, float], bool]:
    """Values for other groups of the same tensors, and whether each tensor keeps its value."""
    expected = groups(tensors, new, kind)
    if old == new and values.keys() == set(expected):
        return dict(values), True
    blocks = kind.blocks(tensors)
    each = np.array([_value(values, old, name, kind, blocks) for name in tensors])
    if isinstance(new, Gradient):
        units = [{other: float(other == one) for other in expected} for one in expected]
        shares = np.array(
            [[value_at(unit, kind.place(name), blocks) for unit in units] for name in tensors]
        )
        middle = float(each.mean())
        anchors = middle + np.linalg.lstsq(shares, each - middle)[0]
        exact = bool(np.allclose(shares @ anchors, each, rtol=0.0, atol=10**-DECIMALS))
        return dict(zip(expected, map(float, anchors), strict=True)), exact
    of_group: dict[str, list[float]] = {group: [] for group in expected}
    for name, value in zip(tensors, each, strict=True):
        of_group[group_of(name, new, kind)].append(float(value))
    means = {
        group: found[0] if len(set(found)) == 1 else math.fsum(found) / len(found)
        for group, found in of_group.items()
    }
    return means, all(len(set(found)) == 1 for found in of_group.values())


def _value(
    values: Mapping[str, float], grouping: Grouping, tensor: str, kind: Kind, blocks: Sequence[str]
) -> float:
    """The value of a tensor.

    Raises:
        ConfigError: there is none.
    """
    try:
        if isinstance(grouping, Gradient):
            return value_at(values, kind.place(tensor), blocks)
        return values[group_of(tensor, grouping, kind)]
    except KeyError as error:
        raise misfit_of(
            "it has no value for a tensor", f"a value of {error}", ", ".join(values) or "none"
        ) from error
