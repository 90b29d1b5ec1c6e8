"""The files beside the weights: configuration, and what the kind of model has besides."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from tsugiki.canonical import pretty_json
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.models.fault import Fault, raise_first
from tsugiki.models.files import is_weights, model_files, needed
from tsugiki.models.kinds.kind import Kind
from tsugiki.models.kinds.registry import loaded_files
from tsugiki.models.sources import ParentFiles

MARKS = {
    codecs.BOM_UTF8: "UTF-8 with one",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def check_encoding(name: str, files: ParentFiles) -> Iterator[Fault]:
    """The JSON files that a loader reads are plain UTF-8. Python can read others; transformers cannot."""
    for file in loaded_files():
        if file in files.sizes and file.endswith(".json"):
            start = files.start(file, 3)
            mark = next((mark for mark in MARKS if start.startswith(mark)), None)
            if mark is not None:
                yield Fault(
                    f"a file of `{name}` begins with a byte order mark, so that transformers cannot "
                    "read it",
                    f"{files.where}, {file}",
                    expected="UTF-8 without a byte order mark",
                    got=MARKS[mark],
                    fix="save it as UTF-8 without a byte order mark",
                )


def check_tokenizer_files(
    name: str, where: str, present: Collection[str], kind: Kind, fix: str
) -> Iterator[Fault]:
    """A model that gives the merged one its sidecar files has those without which it is of no use."""
    if kind.sidecar.one_of and not any(file in present for file in kind.sidecar.one_of):
        yield Fault(
            f"`{name}` has no tokenizer, but the merged model is to get it",
            where,
            expected="one of " + ", ".join(kind.sidecar.one_of),
            fix=fix,
        )


def write_sidecar_files(
    recipe: AnyRecipe, folder: Path, kind: Kind, config: Mapping[str, object], out: Path
) -> None:
    """Write all files that a loader needs besides the weights, and the recipe.

    Raises:
        ParentError: the owner has no tokenizer.
    """
    present = set(model_files(folder))
    if kind.layout.parts:
        _copy(folder, [name for name in needed(present) if not is_weights(name)], out)
        (out / "recipe.json").write_bytes(recipe.to_json())
        return
    raise_first(
        check_tokenizer_files(
            recipe.owner, str(folder), present, kind, "name another parent as `tokenizer`"
        )
    )
    for name in kind.sidecar.files:
        if name in present:
            shutil.copyfile(folder / name, out / name)
    for name in kind.sidecar.folders:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, out / name)
    (out / kind.layout.config).write_bytes(pretty_json(config_of(config, recipe.dtype)))
    (out / "recipe.json").write_bytes(recipe.to_json())


def copy_weights(folder: Path, component: str, out: Path) -> None:
    """Copy a component's files of weights as they are."""
    present = needed(model_files(folder))
    own = [name for name in present if is_weights(name) and name.startswith(f"{component}/")]
    _copy(folder, own, out)


def _copy(folder: Path, names: Iterable[str], out: Path) -> None:
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / name, out / name)


def config_of(source: Mapping[str, object], dtype: str) -> dict[str, object]:
    """A model's configuration with its number format replaced."""
    config = {
        key: _with_dtype(value, dtype) if isinstance(value, dict) else value
        for key, value in source.items()
        if key not in {"_name_or_path", "torch_dtype"}
    }
    return config | {"dtype": dtype}


def _with_dtype(section: dict[str, object], dtype: str) -> dict[str, object]:
    """A nested configuration (of a vision-language model) with its number format replaced."""
    changed = {key: value for key, value in section.items() if key != "torch_dtype"}
    return changed | {"dtype": dtype} if changed != section or "dtype" in section else section
