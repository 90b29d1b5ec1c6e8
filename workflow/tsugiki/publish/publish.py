"""Publishing a model of a finished run: to a folder, or to the Hub."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tsugiki import atomic
from tsugiki.audit.audit import audit
from tsugiki.canonical import digest_bytes
from tsugiki.config.licences import Verdict, licence_of, merged_licence
from tsugiki.config.run import RunConfig
from tsugiki.contracts.environment import source_commit
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.recipe import AnyRecipe, names_in, read_recipe
from tsugiki.errors import ConfigError, LineageError
from tsugiki.finalists.files import find_candidate, winning_recipe
from tsugiki.finalists.table import read_final_table
from tsugiki.merge.marker import MARKER, difference, read_marker
from tsugiki.models.facts import kind_in, read_facts
from tsugiki.models.kinds.registry import layout_of
from tsugiki.models.sources import FolderFiles
from tsugiki.models.vocabulary import read_template
from tsugiki.publish.alongside import (
    citation_entries,
    citation_file,
    licence_files,
    lineage_files,
    notice,
)
from tsugiki.publish.card import Published, model_card
from tsugiki.publish.sources import Source, read_sources
from tsugiki.publish.upload import Content, open_repository, refuse_tokens, upload
from tsugiki.steps.audit import reselect
from tsugiki.steps.best import write_best, write_candidate
from tsugiki.steps.chats import lender
from tsugiki.steps.output import require_place_beside

Log = Callable[[str], None]


def publish(
    files: RunFiles,
    config: RunConfig,
    *,
    repository: str | None = None,
    out: Path | None = None,
    candidate: tuple[str, str] | None = None,
    public: bool = False,
    threads: int = 1,
    log: Log = print,
) -> str:
    """Publish the winner of a run, or any candidate, with its card, lineage, licences and citation.

    Nothing is written or sent before the run is finished and sound, and the licence is known.

    Args:
        files: The run.
        config: Its configuration.
        repository: USER/NAME on the Hub; None to send nothing.
        out: Folder to write to; None to leave none.
        candidate: Stage of a candidate, and its id, such as `003-07`, or the start of its recipe's digest; the
            winner if absent.
        public: Whether everybody may see the repository.
        threads: CPU threads, where the model is built again.
        log: Takes lines on what is done.

    Returns:
        Where it is.

    Raises:
        ConfigError: the licence does not follow from the parents', the name breaks one, something else
            stands at `out` or in the repository, or the user may not write there.
        LineageError: the run is not finished or not sound, or has no such candidate, or the Hub holds other
            bytes than were sent.
        ParentError: the model has to be built again, and a parent is not on this machine.
        InfrastructureError: the connection broke; trying again goes on.
    """
    require_finished(files)
    if out is not None and require_place_beside(files, config, out):
        raise ConfigError(
            "something else stands where the published model is to go",
            where=str(out),
            fix="name another folder as --out, or remove it",
        )
    recipe, other = winning_recipe(files), None
    if candidate is not None:
        phase = files.phase(candidate[0])
        ledger = list(entries(phase))
        drawn = find_candidate(ledger, candidate[1], where=f"stage {candidate[0]}")
        recipe = read_recipe(phase.candidate(drawn.recipe).recipe)
        ranked = (one for entry in ledger for one in entry.ranked if one.id == drawn.id)
        other = candidate[0], next(ranked, None)
    name = repository.rpartition("/")[2] if repository else str(out and out.resolve().name)
    found = read_sources(files, config, recipe)
    verdict = merged_licence({one.name: one.card for one in found.models}, config.publication)
    _require_licence(verdict, found.models, name)
    require_sound(files, config)
    if repository is not None:
        known = {"recipe.json": recipe.to_json()}
        open_repository(repository, known, public=public, log=log)
    with ExitStack() as stack:
        folder = files.best
        if candidate is not None or difference(folder) is not None:
            above = out.absolute().parent if out is not None else Path.cwd()
            above.mkdir(parents=True, exist_ok=True)
            made = stack.enter_context(TemporaryDirectory(dir=above, prefix=".publish-"))
            folder = Path(made) / "model"
            log("building the model from its recipe")
            if candidate is None:
                write_best(files, config, folder, threads=threads)
            else:
                write_candidate(files, config, *candidate, folder, threads=threads)
        published = Published(
            name=name,
            config=config,
            recipe=recipe,
            weights=read_marker(folder / MARKER).weights,
            found=found,
            verdict=verdict,
            table=read_final_table(files.final),
            candidate=other,
            template=_template(folder),
            lender=lender(files, config),
            kind=kind_in(folder),
            merged=_merged(folder, recipe),
            source=source_commit(files),
        )
        content = _content(files, published, folder, repository or name)
        if out is not None:
            write_folder(out, content)
            log(f"{out}: {len(content)} files")
        if repository is None:
            return str(out)
        commit = upload(repository, content, message=f"{name}, merged by tsugiki", log=log)
        return f"https://huggingface.co/{repository}/tree/{commit}"


def require_finished(files: RunFiles) -> None:
    """Refuse a run that has no final table yet.

    Raises:
        LineageError: it has none.
    """
    if not files.final.is_file():
        raise LineageError(
            "the run is not finished: nothing is known yet of its models on held-out documents",
            where=str(files.root),
            expected=files.final.name,
            fix="let the workflow run to its end; `tsugiki status` says how far it is",
        )


def require_sound(files: RunFiles, config: RunConfig) -> None:
    """Refuse a run whose audit finds anything.

    Raises:
        LineageError: it does.
    """
    if findings := audit(files, config, reselect=reselect(files, config)):
        raise LineageError(
            f"the run is not sound: {len(findings)} finding{'s' * (len(findings) != 1)} of its audit",
            where=str(files.root),
            got=str(findings[0]),
            fix="`tsugiki audit` lists all of them",
        )


def _require_licence(verdict: Verdict, sources: Sequence[Source], name: str) -> None:
    """A licence is known, and the name has what the parents' licences ask of it."""
    if verdict.license is None:
        raise ConfigError(
            "it is not known under which licence the model may be published",
            got=verdict.reason,
            fix="ask for the parents' licences; then state what you know, and why, in the configuration file: "
            "`publication: {license: …, reason: …}`, and publish with that file (docs/licences.md)",
        )
    if verdict.stated:
        return
    for one in sources:
        licence = licence_of(one.card)
        wanted = licence.prefix if licence is not None else None
        if licence is not None and wanted and not _plain(name).startswith(_plain(wanted)):
            raise ConfigError(
                f"the licence of parent `{one.name}`, {licence.id}, asks for another name",
                expected=f"a name that begins with `{wanted}`",
                got=name,
                fix=f"call the model {wanted.replace(' ', '-')}-{name}",
            )


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]", "", name).lower()


def _template(folder: Path) -> str | None:
    template = read_template(FolderFiles(folder))
    return None if template is None else digest_bytes(template.encode())


def _merged(folder: Path, recipe: AnyRecipe) -> tuple[str, ...]:
    """The components that are merged of a model that has some."""
    files = FolderFiles(folder)
    if not layout_of(files.sizes).parts:
        return ()
    names = names_in(recipe.models)
    facts, _ = read_facts(
        "the merged model", files, names.get(recipe.owner) or next(iter(names.values()), None)
    )
    return tuple(dict.fromkeys(stored.partition(".")[0] for stored in facts.names.values()))


def _content(files: RunFiles, one: Published, folder: Path, repository: str) -> dict[str, Content]:
    """Everything that is published, by its path: texts as bytes, the model's own files as they are.

    Raises:
        ConfigError: a text holds a token.
        LineageError: a licence file of a parent is not the one that was locked.
    """
    sources = one.found.models
    owner = repository.partition("/")[0] if "/" in repository else one.config.name
    made: dict[str, bytes | None] = {
        "README.md": model_card(one),
        "CITATION.cff": citation_file(one.name, owner, sources),
        "CITATION.bib": citation_entries(sources),
        "NOTICE": notice(sources),
        **licence_files(sources),
        **lineage_files(files, one.config, one.found, one.verdict),
    }
    texts = {path: content for path, content in made.items() if content is not None}
    refuse_tokens(texts)
    return {**files_in(folder), **texts}


def files_in(folder: Path) -> dict[str, Path]:
    """A folder's files by their places in it; hidden ones are not for others."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def write_folder(out: Path, content: Mapping[str, Content]) -> None:
    """Write a folder, whole or not at all."""
    with atomic.folder(out) as folder:
        for path, one in content.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(one, Path):
                shutil.copyfile(one, target)
            else:
                target.write_bytes(one)
