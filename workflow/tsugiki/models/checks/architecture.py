"""Settings of the configuration that change what the weights mean, and layers that can be stacked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed

NAME_OF_BASE = "base_model_name_or_path"
"""Of an adapter: accepted like the others, but no setting of a model."""


def check_settings(model: ModelFacts) -> Iterator[Fault]:
    """Transformers can make a model from the configuration."""
    if not model.config or model.trusted:
        return
    try:
        model.kind.settings(model.config)
    except ValueError as error:
        own_code = "auto_map" in model.config
        yield Fault(
            f"transformers cannot make a model from the configuration of `{model.name}`",
            f"{model.where}, {model.kind.layout.config}",
            got=str(error).splitlines()[0],
            fix="set trust_remote_code for this parent, if you trust the code that comes with it"
            if own_code
            else "correct its configuration, or install a newer transformers",
        )


def check_architecture(
    reference: ModelFacts,
    other: ModelFacts,
    accepted: Collection[str] | None = None,
    *,
    passed: Collection[str] = (),
) -> Iterator[Fault]:
    """Parents agree on every setting that their weights depend on.

    Args:
        reference: The base, or the first parent.
        other: A model that is merged with it.
        accepted: Settings that may differ, as the user wishes; all that a user can accept, if absent.
        passed: Settings that need not be compared.
    """
    for key, mine, theirs in differences(reference, other):
        last = _last(key)
        if last in passed:
            continue
        fixed = last in reference.kind.agreement.fixed
        if not fixed and (accepted is None or _may_differ(key, reference, accepted)):
            continue
        fix = "merge models that were fine-tuned from the same base"
        if last == "tie_word_embeddings":
            fix = (
                "if the untied model's head equals its embeddings, remove the head and tie them in a copy of "
                "the model; else store the embeddings as the head of the other one, with "
                "tie_word_embeddings: false"
            )
        elif not fixed:
            fix += (
                f", or take the value of the tokenizer's model for all: accept_differences: [{last}] "
                f"in a run's configuration, --accept-differences {last} for `tsugiki merge`"
            )
        yield Fault(
            f"`{reference.name}` and `{other.name}` differ in {key}",
            f"{reference.kind.layout.config} of {reference.where} and {other.where}",
            expected=f"one value; `{reference.name}` has {mine}",
            got=f"`{other.name}` has {theirs}",
            fix=fix,
        )


def note_choices(
    reference: ModelFacts, other: ModelFacts, owner: str, accepted: Collection[str] = ()
) -> Iterator[str]:
    """Say which value the merged model gets, where the models may differ."""
    for key, mine, theirs in differences(reference, other):
        if _may_differ(key, reference, accepted):
            yield (
                f"{key}: {reference.name} has {mine}, {other.name} has {theirs}; "
                f"the merged model gets that of {owner}"
            )


def note_accepted(accepted: Collection[str], models: Sequence[ModelFacts]) -> Iterator[str]:
    """Say which accepted differences are none."""
    pairs = [(models[0], other) for other in models[1:]]
    found = {key for pair in pairs for key, _, _ in differences(*pair)}
    for key in accepted:
        if key != NAME_OF_BASE and not any(_is_accepted(one, [key]) for one in found):
            yield f"accept_differences: the models do not differ in {key}"


UNSTACKED = (
    "merge it in parameter space, and leave out baselines of the kind `stack`; docs/dataflow.md says "
    "how to add an architecture"
)


def check_stacking(model: ModelFacts) -> Iterator[Fault]:
    """The part of each tensor in its layer is known."""
    kind = model.kind
    if not kind.stackable:
        yield Fault(
            f"`{model.name}` is an {kind.name}: it has no layers that a path could go through",
            f"{model.where}, {kind.layout.config}",
            expected="language models, in data-flow space and in baselines of the kind `stack`",
            got=str(model.config.get(kind.type_key)),
            fix="merge it in parameter space, and leave out baselines of the kind `stack`",
        )
        return
    name = kind.layers_as_in(model.config)
    if name is None:
        return
    layers = kind.stackable.get(name)
    if layers is None:
        why = kind.unstackable.get(name, "not known how its layers use the hidden state")
        yield Fault(
            f"the layers of `{model.name}` cannot be merged in data-flow space",
            f"{model.where}, {kind.layout.config}",
            expected=f"{kind.type_key} " + ", ".join(sorted(kind.stackable)),
            got=f"{name}: {why}",
            fix=UNSTACKED,
        )
        return
    elsewhere = {"derived", "embeddings"}
    tensors = model.names if kind.sees else model.tensors
    if unknown := [
        one for one in tensors if kind.use(one) not in elsewhere and not layers.knows(one)
    ]:
        yield Fault(
            f"`{model.name}` has tensors whose part in its layers is not known",
            model.where,
            expected=f"the tensors of a {name}",
            got=listed(unknown),
            fix=UNSTACKED,
        )


def _is_accepted(key: str, accepted: Collection[str]) -> bool:
    """Whether a setting is named, with or without the sections that it is in."""
    return key in accepted or _last(key) in accepted


def _may_differ(key: str, model: ModelFacts, accepted: Collection[str]) -> bool:
    return _last(key) in model.kind.agreement.free or _is_accepted(key, accepted)


def differences(reference: ModelFacts, other: ModelFacts) -> Iterator[tuple[str, Any, Any]]:
    """Settings of what is merged that two models do not share, with the values of both.

    Defaults are filled in. What the kind of model ignores is left out, and a model whose configuration
    cannot be read differs in nothing.
    """
    ignored = reference.kind.agreement.ignored  # whole sections, too
    if not reference.config or not other.config:
        return
    if _stated(reference, ignored) == _stated(other, ignored):
        return  # defaults need not be asked for
    mine, theirs = reference.core_settings, other.core_settings
    for key in sorted(mine.keys() | theirs.keys()):
        if ignored.isdisjoint(key.split(".")) and mine.get(key) != theirs.get(key):
            yield key, mine.get(key), theirs.get(key)


def _stated(model: ModelFacts, ignored: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in model.config.items() if key not in ignored}


def _last(key: str) -> str:
    return key.rpartition(".")[2]
