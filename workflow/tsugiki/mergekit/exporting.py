"""From a recipe to a mergekit configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from tsugiki.contracts.recipe import SHARED, AnyRecipe, Gradient, Recipe, names_in
from tsugiki.errors import RecipeError
from tsugiki.merge.settings import Settings
from tsugiki.mergekit import methods
from tsugiki.mergekit.filters import as_filters
from tsugiki.models.grouping import group_of
from tsugiki.models.kinds.text import TEXT


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


Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""`values[owner][parameter][tensor]`, with mergekit's name of the parameter; the owner is `SHARED`
for what is written once for all models."""
Yaml = dict[str, Any]


def is_whole_model(recipe: Recipe) -> bool:
    """Whether no parameter differs between tensors, so that their names do not matter."""
    return all(parameter.grouping == "model" for parameter in recipe.parameters.values())


def export_mergekit(recipe: Recipe, sources: Mapping[str, str], tensors: Sequence[str]) -> str:
    """A mergekit configuration (YAML) that expresses a recipe.

    Gradients are lists. Where other values differ between tensors, each layer is a slice of its own,
    as mergekit's gradients cannot hold a value of its own for each of many layers. What mergekit does
    otherwise is said in comments at the top.

    Args:
        recipe: The recipe.
        sources: Path or Hub repository (`owner/name`, `owner/name@revision`) of each model, by name.
        tensors: Names of all tensors that are merged; any one name if `is_whole_model(recipe)`.

    Raises:
        ConfigError: the method does not exist.
        RecipeError: mergekit cannot express the recipe, or the recipe describes no valid merge.
    """
    if given := names_in(recipe.models):
        raise RecipeError(
            "mergekit goes by stored names, and the recipe gives tensors others",
            got=", ".join(sorted(given)),
            fix="merge with `tsugiki merge` or `tsugiki reproduce`",
        )
    settings = Settings(recipe, tensors, TEXT)
    there = methods.counterpart(recipe.method)
    values = _values(recipe, settings, there, tensors)
    _check_della(recipe, settings, values)
    base = _base_model(recipe, settings)
    named = {*_owners(recipe)[1:], recipe.owner, *([] if base is None else [base])}
    paths = {name: path_of(name, sources) for name in sorted(named)}
    document: Yaml = {"merge_method": recipe.method}
    if base is not None:
        document["base_model"] = paths[base]
    document |= _slices(recipe, settings, values, paths, tensors)
    options = _options(recipe, there)
    lists = {} if "slices" in document else _gradients(recipe)[SHARED]
    if shared := _uniform(values[SHARED]) | lists | options:
        document["parameters"] = shared
    tokenizer = {} if base == recipe.owner else {"tokenizer_source": paths[recipe.owner]}
    return as_text(document, recipe, _notes(recipe, settings, values, base), **tokenizer)


def as_text(document: Yaml, recipe: AnyRecipe, notes: Iterable[str], **more: str) -> str:
    """A mergekit configuration as YAML."""
    formats = {} if recipe.dtype == "float32" else {"out_dtype": recipe.dtype}
    digests = {ref.name: ref.digest for ref in recipe.models}
    lines = [
        f"Written by tsugiki from recipe {recipe.digest}.",
        *(f"{name}: files with digest {digest}" for name, digest in sorted(digests.items())),
        *notes,
    ]
    body = yaml.safe_dump(
        {**document, "dtype": "float32", **formats, **more},
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=100,
    )
    return "".join(f"# {line}\n" for line in lines) + body


def _values(
    recipe: Recipe, settings: Settings, there: methods.Counterpart, tensors: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {owner: {} for owner in _owners(recipe)}
    for spec in settings.method.parameters:
        name = there.parameters.get(spec.name)
        if name is None:
            _check_equal(recipe, settings, spec.name, tensors)
            continue
        parameter = recipe.parameters.get(spec.name)
        if parameter is None and name not in methods.REQUIRED:
            continue
        once = parameter is None or SHARED in parameter.values or name not in methods.PER_INPUT
        owners = {SHARED: 0} if once else {p.name: i for i, p in enumerate(settings.parents)}
        for owner, index in owners.items():
            found[owner][name] = {
                tensor: (
                    settings.per_parent(tensor)[spec.name][index]
                    if spec.per_parent
                    else settings.shared(tensor)[spec.name]
                )
                for tensor in tensors
            }
    return found


def _slices(
    recipe: Recipe,
    settings: Settings,
    values: Values,
    paths: Mapping[str, str],
    tensors: Sequence[str],
) -> Yaml:
    parents = _owners(recipe)[1:]
    differing = {owner: _differing(values[owner]) for owner in values}
    lists = _gradients(recipe)
    if all(differing[owner].keys() <= lists[owner].keys() for owner in values):
        return {
            "models": [
                _with_parameters({"model": paths[name]}, _uniform(values[name]) | lists[name])
                for name in parents
            ]
        }
    base = [recipe.base.name] if recipe.base and settings.method.base != "unused" else []
    slices = []
    for layer, names in enumerate(_layers(tensors)):
        sources = [_source(paths[name], layer, {}) for name in base]
        sources += [_source(paths[name], layer, _written(values[name], names)) for name in parents]
        piece: Yaml = {"sources": sources}
        slices.append(_with_parameters(piece, _written(differing[SHARED], names)))
    return {"slices": slices}


def _owners(recipe: Recipe) -> list[str]:
    return [SHARED, *(parent.name for parent in recipe.parents)]


def _gradients(recipe: Recipe) -> dict[str, Yaml]:
    """The anchors of every gradient, as mergekit writes them: by owner and mergekit's parameter."""
    there = methods.counterpart(recipe.method).parameters
    found: dict[str, Yaml] = {owner: {} for owner in _owners(recipe)}
    for name, parameter in recipe.parameters.items():
        if isinstance(parameter.grouping, Gradient) and name in there:
            for owner, anchors in parameter.values.items():
                place = owner if there[name] in methods.PER_INPUT else SHARED
                found[place][there[name]] = [anchors[f"anchor.{i}"] for i in range(len(anchors))]
    return found


def _source(path: str, layer: int, parameters: Yaml) -> Yaml:
    return _with_parameters({"model": path, "layer_range": [layer, layer + 1]}, parameters)


def _layers(tensors: Sequence[str]) -> list[list[str]]:
    """Tensors that mergekit looks up in each layer's slice, the first and last with those outside.

    Raises:
        RecipeError: mergekit cannot cut this model into slices.
    """
    groups: dict[str, list[str]] = {}
    for tensor in tensors:
        groups.setdefault(group_of(tensor, "block", TEXT), []).append(tensor)
    before, after = groups.pop("embeddings", []), groups.pop("head", [])
    numbers = [f"block.{number}" for number in range(len(groups))]
    if not groups or groups.keys() != set(numbers):
        raise RecipeError(
            "mergekit cannot cut this model into layers",
            expected="embeddings, layers numbered from 0, and a head",
            got=", ".join(sorted(groups)) or "no layers",
            fix="only values that are the same for the whole model can be exported",
        )
    layers = [groups[number] for number in numbers]
    layers[0] = [*before, *layers[0]]
    layers[-1] = [*layers[-1], *after]
    return layers


def _differing(values: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    return {name: by for name, by in values.items() if len(set(by.values())) > 1}


def _uniform(values: Mapping[str, Mapping[str, float]]) -> Yaml:
    distinct = {name: set(by.values()) for name, by in values.items()}
    return {name: found.pop() for name, found in distinct.items() if len(found) == 1}


def _written(values: Mapping[str, Mapping[str, float]], tensors: Sequence[str]) -> Yaml:
    return {name: as_filters({one: by[one] for one in tensors}) for name, by in values.items()}


def _with_parameters(section: Yaml, parameters: Yaml) -> Yaml:
    return section | ({"parameters": parameters} if parameters else {})


def _options(recipe: Recipe, there: methods.Counterpart) -> Yaml:
    found: Yaml = {}
    for name, value in sorted(recipe.options.items()):
        if name == methods.VECTORS:
            found |= methods.to_nuslerp(str(value))
        else:  # mergekit takes a whole number of iterations only
            found[there.options[name]] = int(value) if name == "iterations" else value
    return found


def _base_model(recipe: Recipe, settings: Settings) -> str | None:
    """The model to write as `base_model`.

    Where it takes no part in the merge, mergekit still copies its tokenizer and configuration.
    """
    if settings.method.base != "unused":
        return recipe.base.name if recipe.base else None
    return recipe.owner if recipe.owner in _owners(recipe) else None


def _check_equal(
    recipe: Recipe, settings: Settings, parameter: str, tensors: Sequence[str]
) -> None:
    for tensor in tensors:
        values = settings.per_parent(tensor)[parameter]
        if len(set(values)) > 1:
            raise RecipeError(
                f"mergekit's `{recipe.method}` counts all parents equally",
                where=f"tensor {tensor}",
                expected=f"one {parameter} for all parents",
                got=", ".join(map(str, values)),
            )


def _check_della(recipe: Recipe, settings: Settings, values: Values) -> None:
    if recipe.method not in ("della", "della_linear"):
        return
    epsilon = float(settings.options["epsilon"])
    for owner, parameters in values.items():
        for tensor, density in parameters.get("density", {}).items():
            if 0 < density < 1 and not (density - epsilon > 0 and density + epsilon < 1):
                raise RecipeError(
                    "mergekit refuses a density that is nearer than epsilon to 0 or 1",
                    where=f"{owner}, tensor {tensor}",
                    expected=f"a density between {epsilon:g} and {1 - epsilon:g}, or 0 or 1",
                    got=f"{density}",
                    fix="a smaller option `epsilon`",
                )


def _notes(recipe: Recipe, settings: Settings, values: Values, base: str | None) -> list[str]:
    notes = []
    densities = [one for of in values.values() for one in of.get("density", {}).values()]
    if recipe.method.startswith(("dare", "della")) and any(0 < one < 1 for one in densities):
        notes += [
            "NOT THE SAME MERGE: mergekit draws other random masks each time, not those of the",
            f"recipe (mask_seed {recipe.mask_seed}), and rescales each tensor to its sum of",
            "magnitudes instead of dividing by the density. See docs/mergekit.md.",
        ]
    if recipe.base and settings.method.base == "unused":
        notes.append(f"The recipe's base, {recipe.base.name}, takes no part and is left out.")
    if base != recipe.owner:
        notes += [
            f"The tokenizer is that of {recipe.owner}; mergekit makes the embeddings as long as",
            "its vocabulary, without rows for padding, and takes config.json from another model.",
        ]
    return notes
