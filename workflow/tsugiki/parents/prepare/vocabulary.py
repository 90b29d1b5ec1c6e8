"""One vocabulary for several models: ids and rows of its tokens, tokenizer files, and settings.

All models get the tokenizer of one, the owner, and perhaps the added tokens of the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tsugiki.canonical import pretty_json
from tsugiki.config.parents import Vocabulary as Setting
from tsugiki.errors import ParentError
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed
from tsugiki.models.sources import ParentFiles


@dataclass(frozen=True)
class Alignment:
    """The vocabulary that all models get."""

    owner: str
    """Name of the model whose tokenizer they get."""
    vocabulary: Mapping[str, int]
    """Token to id. The owner's tokens keep their ids."""
    rows: int
    """Rows of embeddings and head."""
    appended: tuple[Mapping[str, Any], ...] = field(default=())
    """Added tokens of other models: entries of tokenizer.json, with their new ids, in order."""

    def fits(self, model: ModelFacts) -> bool:
        """Whether a model has this vocabulary and these rows already."""
        return model.vocabulary == self.vocabulary and model.rows == self.rows

    def origins(self, model: ModelFacts) -> list[int | None]:
        """For each aligned row, the row of the model that it is, or None if the model has none.

        A row without a token is padding. It is the model's own padding row of that number, if that
        is padding there too.
        """
        assert model.vocabulary is not None, "checked by `check_alignable`"
        found: list[int | None] = [None] * self.rows
        used = set(model.vocabulary.values())
        padding = set(range(self.rows)) - set(self.vocabulary.values())
        for row in padding:
            if row < model.rows and row not in used:
                found[row] = row
        for token, row in sorted(self.vocabulary.items(), reverse=True):
            if token in model.vocabulary:
                found[row] = model.vocabulary[token]
        return found


def check_alignable(models: Sequence[ModelFacts], setting: Setting) -> Iterator[Fault]:
    """The models have vocabularies that can be read, and the union can be a real tokenizer."""
    owner = next((model for model in models if model.name == setting.of), None)
    save = (
        "save it as tokenizer.json beside the weights: "
        "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    )
    unread = [model for model in models if not model.vocabulary]
    for model in unread:
        yield Fault(
            f"the vocabulary of `{model.name}` cannot be read, so that its rows cannot be matched",
            model.where,
            expected="tokenizer.json",
            got="tokenizer.model alone" if "tokenizer.model" in model.sizes else "no tokenizer",
            fix=save,
        )
    if owner is None or unread or setting.kind != "union":
        return
    if _appended(models, owner) and "tokenizer.json" not in owner.sizes:
        yield Fault(
            f"tokens cannot be added to the tokenizer of `{owner.name}`",
            owner.where,
            expected="tokenizer.json",
            got=listed(sorted(name for name in owner.sizes if not name.endswith(".safetensors"))),
            fix=save,
        )
    for model in models:
        if pieces := _unreachable(model, owner):
            yield Fault(
                f"the tokenizer of `{owner.name}` could not reach {len(pieces)} tokens that "
                f"`{model.name}` has",
                f"{owner.where} and {model.where}",
                expected=f"a tokenizer that has all ordinary tokens of the others; only their "
                f"added tokens can be added to that of `{owner.name}`",
                got=listed([repr(token) for token in pieces]),
                fix=f"name `{model.name}` as `of`, or leave these tokens out: "
                f"vocabulary: {{kind: parent, of: {owner.name}}}",
            )


def align(models: Sequence[ModelFacts], setting: Setting) -> Alignment:
    """The vocabulary that `check_alignable` found no fault with.

    The owner's tokens keep their ids. For a union, the added tokens that it lacks follow, in the
    order of the models and of their ids there. Padding goes up to the most rows of any model (for
    `parent`: of the owner), and to a multiple of `multiple_of`.
    """
    owner = next(model for model in models if model.name == setting.of)
    vocabulary = dict(owner.vocabulary or {})
    appended = []
    rows = owner.rows
    if setting.kind == "union":
        rows = max(model.rows for model in models)
        for entry in _appended(models, owner):
            index = max(vocabulary.values()) + 1
            vocabulary[entry["content"]] = index
            appended.append(dict(entry) | {"id": index})
    rows = max(rows, max(vocabulary.values()) + 1)
    rows += -rows % setting.multiple_of
    return Alignment(owner.name, vocabulary, rows, tuple(appended))


def _appended(models: Sequence[ModelFacts], owner: ModelFacts) -> list[Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for model in models:
        lacking = [token for token in model.added if token not in (owner.vocabulary or {})]
        for token in sorted(lacking, key=lambda token: (model.vocabulary or {})[token]):
            found.setdefault(token, model.added[token])
    return list(found.values())


def _unreachable(model: ModelFacts, owner: ModelFacts) -> list[str]:
    """Ordinary tokens that the owner lacks, in the order of their ids."""
    mine, theirs = model.vocabulary or {}, owner.vocabulary or {}
    lacking = [token for token in mine if token not in theirs and token not in model.added]
    return sorted(lacking, key=lambda token: mine[token])


FILES = (
    "added_tokens.json", "merges.txt", "spiece.model", "tokenizer.json", "tokenizer.model",
    "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip
"""What a tokenizer consists of."""
CONFIG = "tokenizer_config.json"
ROLES = "special_tokens_map.json"
"""Which token begins a text, and so on. Its entries go into tokenizer_config.json."""
OWN = ("bos_token", "eos_token", "pad_token")
"""Roles that a model keeps, as its chat template and its training need them."""
ENTRY: dict[str, Any] = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
"""What is left out of an added token's entry."""


def tokenizer_files(
    owner: ParentFiles, model: ParentFiles, alignment: Alignment
) -> dict[str, bytes]:
    """The tokenizer files of an aligned model, by name.

    It splits text as the owner's does. Beginning and end of a text, padding and the chat template
    are the model's own, as far as the vocabulary has these tokens.

    Raises:
        ParentError: the tokens cannot be added under the ids that they are to have.
    """
    files = {name: owner.read(name) for name in FILES if name in owner.sizes}
    if alignment.appended:
        files["tokenizer.json"] = _extended(files["tokenizer.json"], owner.where, alignment)
        if "added_tokens.json" in files:
            added = {token["content"]: token["id"] for token in alignment.appended}
            files["added_tokens.json"] = pretty_json(
                read_settings(owner, "added_tokens.json") | added
            )
    files[CONFIG] = pretty_json(_config(owner, model, alignment))
    return files


def _extended(content: bytes, where: str, alignment: Alignment) -> bytes:
    from tokenizers import Tokenizer

    tokenizer = json.loads(content)
    added = [ENTRY | dict(token) for token in alignment.appended]
    tokenizer["added_tokens"] = [*tokenizer.get("added_tokens", []), *added]
    text = json.dumps(tokenizer, ensure_ascii=False, indent=1)
    made = Tokenizer.from_str(text).get_vocab(with_added_tokens=True)
    wrong = [token for token, index in alignment.vocabulary.items() if made.get(token) != index]
    if wrong:
        raise ParentError(
            f"tokens cannot be added to the tokenizer of `{alignment.owner}`: its ids have gaps",
            where=f"{where}, tokenizer.json",
            expected=f"{wrong[0]!r} with id {alignment.vocabulary[wrong[0]]}",
            got=f"id {made.get(wrong[0])}",
            fix="name another parent as vocabulary.of, or leave the tokens out: kind: parent",
        )
    return f"{text}\n".encode()


def _config(owner: ParentFiles, model: ParentFiles, alignment: Alignment) -> dict[str, Any]:
    config, own = (
        read_settings(files, ROLES) | read_settings(files, CONFIG) for files in (owner, model)
    )
    config.pop("chat_template", None)
    if "chat_template" in own:
        config["chat_template"] = own["chat_template"]
    for role in OWN:
        token = own.get(role)
        if (token.get("content") if isinstance(token, dict) else token) in alignment.vocabulary:
            config[role] = token
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = dict(config["added_tokens_decoder"]) | {
            str(token["id"]): {key: token.get(key, default) for key, default in ENTRY.items()}
            | {"content": token["content"]}
            for token in alignment.appended
        }
    return config


def read_settings(files: ParentFiles, name: str) -> dict[str, Any]:
    """A file of settings (JSON); empty if there is none."""
    return dict(json.loads(files.read(name))) if name in files.sizes else {}


IDS = re.compile(r"(?:^|_)token_(?:ids?|index)$|^(?:begin_)?suppress_tokens$")
"""Settings that hold an id, or a list of ids."""


def with_vocabulary(
    config: Mapping[str, Any],
    own: Mapping[str, int],
    aligned: Mapping[str, int],
    owner: Mapping[str, Any],
) -> dict[str, Any]:
    """A configuration whose token ids mean the same tokens in another vocabulary.

    An id whose token the vocabulary lacks is replaced by what the owner's configuration has there,
    or removed from its list.

    Args:
        config: config.json, generation_config.json, or a section of one.
        own: The model's vocabulary.
        aligned: The vocabulary that it gets.
        owner: The same configuration of the model whose tokenizer it gets; empty if it has none.
    """
    tokens = {index: token for token, index in sorted(own.items(), reverse=True)}

    def move(index: int) -> int | None:
        return aligned.get(tokens[index]) if index in tokens else None

    result = dict(config)
    for key, value in config.items():
        other = owner.get(key)
        if isinstance(value, Mapping):
            section = other if isinstance(other, Mapping) else {}
            result[key] = with_vocabulary(value, own, aligned, section)
        elif IDS.search(key) and isinstance(value, list):
            moved = [new for index in value if (new := move(index)) is not None]
            result[key] = moved if moved or not value else other
        elif IDS.search(key) and isinstance(value, int) and not isinstance(value, bool):
            new = move(value)
            result[key] = other if new is None else new
    return result


def with_rows(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """A config.json with another number of embedding rows, wherever it states them."""
    text = config.get("text_config")
    if isinstance(text, Mapping) and "vocab_size" not in config:
        return {**config, "text_config": {**text, "vocab_size": rows}}
    return {**config, "vocab_size": rows}
