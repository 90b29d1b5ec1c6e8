"""What models have besides what is merged, such as other components or a vision tower, and who gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from tsugiki.models.checks.architecture import differences
from tsugiki.models.checks.numbers import check_numbers
from tsugiki.models.components import CLASS, LIBRARY, in_component
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed

Shapes = Mapping[str, tuple[int, ...]]


def check_alike(reference: ModelFacts, other: ModelFacts) -> Iterator[Fault]:
    """Models are of kinds that can be merged with each other, and have the same components."""
    if not reference.config or not other.config:
        return
    mine, theirs = reference.kind, other.kind
    if mine.output != theirs.output:
        yield Fault(
            f"`{reference.name}` and `{other.name}` are models of different kinds",
            f"{reference.where} and {other.where}",
            expected=f"one kind; `{reference.name}`: {mine.name}",
            got=f"`{other.name}`: {theirs.name}",
            fix="merge models that were fine-tuned from the same base",
        )
        return
    ours, others = _components(reference), _components(other)
    if ours != others:
        differing = sorted(
            name for name in ours.keys() | others.keys() if ours.get(name) != others.get(name)
        )
        yield Fault(
            f"`{reference.name}` and `{other.name}` have other components",
            f"{reference.where} and {other.where}",
            expected=_said(differing, ours),
            got=_said(differing, others),
            fix="merge models that were fine-tuned from the same base",
        )
        return
    fixed = mine.agreement.fixed if mine.layout.parts else frozenset()
    unlike = [
        one for one in differences(reference, other) if one[0].rpartition(".")[2] in fixed
    ]  # which usually have one cause, such as another latent space: told once
    if unlike:
        yield Fault(
            f"`{reference.name}` and `{other.name}` differ in {listed([key for key, _, _ in unlike])}",
            f"{reference.where} and {other.where}",
            expected=f"`{reference.name}` has {listed([f'{key} {value}' for key, value, _ in unlike])}",
            got=f"`{other.name}` has {listed([f'{key} {value}' for key, _, value in unlike])}",
            fix="merge models that were fine-tuned from the same base",
        )


def note_components(reference: ModelFacts, other: ModelFacts, owner: str) -> Iterator[str]:
    """Say whose scheduler, and whatever else has no weights, the merged model gets, where classes differ.

    Args:
        reference: The base, or the first parent.
        other: A model that is merged with it.
        owner: Name of the model that gives all that is not merged.
    """
    mine, theirs = (
        {
            name: str(entry[CLASS])
            for name, entry in model.config.items()
            if isinstance(entry, Mapping) and LIBRARY in entry
        }
        for model in (reference, other)
    )
    if not (reference.whole and other.whole):
        return
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            yield (
                f"{name}: {reference.name} has {mine.get(name, 'none')}, {other.name} has "
                f"{theirs.get(name, 'none')}; the merged model gets that of {owner}"
            )


def check_components(model: ModelFacts) -> Iterator[Fault]:
    """Something of the model is merged, and what is merged is as its library would make it.

    Components of diffusers are made without content, where diffusers is installed.
    """
    layout = model.kind.layout
    if not layout.parts or not model.config or not model.whole or any(check_numbers(model)):
        return
    if not model.names:
        yield Fault(
            f"nothing of `{model.name}` would be merged",
            f"{model.where}, {layout.config}",
            expected="a component that is a denoiser, or `names` that say what to merge",
            got=listed(sorted(_components(model))),
            fix="add `names` to the parent, such as '(?!prior\\.).+': null to merge `prior` alone "
            "(docs/image-generators.md)",
        )
    for component in dict.fromkeys(stored.partition(".")[0] for stored in model.names.values()):
        settings = model.config.get(component, {})
        promised = _promised(settings) if settings.get(LIBRARY) == "diffusers" else None
        if promised is None:
            continue
        stored = {
            name.removeprefix(f"{component}."): tensor.shape
            for name, tensor in model.tensors.items()
            if in_component(name, component)
        }
        wrong = [
            name
            for name in sorted(promised.keys() | stored.keys())
            if promised.get(name) != stored.get(name)
        ]
        if wrong:
            yield Fault(
                f"the weights of `{model.name}` are not those that its configuration promises",
                f"{model.where}, {component}",
                expected=listed([_shape(name, promised) for name in wrong]),
                got=listed([_shape(name, stored) for name in wrong]),
                fix="fetch it again; or load it with diffusers and save it, which renames what is of an old version",
            )


def check_kept(
    models: Sequence[ModelFacts], owner: ModelFacts, where: str, key: str
) -> Iterator[Fault]:
    """A merge that would leave a vision tower behind does so only if the user says so.

    Args:
        models: The models that are merged.
        owner: The one that gives configuration and tokenizer, and all that is not merged. It is so by
            default, not because the user names it.
        where: What was read.
        key: The key that names the owner there.
    """
    richer = [one for one in models if one.kind.besides]
    if not richer or owner.kind.besides:
        return
    lost, name = richer[0].kind.besides, richer[0].name
    yield Fault(
        f"the merged model would be a {owner.kind.name} like `{owner.name}`, without the {lost} of "
        f"`{name}`",
        where,
        expected=f"`{key}`, as it says which model the merged one is like",
        got="none",
        fix=f"set `{key}: {name}` to keep the {lost}, or `{key}: {owner.name}` to drop it",
    )


def note_outside(models: Sequence[ModelFacts], owner: ModelFacts) -> Iterator[str]:
    """Say what is not merged, draft layers aside, and where it comes from."""
    for model in models:
        outside = model.tensors.keys() - set(model.names.values())
        rest = sum(not model.kind.is_unused(name, model.config) for name in outside)
        if rest and model is owner:
            yield (
                f"{rest} tensors of {model.name} outside its {model.kind.core} are copied as they are"
            )
        elif rest:
            yield f"{rest} tensors of {model.name} outside its {model.kind.core} are left out"


def _components(model: ModelFacts) -> dict[str, str]:
    """Class of each component whose settings weights depend on, by name; schedulers aside."""
    settings = model.kind.core_settings(model.config) if model.kind.layout.parts else {}
    with_weights = {name.partition(".")[0] for name in model.tensors}
    return {name: str(model.config[name][CLASS]) for name in settings if name in with_weights}


def _said(names: list[str], components: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} ({components[name]})" if name in components else f"no {name}" for name in names
    )


def _shape(name: str, shapes: Shapes) -> str:
    return f"{name} {list(shapes[name])}" if name in shapes else f"no {name}"


def _promised(settings: Mapping[str, Any]) -> Shapes | None:
    """Names and shapes of a component's tensors; None where diffusers is not here, or cannot make it."""
    return None if find_spec("diffusers") is None else _made(json.dumps(settings, sort_keys=True))


@lru_cache(maxsize=8)
def _made(written: str) -> Shapes | None:
    """What `_promised` says; parents mostly have the same components."""
    import diffusers
    import torch

    settings = json.loads(written)
    try:
        with torch.device("meta"):
            made = getattr(diffusers, settings[CLASS]).from_config(settings)
    except Exception:  # noqa: BLE001 - whatever a class needs that is not here
        return None
    return {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
