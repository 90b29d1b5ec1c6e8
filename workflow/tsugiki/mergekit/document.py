"""A mergekit configuration as plain data, every key of it known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsugiki.config.load import nearest
from tsugiki.errors import ConfigError, RecipeError
from tsugiki.yaml_file import read_yaml

Settings = Mapping[str, Any]
"""Parameters as written: numbers, lists of numbers, or filters with values."""

KEYS = (
    "merge_method",
    "models",
    "slices",
    "base_model",
    "dtype",
    "out_dtype",
    "parameters",
    "tokenizer_source",
    "tokenizer",
)
BEYOND = {
    "modules": "a recipe merges whole models; name them as `models`",
    "chat_template": "the merged model gets the chat template of the tokenizer's model",
    "residual_weight": "a recipe keeps every layer as it is",
    "tokens": "give the models one vocabulary first",
    "pad_to_multiple_of": "the merged model keeps its parents' rows",
    "lora": "merge the adapter into its base model first",
}
"""Keys that mergekit knows and a recipe cannot express, with what to do instead."""


@dataclass(frozen=True)
class Source:
    """A model in a slice."""

    model: str
    layers: tuple[int, int] | None
    """First layer, and the one after the last; None for all."""
    parameters: Settings


@dataclass(frozen=True)
class Slice:
    """Some layers of the merged model."""

    sources: tuple[Source, ...]
    parameters: Settings

    @property
    def models(self) -> list[str]:
        """The models, in the order they are listed."""
        return [source.model for source in self.sources]


@dataclass(frozen=True)
class MergekitDocument:
    """A mergekit configuration. Models are texts: a path, or a repository of the Hub."""

    where: str
    method: str
    slices: tuple[Slice, ...]
    """A list of `models` is one slice of all layers."""
    base: str | None
    dtype: str | None
    """Number format of the merged model; None: that of its parents."""
    parameters: Settings
    tokenizer: str | None
    """`base`, `union`, a model, or None."""

    @property
    def models(self) -> list[str]:
        """Every model that takes part or gives its tokenizer, each once."""
        found = [model for piece in self.slices for model in piece.models]
        found += [self.base] if self.base else []
        found += [self.tokenizer] if self.tokenizer not in (None, "base", "union") else []
        return list(dict.fromkeys(found))


def read_document(path: Path) -> MergekitDocument:
    """Read a mergekit configuration.

    Raises:
        RecipeError: the file is missing, is not YAML, has a key twice, or holds what a recipe cannot
            express.
    """
    try:
        value = read_yaml(path)
    except ConfigError as error:
        raise RecipeError(error.what, where=error.where, got=error.got, fix=error.fix) from error
    return parse_document(value, where=str(path))


def parse_document(value: Any, *, where: str) -> MergekitDocument:
    """Turn a mapping, as read from the YAML file `where`, into a document.

    Raises:
        RecipeError: a key is unknown or cannot be expressed, or a value has the wrong kind.
    """
    top = _mapping(value, KEYS, where)
    given = [key for key in ("models", "slices") if top.get(key)]
    if len(given) != 1:
        raise RecipeError(
            "a mergekit file has either `models` or `slices`",
            where=where,
            got=" and ".join(f"`{key}`" for key in given) or "neither",
        )
    base = _model(top["base_model"], f"{where}, base_model") if top.get("base_model") else None
    if given == ["models"]:
        slices: tuple[Slice, ...] = (_models(top["models"], base, where),)
    else:
        slices = tuple(_slice(*item) for item in _items(top["slices"], f"{where}, slices"))
    return MergekitDocument(
        where=where,
        method=_text(top.get("merge_method"), f"{where}, merge_method"),
        slices=slices,
        base=base,
        dtype=_dtype(top, where),
        parameters=_parameters(top, where),
        tokenizer=_tokenizer(top, where),
    )


def _models(value: Any, base: str | None, where: str) -> Slice:
    """All layers of the listed models, and of the base, which need not be listed."""
    listed = _items(value, f"{where}, models")
    sources = [_source(item, place, of_layers=False) for item, place in listed]
    if base is not None and all(source.model != base for source in sources):
        sources.append(Source(base, None, {}))
    return _distinct(Slice(tuple(sources), {}), where)


def _slice(value: Any, where: str) -> Slice:
    piece = _mapping(value, ("sources", "parameters"), where)
    listed = _items(piece.get("sources"), f"{where}, sources")
    sources = tuple(_source(item, place, of_layers=True) for item, place in listed)
    return _distinct(Slice(sources, _parameters(piece, where)), where)


def _source(value: Any, where: str, *, of_layers: bool) -> Source:
    source = _mapping(value, ("model", "parameters", *["layer_range"] * of_layers), where)
    layers = _layers(source.get("layer_range"), f"{where}, layer_range") if of_layers else None
    return Source(_model(source.get("model"), where), layers, _parameters(source, where))


def _distinct(piece: Slice, where: str) -> Slice:
    if len(set(piece.models)) != len(piece.models):
        raise RecipeError(
            "a model is listed twice in the same layers", where=where, got=", ".join(piece.models)
        )
    return piece


def _layers(value: Any, where: str) -> tuple[int, int]:
    match value:
        case [int(first), int(end)] if 0 <= first < end:
            return first, end
    raise RecipeError(
        "not a range of layers",
        where=where,
        expected="the first layer and the one after the last, such as [0, 32]",
        got=repr(value),
    )


def _model(value: Any, where: str) -> str:
    name = _text(value, f"{where}, model")
    if "+" in name:
        raise RecipeError(
            "an adapter (LoRA) on top of a model cannot be merged as it is",
            where=where,
            got=name,
            fix=BEYOND["lora"] + ": peft's merge_and_unload(), then save_pretrained()",
        )
    return name


def _dtype(top: Mapping[str, Any], where: str) -> str | None:
    value = top.get("out_dtype") or top.get("dtype")
    if value is None:
        return None
    name = str(value).removeprefix("torch.")
    if name not in ("float32", "bfloat16", "float16"):
        raise RecipeError(
            "not a number format for a merged model",
            where=where,
            expected="float32, bfloat16 or float16",
            got=str(value),
        )
    return name


def _tokenizer(top: Mapping[str, Any], where: str) -> str | None:
    value = top.get("tokenizer_source")
    if "tokenizer" in top:
        section = _mapping(top["tokenizer"], ("source",), f"{where}, tokenizer")
        value = section.get("source", "union")
    if value == "union":
        raise RecipeError(
            "a union of vocabularies cannot be merged",
            where=f"{where}, tokenizer",
            expected="`base`, or one of the models",
            got="union",
            fix="give the models one vocabulary first",
        )
    return None if value is None else _text(value, f"{where}, tokenizer")


def _parameters(section: Mapping[str, Any], where: str) -> Settings:
    value = section.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong("a mapping", value, f"{where}, parameters")
    return {str(name): setting for name, setting in value.items()}


def _mapping(value: Any, keys: Iterable[str], where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong("a mapping", value, where)
    for key in map(str, value):
        if key in keys:
            continue
        known = BEYOND.get(key)
        raise RecipeError(
            f"`{key}` cannot be expressed by a recipe" if known else f"unknown key `{key}`",
            where=where,
            fix=known or nearest(key, keys),
        )
    return value


def _items(value: Any, where: str) -> list[tuple[Any, str]]:
    if not isinstance(value, list) or not value:
        raise _wrong("a list", value, where)
    return [(item, f"{where}[{index}]") for index, item in enumerate(value)]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong("a text", value, where)
    return value


def _wrong(expected: str, value: Any, where: str) -> RecipeError:
    got = "nothing" if value is None else repr(value)
    return RecipeError("a value of the wrong kind", where=where, expected=expected, got=got)
