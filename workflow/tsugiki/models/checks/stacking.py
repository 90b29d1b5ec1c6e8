"""Whether a model's layers can stand in any order, as data-flow space and stacks need it."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed

FIX = (
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
            fix=FIX,
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
            fix=FIX,
        )
