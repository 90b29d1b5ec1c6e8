"""All merge methods, by name."""

from __future__ import annotations

import difflib

from tsugiki.errors import ConfigError
from tsugiki.merge.method import Method
from tsugiki.merge.methods import (
    breadcrumbs,
    dare,
    della,
    karcher,
    linear,
    model_stock,
    multislerp,
    nuslerp,
    passthrough,
    sce,
    slerp,
    svd_task_arithmetic,
    task_arithmetic,
    ties,
)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        linear.METHOD,
        task_arithmetic.METHOD,
        svd_task_arithmetic.METHOD,
        ties.METHOD,
        dare.LINEAR,
        dare.TIES,
        breadcrumbs.LINEAR,
        breadcrumbs.TIES,
        della.LINEAR,
        della.TIES,
        model_stock.METHOD,
        sce.METHOD,
        slerp.METHOD,
        nuslerp.METHOD,
        multislerp.METHOD,
        karcher.METHOD,
        passthrough.METHOD,
    )
}


PER_PARENT = {
    name: {spec.name: spec.per_parent for spec in method.parameters}
    for name, method in METHODS.items()
}
"""By method and parameter, whether each parent has a value of its own."""


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ConfigError: there is none; the message lists the nearest names.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=3) or sorted(METHODS)
    raise ConfigError(
        "unknown merge method",
        expected="one of " + ", ".join(f"`{other}`" for other in near),
        got=f"`{name}`",
        fix="see docs/methods.md for all methods",
    )
