"""Tokenizer and chat template of the merged model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsugiki.merge.companions import TOKENIZER
from tsugiki.parents.fault import Fault
from tsugiki.parents.model import Model


def check_owner(owner: Model, place: str, *, apply_chat_template: bool = False) -> Iterator[Fault]:
    """The model that gives the tokenizer has one, and a chat template if prompts need it.

    Args:
        owner: The model.
        place: Where the user names it.
        apply_chat_template: Whether prompts are wrapped in the template.
    """
    if not any(name in owner.sizes for name in TOKENIZER):
        yield Fault(
            f"`{owner.name}` has no tokenizer, but the merged model is to get it",
            owner.where,
            expected="one of " + ", ".join(TOKENIZER),
            fix=f"name another parent as {place}",
        )
    if apply_chat_template and owner.template is None:
        yield Fault(
            f"`{owner.name}` has no chat template, but prompts are to be wrapped in it",
            owner.where,
            expected="chat_template.jinja, or chat_template in tokenizer_config.json",
            got="neither",
            fix=f"name a parent with a chat template as {place}, or set "
            "evaluation.apply_chat_template to false",
        )


def note_templates(models: Sequence[Model], owner: Model) -> Iterator[str]:
    """Say whose chat template is used, where the models differ in it."""
    if len({model.template for model in models}) == 1:
        return
    having = ", ".join(model.name for model in models if model.template is not None)
    source = f"that of {owner.name}" if owner.template is not None else f"none, as {owner.name}"
    yield (
        f"chat templates differ (present in: {having}); the merged model gets {source}, "
        "whose tokenizer it takes"
    )
