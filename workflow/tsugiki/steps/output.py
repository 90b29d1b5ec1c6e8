"""What may be replaced where a user names a place to write to: the one rule for all commands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import ConfigError
from tsugiki.merge.marker import difference
from tsugiki.parents.locate import demo_cache, places, prepared_cache

OTHER = "name another folder as --out"
TAKEN = "something else stands where the merged model is to go"


def require_place(out: Path, models: Iterable[Path]) -> bool:
    """Refuse a folder for a model, unless nothing of the user's can be lost there.

    Nothing stands there, or an empty folder, or a merged model that tsugiki wrote whole and that
    nobody has changed. To be called before any work.

    Args:
        out: The folder.
        models: Folders that have to stay, with all that is in them, such as those that are merged.

    Returns:
        Whether a merged model stands there, to be replaced.

    Raises:
        ConfigError: something else stands there; or it is a link, or one of `models`, the working
            folder or the folder of a run, or lies inside a model or a run, or one of them inside it.
    """
    target, where = out.resolve(), str(out)
    if out.is_symlink():
        what = "a link is not followed to the place of a model"
        raise ConfigError(what, where=where, got=str(target), fix=OTHER)
    for folder in models:
        source = folder.resolve()
        if _is_in(source, target) or _is_in(target, source):
            what = f"the merged model would overwrite model `{folder}`, or lie inside it"
            raise ConfigError(what, where=where, fix=OTHER)
    if _is_in(Path.cwd(), target):
        what = "the merged model would overwrite the working folder"
        raise ConfigError(what, where=where, fix=OTHER)
    for folder in (target, *target.parents):
        if RunFiles(folder).exist():
            what = "the merged model would lie in the folder of a run"
            raise ConfigError(what, where=where, got=f"run in {folder}", fix=OTHER)
        if folder.exists() and not folder.is_dir():
            raise ConfigError(TAKEN, where=where, got=f"{folder} is no folder", fix=OTHER)
    if not out.exists() or not any(out.iterdir()):
        return False
    if (found := difference(out)) is not None:
        raise ConfigError(
            TAKEN,
            where=where,
            expected="nothing, an empty folder, or a merged model as tsugiki wrote it",
            got=found,
            fix=f"{OTHER}, or remove it",
        )
    return True


def require_place_beside(files: RunFiles, config: RunConfig, out: Path) -> bool:
    """Refuse a folder for a model of a run, besides its own: as `require_place`, and more has to stay.

    That is what a run needs: all results, its parents, the demo's models and prepared parents.

    Returns:
        Whether a merged model stands there, to be replaced.

    Raises:
        ConfigError: the folder is refused.
        LineageError: the parents are not locked.
        ParentError: a parent is not on this machine.
    """
    caches = [demo_cache(config), prepared_cache(config)]
    if _is_in(config.results_folder.resolve(), out.resolve()):
        raise ConfigError("the merged model would overwrite the results", where=str(out), fix=OTHER)
    return require_place(out, [*places(config, read_lock(files.parents)), *caches])


def write_beside(out: Path, content: bytes) -> None:
    """Write a file that a user names.

    Raises:
        ConfigError: something with another content stands there.
    """
    if atomic.write_new(out, content):
        return
    if out.is_symlink() or not out.is_file() or out.read_bytes() != content:
        raise ConfigError(
            "something else stands where the file is to go",
            where=str(out),
            fix="name another file as --out, or remove it",
        )


def _is_in(folder: Path, above: Path) -> bool:
    return above == folder or above in folder.parents
