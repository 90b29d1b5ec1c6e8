"""Looking up a recipe's parameters for each tensor, after checking them against the method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tsugiki.contracts.recipe import SHARED, Gradient, Parameter, ParentRef, Recipe
from tsugiki.errors import RecipeError
from tsugiki.merge.method import Method, OptionSpec, ParameterSpec, Value
from tsugiki.merge.registry import get_method
from tsugiki.models.grouping import group_of, groups, value_at
from tsugiki.models.kinds.kind import Kind


class Settings:
    """A recipe's method, parents in order of their digests, and values for each tensor.

    Raises:
        ConfigError: the method does not exist.
        RecipeError: parents, parameters, groups or options do not fit the method.
    """

    def __init__(self, recipe: Recipe, tensors: Sequence[str], kind: Kind) -> None:
        self.method = get_method(recipe.method)
        self.parents = parents_in_order(recipe)
        _check_models(recipe, self.method)
        self.options = options_of(recipe, self.method)
        self.mask_seed = recipe.mask_seed
        for name in recipe.parameters:
            if self.method.parameter(name) is None:
                raise RecipeError(
                    f"method `{self.method.name}` has no parameter `{name}`",
                    expected=", ".join(spec.name for spec in self.method.parameters) or "none",
                )
        self._parameters = recipe.parameters
        self._kind, self._blocks = kind, kind.blocks(tensors)
        for spec in self.method.parameters:
            if spec.name in recipe.parameters:
                self._check(spec, recipe.parameters[spec.name], tensors)

    def per_parent(self, tensor: str) -> dict[str, tuple[float, ...]]:
        """Values of per-parent parameters for a tensor, in order of `parents`."""
        return {
            spec.name: tuple(self._value(spec, parent.name, tensor) for parent in self.parents)
            for spec in self.method.parameters
            if spec.per_parent
        }

    def shared(self, tensor: str) -> dict[str, float]:
        """Values of the other parameters for a tensor."""
        return {
            spec.name: self._value(spec, SHARED, tensor)
            for spec in self.method.parameters
            if not spec.per_parent
        }

    def _value(self, spec: ParameterSpec, parent: str, tensor: str) -> float:
        parameter = self._parameters.get(spec.name)
        if parameter is None:
            return spec.default
        values = parameter.values.get(parent) or parameter.values[SHARED]
        if isinstance(parameter.grouping, Gradient):
            return value_at(values, self._kind.place(tensor), self._blocks)
        return values[group_of(tensor, parameter.grouping, self._kind)]

    def _check(self, spec: ParameterSpec, parameter: Parameter, tensors: Sequence[str]) -> None:
        owners = {parent.name for parent in self.parents} if spec.per_parent else {SHARED}
        if parameter.values.keys() not in (owners, {SHARED}):
            raise RecipeError(
                f"parameter `{spec.name}` does not have one set of values for each parent",
                expected=", ".join(sorted(owners)) + f" (or `{SHARED}` for all)",
                got=", ".join(sorted(parameter.values)) or "none",
            )
        expected = groups(tensors, parameter.grouping, self._kind)
        for owner, values in parameter.values.items():
            if values.keys() != set(expected):
                raise RecipeError(
                    f"parameter `{spec.name}` does not have one value for each group of tensors",
                    where=f"values of {owner}",
                    expected=", ".join(expected),
                    got=", ".join(sorted(values)) or "none",
                )
            for group, value in values.items():
                _check_range(
                    f"parameter `{spec.name}`", f"{owner}, {group}", value, spec.low, spec.high
                )


def _check_models(recipe: Recipe, method: Method) -> None:
    count = len(recipe.parents)
    most = math.inf if method.max_parents is None else method.max_parents
    if not method.min_parents <= count <= most:
        more = " or more" if method.max_parents is None else f" to {most}"
        expected = f"{method.min_parents}{more if method.min_parents != most else ''}"
        raise RecipeError(
            f"method `{method.name}` does not take this number of parents",
            expected=f"{expected}, besides the base" if method.needs_base else expected,
            got=f"{count}: " + ", ".join(parent.name for parent in recipe.parents),
        )
    if method.needs_base and recipe.base is None:
        raise RecipeError(
            f"method `{method.name}` needs a base",
            expected="the model that the parents were fine-tuned from",
            got="no base",
            fix="name it as `base`",
        )


def parents_in_order(recipe: Recipe) -> tuple[ParentRef, ...]:
    """The parents as methods get them, which does not depend on their names."""
    return tuple(sorted(recipe.parents, key=lambda parent: (parent.digest, parent.name)))


def options_of(recipe: Recipe, method: Method) -> Mapping[str, Value]:
    """All options of a recipe's method, defaults filled in.

    Raises:
        RecipeError: the recipe has one that the method has not, or a value that is none of it.
    """
    for name in recipe.options:
        if method.option(name) is None:
            raise RecipeError(
                f"method `{method.name}` has no option `{name}`",
                expected=", ".join(spec.name for spec in method.options) or "none",
            )
    return {
        spec.name: _option(spec, recipe.options.get(spec.name, spec.default))
        for spec in method.options
    }


def _option(spec: OptionSpec, value: Value) -> Value:
    what = f"option `{spec.name}`"
    if isinstance(spec.default, bool):
        if value not in (True, False):
            raise RecipeError(f"{what} is true or false", got=repr(value))
        return bool(value)
    if isinstance(spec.default, str):
        if value not in spec.choices:
            raise RecipeError(
                f"{what} has no such choice", expected=", ".join(spec.choices), got=repr(value)
            )
        return value
    if isinstance(value, str):
        raise RecipeError(f"{what} is a number", got=repr(value))
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    _check_range(what, None, float(value), low, high)
    return float(value)


def _check_range(what: str, where: str | None, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise RecipeError(
            f"{what} is out of range", where=where, expected=f"{low:g} to {high:g}", got=f"{value}"
        )
