"""Where models are, as a mergekit configuration names them."""

from __future__ import annotations

from collections.abc import Mapping

from tsugiki.errors import RecipeError


def path_of(name: str, sources: Mapping[str, str]) -> str:
    """Where a model is, as mergekit reads it.

    Raises:
        RecipeError: it is not said, or mergekit would read the path as something else.
    """
    if name not in sources:
        raise RecipeError(
            f"it is not said where model `{name}` is",
            expected="a path or a repository of the Hub for every model that the recipe names",
            got=", ".join(sorted(sources)) or "none",
            fix=f"add --models {name}=PATH",
        )
    path = sources[name]
    if "+" in path or path.count("@") > 1:
        raise RecipeError(
            "mergekit cannot read this path, as `+` and `@` have a meaning there",
            where=f"model {name}",
            got=path,
        )
    return path
