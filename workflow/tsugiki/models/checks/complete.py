"""What a model's configuration promises, against the tensors that its files hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from tsugiki.models.checks.embeddings import check_embeddings, check_tying
from tsugiki.models.checks.numbers import NUMBER, check_numbers
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed
from tsugiki.models.headers import Tensors
from tsugiki.models.kinds.registry import kind_of
from tsugiki.models.loading import Loaded, load_tensors


def check_complete(model: ModelFacts) -> Iterator[Fault]:
    """A loader finds a tensor for each weight, and a weight for each tensor of a layer.

    Transformers is asked itself: it loads tensors of the stored names and shapes, without content,
    into the architecture, with all renaming and fusing that it does for a checkpoint.
    """
    if not model.config or not model.whole or model.trusted or any(check_numbers(model)):
        return
    told = any(check_embeddings(model)) or any(check_tying(model))
    found = [_loaded(model.config, dict(model.tensors))]
    if found[0] is not None and found[0].missing:  # unless they have other names in the merge
        found.append(_loaded(model.config, model.merged))
    known = [one for one in found if one is not None]
    if not known:
        return
    best = min(known, key=lambda one: len(one.missing))
    missing = [
        name
        for name in best.missing
        if not (told and model.kind.use(name) in {"embeddings", "head"})
    ]
    if missing:
        yield Fault(
            f"`{model.name}` lacks weights that its configuration promises",
            f"{model.where}, {model.kind.layout.config}",
            expected=listed(missing),
            got="no tensors of these names and shapes; a loader would fill them with random numbers",
            fix="correct config.json (number of layers, sizes, biases, tied embeddings), or fetch "
            "or save the whole checkpoint again",
        )
    if best.beyond:
        yield Fault(
            f"`{model.name}` stores layers beyond those that its configuration states",
            f"{model.where}, {model.kind.layout.config}",
            expected="as many layers as config.json states",
            got=listed(best.beyond),
            fix="correct the number of layers in config.json, or save the model again without them",
        )


def note_drafts(model: ModelFacts) -> Iterator[str]:
    """Say what becomes of draft layers."""
    drafts = [name for name in model.tensors if model.kind.is_unused(name, model.config)]
    if drafts:
        yield (
            f"{model.name}: {len(drafts)} tensors of draft layers ({listed(sorted(drafts)[:1])}, …) "
            "are not merged; those of the model that gives the configuration are copied"
        )


class _Found:
    """What is wrong with the names of a model's tensors. The model itself is not kept."""

    def __init__(self, loaded: Loaded) -> None:
        self.missing = loaded.missing
        kinds = {NUMBER.sub("*", name) for name in loaded.model.state_dict()}
        self.beyond = [
            name
            for name in loaded.unexpected
            if NUMBER.search(name) and NUMBER.sub("*", name) in kinds
        ]


def _loaded(config: Mapping[str, Any], tensors: Tensors) -> _Found | None:
    """Load tensors without content; None where transformers cannot, which is told elsewhere."""
    shapes = tuple(
        (name, tensor.shape)
        for name, tensor in sorted(tensors.items())
        if not kind_of(config).is_unused(name, config)
    )
    return _load(json.dumps(config), shapes)


@lru_cache(maxsize=4)
def _load(written: str, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> _Found | None:
    """What `_loaded` says; thousands of experts take seconds, and most parents differ in nothing."""
    import torch
    from transformers import AutoConfig

    config = json.loads(written)
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes}
    try:
        full = AutoConfig.for_model(**config)
        kind = _class_of(full, config)
        if kind is None:
            return None
        return _Found(load_tensors(kind, full, empty, device_map={"": "meta"}))
    except Exception:  # noqa: BLE001 - whatever an architecture needs that is not here
        return None


def _class_of(full: Any, config: Mapping[str, Any]) -> Any:
    """The architecture that config.json names, or the one that generates text from its kind."""
    import transformers

    for name in config.get("architectures") or []:
        named = getattr(transformers, str(name), None)
        if getattr(named, "config_class", None) is type(full):
            return named
    return kind_of(config).classes().get(type(full), None)
