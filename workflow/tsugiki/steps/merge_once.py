"""One merge without evolution, from a recipe or from a mergekit configuration."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from tsugiki.config.load import nearest
from tsugiki.contracts.locks import digest_of_files
from tsugiki.contracts.recipe import AnyRecipe, ParentRef, Recipe, names_in, read_recipe
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.models import OpenModels
from tsugiki.merge.settings import Settings
from tsugiki.merge.write import open_merge, write_merge
from tsugiki.mergekit.document import Document, read_document
from tsugiki.mergekit.importing import import_mergekit
from tsugiki.mergekit.stacks import import_stack, is_stack
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.checks.outside import check_kept
from tsugiki.models.checks.tokenizers import check_loading, check_owner, check_tokenizers
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, refuse
from tsugiki.models.files import digest_folder
from tsugiki.models.kinds.kind import Names
from tsugiki.models.plan import TensorPlan, make_plan
from tsugiki.parents.between import check_merged, note_merged
from tsugiki.parents.preflight import check_folders
from tsugiki.steps.best import describe_folding, measure_folding
from tsugiki.steps.output import require_place

Progress = Callable[[int, int, int], None]
"""Called after each tensor: tensors written, all tensors, bytes written."""

INTERVAL = 0.1
"""Seconds between two changes of the line."""
WIDTH = 24
"""Characters of the bar."""


def progress_bar(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Progress | None:
    """A bar on `stream` (the process's standard error if absent); None unless that is a terminal.

    Args:
        stream: Where the bar goes.
        clock: Seconds.
    """
    place = sys.stderr if stream is None else stream
    if not place.isatty():
        return None
    start = shown = clock()

    def show(done: int, all_: int, size: int) -> None:
        nonlocal shown
        now = clock()
        if done < all_ and now - shown < INTERVAL:
            return
        shown = now
        end = "\n" if done == all_ else ""
        with suppress(OSError):  # a terminal that has gone away does not end a merge
            place.write(f"\r{line(done, all_, size, now - start)}{end}")
            place.flush()

    return show


def line(done: int, all_: int, size: int, seconds: float) -> str:
    """The bar, tensors, gigabytes (10^9 bytes) and gigabytes a second."""
    filled = WIDTH * done // all_
    speed = size / 1e9 / seconds if seconds > 0 else 0.0
    bar = "#" * filled + "-" * (WIDTH - filled)
    return f"[{bar}] {done}/{all_} tensors  {size / 1e9:.2f} GB  {speed:.2f} GB/s"


UNREAD = "0" * 64
"""Stands for the digest of a model until its files are read."""
FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def merge_once(
    file: Path,
    models: Mapping[str, str],
    out: Path,
    *,
    threads: int,
    say: Callable[[str], None],
    progress: Progress | None = None,
    accepted: Collection[str] = (),
) -> str:
    """Merge once and write the model to the folder `out`.

    Everything that headers and tokenizers can tell is checked before the models' weights are read, as
    for the parents of a run.

    Args:
        file: recipe.json, or a mergekit configuration (.yaml, .yml).
        models: Folder of each model, by name. For a mergekit configuration it names the folders
            that stand there (the others are named as their folders are), or says where a model is
            that stands there as a repository of the Hub.
        out: Where the model goes. Only an empty folder or an earlier merge is replaced (see
            `require_place`).
        threads: CPU threads.
        say: Where progress goes, line by line.
        progress: Called after each tensor that is written.
        accepted: Settings in which the models may differ; the result has those of the tokenizer's.

    Returns:
        Digest of the weights.

    Raises:
        ConfigError: `out` may not be replaced, or the method does not exist.
        RecipeError: the file describes no valid merge, or a model is not given.
        ParentError: a model cannot be read, or does not fit the others.
        LineageError: a model is not the one that the recipe was made for.
        InfrastructureError: the disk is full or fails.
    """
    if file.suffix in {".yaml", ".yml"}:
        document = read_document(file)
        folders, names = _places(document, models)
        replace = require_place(out, folders.values())
        checked, notes = _read(folders, {})
        recipe: AnyRecipe = _from_mergekit(document, names, folders)
        default = document.tokenizer is None
        refuse(_faults_together(recipe, checked, accepted, str(file), default=default))
        _say_notes([*notes, *_notes_together(recipe, checked, accepted)], say)
        digests = {name: _digest(name, folders[name], None, say) for name in sorted(folders)}
        recipe = _with_digests(recipe, digests)
    else:
        recipe = read_recipe(_existing(file))
        folders = _given(recipe, models)
        replace = require_place(out, folders.values())
        checked, notes = _read(folders, names_in(recipe.models))
        _check(recipe, folders)
        refuse(_faults_together(recipe, checked, accepted, str(file), default=False))
        _say_notes([*notes, *_notes_together(recipe, checked, accepted)], say)
        wanted = {ref.name: ref.digest for ref in recipe.models}
        digests = {
            name: _digest(name, folder, wanted.get(name), say)
            for name, folder in sorted(folders.items())
        }
    say(f"merging by {recipe.method}: {', '.join(parent.name for parent in recipe.parents)}")
    weights = write_merge(
        recipe, folders, digests, out, replace=replace, threads=threads, progress=progress
    )
    if (measured := measure_folding(recipe, folders, digests)) is not None:
        say(describe_folding(measured))
    return weights


def _read(
    folders: Mapping[str, Path], names: Mapping[str, Names]
) -> tuple[dict[str, ModelFacts], list[str]]:
    """The models, each without faults of its own, and what to know of them."""
    models, faults, notes = check_folders(folders, names)
    refuse(faults)
    return models, notes


def _say_notes(notes: Iterable[str], say: Callable[[str], None]) -> None:
    for note in dict.fromkeys(notes):
        say(f"note: {note}")


def _faults_together(
    recipe: AnyRecipe,
    models: Mapping[str, ModelFacts],
    accepted: Collection[str],
    where: str,
    *,
    default: bool,
) -> list[Fault]:
    """What is wrong with the models of a recipe together.

    Args:
        recipe: The recipe.
        models: The models that it names.
        accepted: Settings in which they may differ.
        where: The file that was read.
        default: Whether the owner is one by default, and not because the file names it.
    """
    owner = models[recipe.owner]
    faults = list(check_owner(owner, "`tokenizer_source`, or `tokenizer` of a recipe"))
    faults += check_loading(owner)
    if isinstance(recipe, Recipe):
        together = _together(recipe, models)
        faults += check_merged(together, accepted)
        return faults + (
            list(check_kept(together, owner, where, "tokenizer_source")) if default else []
        )
    # `open_merge` compares what layers depend on; rows for tokens come from these two alone
    return faults + list(check_tokenizers(owner, models[recipe.head or recipe.owner]))


def _notes_together(
    recipe: AnyRecipe, models: Mapping[str, ModelFacts], accepted: Collection[str]
) -> Iterator[str]:
    """What to know of the models of a recipe that are merged tensor by tensor."""
    if isinstance(recipe, Recipe):
        owner = models[recipe.owner]
        yield from note_merged(_together(recipe, models), owner, recipe.dtype, accepted)


def _together(recipe: Recipe, models: Mapping[str, ModelFacts]) -> list[ModelFacts]:
    """The models of a recipe: the base, or the first parent, and the others."""
    first = [recipe.base.name] if recipe.base else []
    order = dict.fromkeys([*first, *_merged(recipe), recipe.owner])
    return [models[name] for name in order]


def _check(recipe: AnyRecipe, folders: Mapping[str, Path]) -> None:
    """Check all that headers tell."""
    if isinstance(recipe, Recipe):
        plan = _plan({name: folders[name] for name in _merged(recipe)}, names_in(recipe.models))
        Settings(recipe, plan.merged, plan.kind)
    else:
        open_merge(recipe, OpenModels(folders, {ref.name: ref.digest for ref in recipe.models}))


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise RecipeError(
            "there is no such file", where=str(file), expected="recipe.json, or a mergekit YAML"
        )
    return file


def _places(
    document: Document, models: Mapping[str, str]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Folder of every model by its name, and its name by how the document calls it."""
    folders: dict[str, Path] = {}
    names: dict[str, str] = {}
    by_path = {path: name for name, path in models.items()}
    for model in document.models:
        path = Path(models.get(model, model)).expanduser()
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
    unused = sorted(
        name for name, path in models.items() if name not in names and path not in names
    )
    if unused:
        raise _unknown(unused[0], names)
    return folders, names


def _given(recipe: AnyRecipe, models: Mapping[str, str]) -> dict[str, Path]:
    needed = sorted({*_merged(recipe), recipe.owner})
    if unused := sorted(models.keys() - set(needed)):
        raise _unknown(unused[0], {name: name for name in needed})
    if missing := [name for name in needed if name not in models]:
        raise RecipeError(
            "it is not said where all of the recipe's models are",
            expected=", ".join(needed),
            got=", ".join(sorted(models)) or "none",
            fix=" ".join(f"--models {name}=FOLDER" for name in missing),
        )
    return {name: Path(models[name]).expanduser() for name in needed}


def _unknown(name: str, known: Mapping[str, str]) -> RecipeError:
    return RecipeError(
        "the file names no such model", where="--models", got=name, fix=nearest(name, known)
    )


def _from_mergekit(
    document: Document, names: Mapping[str, str], folders: Mapping[str, Path]
) -> AnyRecipe:
    merged = {name: folders[name] for model, name in names.items() if _takes_part(document, model)}
    refs = {model: ParentRef(name=name, digest=UNREAD) for model, name in names.items()}
    if document.method == "passthrough":
        tensors = {
            model: _plan({name: merged[name]}).merged
            for model, name in names.items()
            if name in merged
        }
        if is_stack(document, tensors):
            stack = import_stack(document, refs, tensors, dtype=_stored(merged))
            _check(stack, merged)
            return stack
    return import_mergekit(document, refs, _plan(merged).merged, dtype=_stored(merged))


def _takes_part(document: Document, model: str) -> bool:
    return model == document.base or any(model in piece.models for piece in document.slices)


def _merged(recipe: AnyRecipe) -> list[str]:
    return [ref.name for ref in recipe.models]


def _plan(folders: Mapping[str, Path], names: Mapping[str, Names] | None = None) -> TensorPlan:
    given = names or {}
    return make_plan([Checkpoint(name, folders[name], given.get(name)) for name in sorted(folders)])


def _stored(folders: Mapping[str, Path]) -> str:
    """The one number format that the models are stored in; float32 if there are several.

    Tensors in a wider format than most of their model do not count: they stay in it.
    """
    formats = {
        FORMATS.get(header.dtype, "float32")
        for model in (Checkpoint(name, folder) for name, folder in folders.items())
        for tensor, header in model.headers.items()
        if header.is_float and model.wider(tensor) is None
    }
    return formats.pop() if len(formats) == 1 else "float32"


def _digest(name: str, folder: Path, wanted: str | None, say: Callable[[str], None]) -> str:
    """Digest of a model's files.

    That of a model whose code a run trusted covers its code too.
    """
    say(f"reading {name}: {folder}")
    files = digest_folder(folder, code=True)
    if wanted is not None and digest_of_files(files) == wanted:
        return wanted
    return digest_of_files(tuple(file for file in files if not file.name.endswith(".py")))


def _with_digests(recipe: AnyRecipe, digests: Mapping[str, str]) -> AnyRecipe:
    def known(ref: ParentRef) -> ParentRef:
        return ref.model_copy(update={"digest": digests[ref.name]})

    parents = tuple(known(parent) for parent in recipe.parents)
    if isinstance(recipe, Recipe) and recipe.base:
        return recipe.model_copy(update={"parents": parents, "base": known(recipe.base)})
    return recipe.model_copy(update={"parents": parents})
