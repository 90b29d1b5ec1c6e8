"""One merge without evolution: from a recipe or a mergekit configuration to what can be merged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tsugiki.config.load import nearest
from tsugiki.contracts.data import folder_of
from tsugiki.contracts.locks import digest_of_files
from tsugiki.contracts.recipe import (
    AnyRecipe,
    DataflowRecipe,
    ParentRef,
    Recipe,
    names_in,
    read_recipe,
)
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.models import OpenModels
from tsugiki.merge.write import open_merge
from tsugiki.mergekit.document import MergekitDocument, parse_document, read_document
from tsugiki.mergekit.frankenmerges import import_frankenmerge, is_frankenmerge
from tsugiki.mergekit.importing import import_mergekit
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.checks.architecture import note_choices
from tsugiki.models.checks.components import check_kept
from tsugiki.models.checks.tokenizers import check_loading, check_owner, check_tokenizers
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, refuse
from tsugiki.models.files import digest_folder
from tsugiki.models.kinds.kind import Names
from tsugiki.models.plan import make_plan
from tsugiki.parents.between import check_merged, check_path, note_merged
from tsugiki.parents.preflight import check_folders
from tsugiki.parents.run_models import with_digests
from tsugiki.steps.output import require_place

UNREAD = "0" * 64
"""Stands for the digest of a model until its files are read."""
FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class SingleMerge:
    """A merge whose models are here, fit together, and are read.

    Attributes:
        recipe: The recipe.
        folders: Folder of each model, by name.
        digests: Digest of each one's files, by name.
        replace: Whether an earlier merge stands where the model is to go.
    """

    recipe: AnyRecipe
    folders: dict[str, Path]
    digests: dict[str, str]
    replace: bool


def open_single(
    source: str | Path | AnyRecipe | Mapping[str, Any],
    models: Mapping[str, str],
    out: Path | None = None,
    *,
    log: Callable[[str], None],
    accepted: Collection[str] = (),
) -> SingleMerge:
    """Find the models of a merge, and check all that headers and tokenizers tell, as for a run's parents.

    Only then the models' files are read, for their digests.

    Args:
        source: A recipe, recipe.json, or a mergekit configuration (.yaml, .yml, or its content).
        models: Folder of each model, by name (see `tsugiki.api.merge`).
        out: Where the model is to go, if it is written.
        log: Takes lines on what is done.
        accepted: Settings in which the models may differ; the result has those of the tokenizer's.

    Raises:
        ConfigError: `out` may not be replaced, or the method does not exist.
        RecipeError: the source describes no valid merge, or a model is not given.
        ParentError: a model cannot be read, or does not fit the others.
    """
    read = _read(source)
    document = read if isinstance(read, MergekitDocument) else None
    renamed: Mapping[str, Names] = {}
    if isinstance(read, MergekitDocument):
        folders, names = _places(read, models)
    else:
        folders, renamed = _given(read, models), names_in(read.models)
    replace = out is not None and require_place(out, folders.values())
    checked, faults, notes = check_folders(folders, renamed)
    refuse(faults)  # of each model by itself
    recipe = _from_mergekit(read, names, folders) if isinstance(read, MergekitDocument) else read
    where = str(source) if isinstance(source, str | Path) else "the merge"
    faults, more = _look_together(recipe, checked, accepted, document, where)
    refuse(faults)
    wanted = {ref.name: ref.digest for ref in recipe.models}
    folders = {name: folders[name] for name in sorted({*wanted, recipe.owner})}
    open_merge(recipe, OpenModels(folders, wanted, names=renamed))
    for note in dict.fromkeys([*notes, *more]):
        log(f"note: {note}")
    digests = {name: _digest(name, folders[name], wanted.get(name), log) for name in folders}
    if document is not None:
        recipe = with_digests(recipe, digests)
    log(f"merging by {recipe.method}: {', '.join(parent.name for parent in recipe.parents)}")
    return SingleMerge(recipe, folders, digests, replace)


def _read(source: str | Path | AnyRecipe | Mapping[str, Any]) -> AnyRecipe | MergekitDocument:
    if isinstance(source, Recipe | DataflowRecipe):
        return source
    if isinstance(source, Mapping):
        return parse_document(source, where="the mergekit configuration")
    file = folder_of(str(source))
    if file.suffix in {".yaml", ".yml"}:
        return read_document(file)
    if not file.is_file():
        raise RecipeError(
            "there is no such file", where=str(file), expected="recipe.json, or a mergekit YAML"
        )
    return read_recipe(file)


def _places(
    document: MergekitDocument, models: Mapping[str, str]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Folder of every model by its name, and its name by how the document calls it."""
    folders: dict[str, Path] = {}
    names: dict[str, str] = {}
    by_path = {path: name for name, path in models.items()}
    for model in document.models:
        path = folder_of(models.get(model, model))
        name = by_path.get(model) or path.resolve().name
        if name in folders:
            raise RecipeError(
                f"two models would both be called `{name}`",
                where=f"{document.where}: {folders[name]} and {path}",
                fix=f"name one of them: --models NAME={path}",
            )
        if not path.is_dir():
            raise ParentError(
                f"there is no folder of model `{model}`",
                where=document.where,
                got=str(path),
                fix=f"fetch it first (hf download), then add --models {model}=FOLDER",
            )
        folders[name], names[model] = path, name
    for name in sorted(name for name, path in models.items() if not {name, path} & names.keys()):
        raise _unknown(name, names)
    return folders, names


def _given(recipe: AnyRecipe, models: Mapping[str, str]) -> dict[str, Path]:
    """Folder of every model of a recipe, by its name."""
    needed = sorted({*(ref.name for ref in recipe.models), recipe.owner})
    for name in sorted(models.keys() - set(needed)):
        raise _unknown(name, needed)
    if missing := [name for name in needed if name not in models]:
        raise RecipeError(
            "it is not said where all of the recipe's models are",
            expected=", ".join(needed),
            got=", ".join(sorted(models)) or "none",
            fix=" ".join(f"--models {name}=FOLDER" for name in missing),
        )
    return {name: folder_of(models[name]) for name in needed}


def _unknown(name: str, known: Collection[str]) -> RecipeError:
    return RecipeError(
        "the file names no such model", where="--models", got=name, fix=nearest(name, known)
    )


def _from_mergekit(
    document: MergekitDocument, names: Mapping[str, str], folders: Mapping[str, Path]
) -> AnyRecipe:
    part = {document.base, *(model for piece in document.slices for model in piece.models)}
    merged = {
        model: Checkpoint(name, folders[name]) for model, name in names.items() if model in part
    }
    refs = {model: ParentRef(name=name, digest=UNREAD) for model, name in names.items()}
    dtype = _stored(merged.values())
    if document.method == "passthrough":
        tensors = {model: _tensors([one]) for model, one in merged.items()}
        if is_frankenmerge(document, tensors):
            return import_frankenmerge(document, refs, tensors, dtype=dtype)
    return import_mergekit(document, refs, _tensors(merged.values()), dtype=dtype)


def _tensors(checkpoints: Collection[Checkpoint]) -> list[str]:
    """Names of the tensors that a merge of these models merges."""
    return make_plan(sorted(checkpoints, key=lambda one: one.name)).merged


def _stored(checkpoints: Collection[Checkpoint]) -> str:
    """The one number format that the models are stored in; float32 if there are several.

    Tensors in a wider format than most of their model do not count: they stay in it.
    """
    formats = {
        FORMATS.get(header.dtype, "float32")
        for one in checkpoints
        for tensor, header in one.headers.items()
        if header.is_float and one.wider(tensor) is None
    }
    return formats.pop() if len(formats) == 1 else "float32"


def _look_together(
    recipe: AnyRecipe,
    models: Mapping[str, ModelFacts],
    accepted: Collection[str],
    document: MergekitDocument | None,
    where: str,
) -> tuple[list[Fault], Iterable[str]]:
    """What is wrong with the models of a recipe together, and, if nothing is, what to know of them."""
    owner = models[recipe.owner]
    faults = list(check_owner(owner, "`tokenizer_source`, or `tokenizer` of a recipe"))
    faults += check_loading(owner)
    if not isinstance(recipe, Recipe):
        # rows for tokens come from these two alone
        faults += check_tokenizers(owner, models[recipe.head or recipe.owner])
        others = [models[ref.name] for ref in recipe.parents if ref.name != recipe.owner]
        faults += check_path(owner, others, accepted)
        notes = (note_choices(owner, other, owner.name, accepted) for other in others)
        return faults, chain.from_iterable(notes)
    first = [recipe.base.name] if recipe.base else []
    order = dict.fromkeys([*first, *(ref.name for ref in recipe.models), recipe.owner])
    together = [models[name] for name in order]
    faults += check_merged(together, accepted)
    if document is not None and document.tokenizer is None:
        faults += check_kept(together, owner, where, "tokenizer_source")
    return faults, note_merged(together, owner, recipe.dtype, accepted)


def _digest(name: str, folder: Path, wanted: str | None, log: Callable[[str], None]) -> str:
    """Digest of a model's files; that of one whose code a run trusted covers its code too."""
    log(f"reading {name}: {folder}")
    files = digest_folder(folder, code=True)
    if wanted is not None and digest_of_files(files) == wanted:
        return wanted
    return digest_of_files(tuple(file for file in files if not file.name.endswith(".py")))
