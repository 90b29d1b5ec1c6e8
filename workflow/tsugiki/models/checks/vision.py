"""Vision-language models among the parents: what is merged of them, and who gives the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsugiki.models.fault import Fault
from tsugiki.models.language_settings import has_vision
from tsugiki.models.model import Model
from tsugiki.models.names import is_draft


def check_eyes(models: Sequence[Model], owner: Model, where: str, key: str) -> Iterator[Fault]:
    """A merge that would leave a vision tower behind does so only if the user says so.

    Args:
        models: The models that are merged.
        owner: The one that gives configuration and tokenizer, and all that is not merged. It is so by
            default, not because the user names it.
        where: What was read.
        key: The key that names the owner there.
    """
    seeing = [model.name for model in models if has_vision(model.config)]
    if not seeing or has_vision(owner.config):
        return
    yield Fault(
        f"the merged model would be a text model like `{owner.name}`, without the vision tower of "
        f"`{seeing[0]}`",
        where,
        expected=f"`{key}`, as it says which model the merged one is like",
        got="none",
        fix=f"set `{key}: {seeing[0]}` to keep the tower, or `{key}: {owner.name}` to drop it",
    )


def note_eyes(models: Sequence[Model], owner: Model) -> Iterator[str]:
    """Say what is not merged, draft layers aside, and where it comes from."""
    for model in models:
        outside = model.tensors.keys() - set(model.names.values())
        rest = sum(not is_draft(name, model.config) for name in outside)
        if rest and model is owner:
            yield f"{rest} tensors of {model.name} outside its language model are copied as they are"
        elif rest:
            yield f"{rest} tensors of {model.name} outside its language model are left out"
