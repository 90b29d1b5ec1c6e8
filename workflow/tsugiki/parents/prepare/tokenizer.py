"""The tokenizer that aligned models get: the owner's, and the added tokens of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tsugiki.canonical import pretty_json
from tsugiki.errors import ParentError
from tsugiki.parents.prepare.alignment import Alignment
from tsugiki.parents.sources import ParentFiles

FILES = (
    "added_tokens.json",
    "merges.txt",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""What a tokenizer consists of."""
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

    Args:
        owner: Files of the model whose tokenizer it is.
        model: Files of the model that gets it.
        alignment: The vocabulary.

    Raises:
        ParentError: the tokens cannot be added under the ids that they are to have.
    """
    files = {name: owner.read(name) for name in FILES if name in owner.sizes}
    if alignment.appended:
        files["tokenizer.json"] = _extended(files["tokenizer.json"], owner.where, alignment)
        if "added_tokens.json" in files:
            added = json.loads(files["added_tokens.json"])
            added |= {token["content"]: token["id"] for token in alignment.appended}
            files["added_tokens.json"] = pretty_json(added)
    files["tokenizer_config.json"] = pretty_json(_config(owner, model, alignment))
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
    config = {**_json(owner, ROLES), **_json(owner, "tokenizer_config.json")}
    own = {**_json(model, ROLES), **_json(model, "tokenizer_config.json")}
    config.pop("chat_template", None)
    if "chat_template" in own:
        config["chat_template"] = own["chat_template"]
    for role in OWN:
        if role in own and _content(own[role]) in alignment.vocabulary:
            config[role] = own[role]
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = dict(config["added_tokens_decoder"]) | {
            str(token["id"]): {key: token.get(key, default) for key, default in ENTRY.items()}
            | {"content": token["content"]}
            for token in alignment.appended
        }
    return config


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, Mapping) else token


def _json(files: ParentFiles, name: str) -> dict[str, Any]:
    return dict(json.loads(files.read(name))) if name in files.sizes else {}
