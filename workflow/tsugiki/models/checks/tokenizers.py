"""Tokenizers and chat templates: that they can be loaded, and what differs between models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed
from tsugiki.models.sidecar_files import check_tokenizer_files
from tsugiki.models.vocabulary import PARTS, READERS, Vocabulary


def check_owner(
    owner: ModelFacts, place: str, *, apply_chat_template: bool = False
) -> Iterator[Fault]:
    """The model that gives the tokenizer has one, and a chat template if prompts need it."""
    fix = f"name another parent as {place}"
    yield from check_tokenizer_files(owner.name, owner.where, owner.sizes, owner.kind, fix)
    if apply_chat_template and owner.template is None:
        yield Fault(
            f"`{owner.name}` has no chat template, but prompts are to be wrapped in it",
            owner.where,
            expected="chat_template.jinja, or chat_template in tokenizer_config.json",
            got="neither",
            fix=f"name a parent with a chat template as {place}, or a file of one as "
            "evaluation.chat_template, or set evaluation.apply_chat_template to false",
        )


def note_templates(
    models: Sequence[ModelFacts], owner: ModelFacts, lender: str | None = None
) -> Iterator[str]:
    """Say whose chat template is used, where the models differ in it: the owner's, if nobody lends one."""
    having: dict[str | None, list[str]] = {}
    for model in models:
        having.setdefault(model.template, []).append(model.name)
    if len(having) == 1:
        return
    without = having.pop(None, [])
    each = [
        f"{'another' if place else 'one'} in {' and '.join(names)}"
        for place, names in enumerate(having.values())
    ]
    each += [f"none in {' and '.join(without)}"] if without else []
    source = f"that of {owner.name}" if owner.template is not None else f"none, as {owner.name}"
    source += ", whose tokenizer it takes"
    if lender is not None:
        source = f"that of {lender}"
    yield f"chat templates differ ({', '.join(each)}); the merged model gets {source}"


AS_JSON = (
    "save it as tokenizer.json in the model's folder (of a model on the Hub, in a copy that `path` "
    "names), where sentencepiece is installed: pip install transformers sentencepiece protobuf; "
    'python -c "from transformers import AutoTokenizer as A; '
    "A.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
)
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
"""How an added token is matched, and whether it is left out of answers."""


def check_loading(model: ModelFacts) -> Iterator[Fault]:
    """Transformers can load the tokenizer that a model is scored with, as its files say."""
    if model.loaded is None or not model.config:  # a broken configuration is told elsewhere
        return
    if model.loaded.refusal is not None:
        yield Fault(
            f"transformers cannot load the tokenizer of `{model.name}`",
            model.where,
            expected="tokenizer.json, or vocab.json with merges.txt, or vocab.txt",
            got=model.loaded.refusal,
            fix=AS_JSON if READERS[0] in model.loaded.refusal else "fetch or correct its files",
        )


def check_ids(model: ModelFacts) -> Iterator[Fault]:
    """Loading gives tokens the ids that the files of an unprepared parent say."""
    if model.loaded is None or model.loaded.refusal is not None:
        return
    said, found = model.vocabulary or {}, model.loaded.vocabulary
    others = [token for token, index in said.items() if found.get(token, index) != index]
    if others:
        yield Fault(
            f"tokens of `{model.name}` get other ids when they are loaded than its files say",
            model.where,
            expected=listed([f"{token!r} with id {said[token]}" for token in others]),
            got=listed([f"id {found[token]}" for token in others]),
            fix="give added tokens the ids that follow the last one, and their rows with them",
        )


def check_scored(model: ModelFacts) -> Iterator[Fault]:
    """A parent has the tokenizer that it needs to be scored by itself, beside the merged model."""
    yield from check_loading(model)
    needed = model.kind.sidecar.one_of
    if model.tensors and needed and not any(name in model.sizes for name in needed):
        yield Fault(
            f"`{model.name}` has no tokenizer, but parents are scored too, each with its own",
            model.where,
            expected="one of " + ", ".join(needed),
            fix="copy the tokenizer's files of the model that it was trained from beside its weights",
        )


def check_tokenizers(reference: ModelFacts, other: ModelFacts) -> Iterator[Fault]:
    """No row is that of a token in one model, and of another token, or of none, in the other.

    Else rows of different tokens would be mixed, or a token's row with padding.
    """
    mine, theirs = reference.vocabulary, other.vocabulary
    if mine is None or theirs is None or mine == theirs:
        return
    if conflicts := _conflicts(mine, theirs):
        yield Fault(
            f"the tokenizers of `{reference.name}` and `{other.name}` contradict each other",
            f"{reference.where} and {other.where}",
            expected="the same id for a token in both",
            got=f"{len(conflicts)} differences: {listed(conflicts)} "
            f"(`{reference.name}` / `{other.name}`)",
            fix="give the models one vocabulary, whose rows are matched by token: "
            f"vocabulary: {{kind: union, of: {reference.name}}} in a run's configuration (see docs/parents.md)",
        )
    else:
        for has, lacks in ((reference, other), (other, reference)):
            yield from _tokens_in_padding(has, lacks)


def _tokens_in_padding(has: ModelFacts, lacks: ModelFacts) -> Iterator[Fault]:
    """Tokens of one model whose rows stand for no token in the other, which has these rows."""
    mine, theirs = has.vocabulary or {}, lacks.vocabulary or {}
    lacking = sorted(mine.keys() - theirs.keys(), key=lambda token: mine[token])
    found = [token for token in lacking if not has.rows or mine[token] < has.rows]
    if not found or has.rows != lacks.rows:  # other rows, and tokens beyond them, are other faults
        return
    owner = lacks if all(token in has.added for token in found) else has
    yield Fault(
        f"`{has.name}` has tokens whose rows are padding in `{lacks.name}`",
        f"{has.where} and {lacks.where}",
        expected="the same tokens in both; else their rows would be mixed with padding",
        got=f"only `{has.name}` has {listed([repr(token) for token in found])}",
        fix="give the models one vocabulary, in which these rows are taken whole: "
        f"vocabulary: {{kind: union, of: {owner.name}}} in a run's configuration (see docs/parents.md)",
    )


def note_tokenizers(reference: ModelFacts, other: ModelFacts) -> Iterator[str]:
    """Say where vocabularies could not be compared."""
    for model in (reference, other):
        if model.vocabulary is None and model.loaded is None and model.trusted:
            yield f"{model.name}: a tokenizer made by code of its own, which is not compared with the others"


def note_splitting(model: ModelFacts, owner: ModelFacts) -> Iterator[str]:
    """Say in what two tokenizers differ although their tokens may be the same, and whose is used."""
    if model.loaded is None or owner.loaded is None:
        return
    mine, theirs = model.loaded.parts, owner.loaded.parts
    if not mine or not theirs:
        return
    differing = [part for part in PARTS if mine[part] != theirs[part]]
    if mine["tokens"] == theirs["tokens"] and mine["model"] != theirs["model"]:
        differing.append("model (merges, scores or its settings)")
    flags = sorted(
        token
        for token in model.added.keys() & owner.added.keys()
        if any(model.added[token].get(flag) != owner.added[token].get(flag) for flag in FLAGS)
    )
    if flags:
        differing.append(f"flags of added tokens ({listed([repr(token) for token in flags])})")
    if differing:
        yield (
            f"tokenizer of {model.name} differs from that of {owner.name} in {', '.join(differing)}: "
            f"it was trained on texts split otherwise; the merged model splits as {owner.name} does"
        )


def _conflicts(mine: Vocabulary, theirs: Vocabulary) -> list[str]:
    found = [
        f"{token!r} is {mine[token]} / {theirs[token]}"
        for token in sorted(mine.keys() & theirs.keys())
        if mine[token] != theirs[token]
    ]
    by_id = {index: token for token, index in theirs.items() if token not in mine}
    found += [
        f"{index} is {token!r} / {by_id[index]!r}"
        for token, index in sorted(mine.items(), key=lambda item: item[1])
        if token not in theirs and index in by_id
    ]
    return found
