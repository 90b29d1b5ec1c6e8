"""The tensors of a checkpoint, from the headers of its safetensors files."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from tsugiki.models.fault import Fault, listed
from tsugiki.models.files import PICKLES, matches
from tsugiki.models.safetensors_header import (
    LONGEST,
    Entry,
    HeaderError,
    header_end,
    parse_header,
    twice,
)
from tsugiki.models.sources import ParentFiles

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
FIRST_READ = 100_000
"""Bytes asked for at first; nearly all headers are shorter."""


TensorHeader = Entry
Tensors = dict[str, TensorHeader]


def read_headers(name: str, files: ParentFiles) -> tuple[Tensors, list[Fault]]:
    """Read all headers of a parent.

    Args:
        name: The parent's name, for messages.
        files: Its files.

    Returns:
        The tensors that could be read, by name, and the faults of files and index.
    """
    shards, faults = _shards(name, files)
    headers: dict[str, Tensors] = {}
    for shard, promised in sorted(shards.items()):
        header = read_header(name, files, shard)
        if isinstance(header, Fault):
            faults.append(header)
            continue
        if promised is not None and (lacking := sorted(promised - header.keys())):
            faults.append(
                Fault(
                    f"a shard of `{name}` lacks tensors that the index places in it",
                    f"{files.where}, {shard}",
                    expected=listed(lacking),
                    fix="fetch or save the checkpoint again",
                )
            )
        headers[shard] = header
    if (place := twice(headers)) is not None:
        tensor, first, second = place
        faults.append(
            Fault(
                f"two files of `{name}` hold the same tensor, and a loader would keep either",
                f"{files.where}, {first} and {second}",
                expected="each tensor in one file",
                got=tensor,
                fix="fetch or save the checkpoint again",
            )
        )
    return {tensor: one for header in headers.values() for tensor, one in header.items()}, faults


def _shards(name: str, files: ParentFiles) -> tuple[dict[str, set[str] | None], list[Fault]]:
    """The files with weights, each with the tensors promised by the index, if there is one."""
    if INDEX in files.sizes:
        return _indexed(name, files)
    if SINGLE in files.sizes:
        return {SINGLE: None}, []
    return {}, [_no_weights(name, files)]


def _indexed(name: str, files: ParentFiles) -> tuple[dict[str, set[str] | None], list[Fault]]:
    where = f"{files.where}, {INDEX}"
    try:
        places = json.loads(files.read(INDEX))["weight_map"]
        shards: dict[str, set[str]] = {}
        for tensor, shard in places.items():
            shards.setdefault(str(shard), set()).add(tensor)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, [
            Fault(
                f"the index of `{name}` cannot be read",
                where,
                expected='a JSON object with "weight_map"',
                got=f"{type(error).__name__}: {error}",
                fix="fetch or save the checkpoint again",
            )
        ]
    faults = [
        _bad_shard(name, where, shard) for shard in sorted(shards) if shard not in files.sizes
    ]
    if SINGLE in files.sizes and SINGLE not in shards:
        faults.append(
            Fault(
                f"`{name}` has two sets of weights, and loaders differ in which they take",
                files.where,
                expected=f"{SINGLE}, or {INDEX} and its shards",
                got=f"{SINGLE}, and {listed([INDEX, *sorted(shards)])}",
                fix="remove what does not belong to the model, in a copy of it if need be",
            )
        )
    return {shard: shards[shard] for shard in shards if shard in files.sizes}, faults


def _bad_shard(name: str, where: str, shard: str) -> Fault:
    if PurePosixPath(shard).name != shard:
        return Fault(
            f"the index of `{name}` names a shard outside the model's folder",
            where,
            expected="plain file names",
            got=shard,
            fix="do not use this checkpoint: its index has been tampered with",
        )
    return Fault(
        f"a shard of `{name}` is missing",
        where,
        expected=shard,
        got="no such file",
        fix="fetch or copy the checkpoint again",
    )


def _no_weights(name: str, files: ParentFiles) -> Fault:
    if "adapter_config.json" in files.sizes:
        base = _adapter_base(files)
        return Fault(
            f"`{name}` is an adapter (LoRA), not a whole model",
            files.where,
            expected=SINGLE,
            got=f"adapter_config.json, for the base model {base}",
            fix=f"name the parent that holds {base}: add `adapter_of: NAME` to `{name}`",
        )
    if pickles := sorted(file for file in files.sizes if matches(file, PICKLES)):
        return Fault(
            f"the weights of `{name}` are pickle files, which can run code when they are opened",
            files.where,
            expected=f"{SINGLE}, or {INDEX} and its shards",
            got=listed(pickles),
            fix="convert a checkpoint that you trust: AutoModelForCausalLM.from_pretrained(…)"
            ".save_pretrained(…) writes safetensors files",
        )
    return Fault(
        f"`{name}` has no weights",
        files.where,
        expected=f"{SINGLE}, or {INDEX} and its shards",
        got=listed(sorted(files.sizes)) or "an empty folder",
        fix="name a folder or repository that holds a whole model",
    )


def _adapter_base(files: ParentFiles) -> str:
    try:
        return str(json.loads(files.read("adapter_config.json"))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError):
        return "that it was trained on"


def read_header(name: str, files: ParentFiles, shard: str) -> Tensors | Fault:
    """The tensors of one safetensors file, or what is wrong with it."""
    size = files.sizes[shard]
    start = files.start(shard, FIRST_READ)
    if len(start) < (end := header_end(start)) <= min(size, 8 + LONGEST):
        start = files.start(shard, end)
    try:
        return parse_header(start, size)
    except HeaderError as error:
        return Fault(
            f"a file of `{name}` is not in safetensors format, or is cut short",
            f"{files.where}, {shard}",
            got=str(error),
            fix="fetch or copy the file again",
        )
