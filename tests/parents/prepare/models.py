"""Tiny models whose vocabularies differ, and runs that prepare them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.parents.checkpoints import VOCABULARY, write_llama
from tests.parents.runs import run_of
from tsugiki.config.run import RunConfig
from tsugiki.parents.locate import locate
from tsugiki.parents.resolve import lock_parents

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def write_with_added(
    folder: Path, added: Sequence[str], *, rows: int | None = None, **changes: Any
) -> Path:
    """A llama whose tokenizer has added tokens after its 64 words."""
    needed = len(VOCABULARY) + len(added)
    write_llama(folder, vocab_size=rows or needed, **changes)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"] = [
        {
            "id": len(VOCABULARY) + index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, token in enumerate(added)
    ]
    path.write_text(json.dumps(tokenizer))
    return folder


def run_with(
    folder: Path,
    names: Sequence[str],
    *,
    base: str | None = "base",
    adapters: dict[str, str] | None = None,
    **settings: Any,
) -> RunConfig:
    """A run that merges the models in folder/<name>, with more keys of the configuration."""
    parents: dict[str, dict[str, Any]] = {name: {"path": str(folder / name)} for name in names}
    for name, of in (adapters or {}).items():
        parents[name]["adapter_of"] = of
    method = "task_arithmetic" if base else "linear"
    config = run_of(parents, base=base, method=method, dtype="float32")
    settings = {"results": str(folder / "results"), **settings}
    return RunConfig.model_validate(config.model_dump(mode="json") | settings)


def prepare(config: RunConfig) -> dict[str, Path]:
    """Lock and prepare; the folder of what is merged, by name."""
    lock = lock_parents(config, Path(config.results) / "lock.json", log=lambda _: None)
    return locate(config, lock)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's tensors."""
    return load_file(folder / "model.safetensors")


def vocabulary(folder: Path) -> dict[str, int]:
    """A checkpoint's tokens and their ids, as its own library reads them."""
    from tokenizers import Tokenizer

    found: dict[str, int] = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(True)
    return found


def permute(source: Path, target: Path, seed: int) -> Path:
    """A copy of a model in which the 64 words have other ids, and rows move with them."""
    order = torch.randperm(len(VOCABULARY), generator=torch.Generator().manual_seed(seed)).tolist()
    moved = tensors(source)
    rows = {name: moved[name].clone() for name in (EMBEDDINGS, HEAD) if name in moved}
    for values in rows.values():
        original = values.clone()
        for new, old in enumerate(order):
            values[new] = original[old]
    config = json.loads((source / "config.json").read_text())
    del config["dtype"]
    ids = {key: order.index(config[key]) for key in ("bos_token_id", "eos_token_id")}
    tokens = [VOCABULARY[old] for old in order]
    # The unknown token is the first for the writer alone; the tokenizer of `of` is what is used.
    write_llama(target, tokens=tokens, extra=moved | rows, **{**config, **ids})
    return target
