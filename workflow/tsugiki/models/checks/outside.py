"""Models that hold more than what is merged, such as a vision tower, and who gives the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault


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
