"""A finished run as a Workflow Run RO-Crate: one folder that says in JSON-LD what was run on what, and made what.

Sources: RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) and Workflow Run Crate 0.5
(https://w3id.org/ro/wfrun/workflow/0.5).
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tsugiki import __version__
from tsugiki.canonical import digest_bytes, digest_file, pretty_json
from tsugiki.config.licences import Verdict, described, merged_licence
from tsugiki.config.run import RunConfig
from tsugiki.contracts.environment import read_environment
from tsugiki.contracts.layout import PhaseFiles, RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.locks import LockedCard, LockedParent, read_lock
from tsugiki.contracts.outcome import read_cost
from tsugiki.errors import ConfigError
from tsugiki.finalists.files import winning_recipe
from tsugiki.publish.alongside import lineage_files
from tsugiki.publish.publish import files_in, require_finished, require_sound, write_folder
from tsugiki.publish.sources import Source, read_sources
from tsugiki.publish.upload import Content, refuse_tokens

Entity = dict[str, Any]
Slots = dict[str, tuple[str, list[str]]]
"""What goes into the workflow, or comes out of it: kind and ids, by name."""

METADATA = "ro-crate-metadata.json"
CRATE = "https://w3id.org/ro/crate/1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
CONTEXT = [f"{CRATE}/context", {"sha256": "http://schema.org/sha256"}]
"""The first knows no `sha256`."""
CHECKOUT = Path(__file__).parents[3]
APACHE = "https://spdx.org/licenses/Apache-2.0"
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
RUN_ON = "#run"
WORKFLOW = "Snakefile"
TSUGIKI = "#tsugiki"


def write_crate(files: RunFiles, config: RunConfig, out: Path, *, models: bool = False) -> int:
    """Write a run as a Workflow Run RO-Crate, whole or not at all.

    Args:
        files: The run.
        config: Its configuration.
        out: Folder to write to.
        models: Whether the best model goes along; it is described by its digests in any case.

    Returns:
        The number of files.

    Raises:
        ConfigError: something stands at `out`, `out` is in a run, there is no Snakefile beside the package,
            or a text holds a token.
        LineageError: the run is not finished or not sound.
    """
    require_finished(files)
    _require_nothing(out)
    workflow = _workflow()
    require_sound(files, config)
    recipe = winning_recipe(files)
    found = read_sources(files, config, recipe)
    cards = {one.name: one.card for one in found.models}
    verdict = merged_licence(cards, config.publication)
    recorded: dict[str, Content] = {
        **lineage_files(files, config, found, verdict),
        "recipe.json": recipe.to_json(),
        **_ledger(files),
    }
    if files.report.is_file():
        recorded["report.html"] = files.report
    best = files_in(files.best)
    if models:
        recorded |= {f"best/{name}": path for name, path in best.items()}
    content = {**workflow, **recorded}
    refuse_tokens({path: one for path, one in recorded.items() if isinstance(one, bytes)})
    parents = {
        name: _parent(name, one, cards.get(name, one.card))
        for name, one in read_lock(files.parents).parents.items()
    }
    made = {name: (path.stat().st_size, digest_file(path)) for name, path in best.items()}
    graph = _graph(files, config, content, verdict, parents, made, with_model=models)
    content[METADATA] = pretty_json({"@context": CONTEXT, "@graph": graph})
    write_folder(out, content)
    return len(content)


def _require_nothing(out: Path) -> None:
    empty = out.is_dir() and not out.is_symlink() and not any(out.iterdir())
    if os.path.lexists(out) and not empty:
        raise ConfigError(
            "something else stands where the crate is to go",
            where=str(out),
            expected="nothing, or an empty folder",
            fix="name another folder as --out, or remove it",
        )
    for folder in out.resolve().parents:
        if RunFiles(folder).exist():
            raise ConfigError(
                "the crate would lie in the folder of a run",
                where=str(out),
                got=f"run in {folder}",
                fix="name another folder as --out",
            )


def _workflow() -> dict[str, Content]:
    """The Snakefile and its rules, of the version at work."""
    found = [CHECKOUT / WORKFLOW, *sorted((CHECKOUT / "rules").glob("*.smk"))]
    if not found[0].is_file():
        raise ConfigError(
            "there is no workflow to describe",
            where=str(CHECKOUT),
            expected=WORKFLOW,
            fix="run this in an environment that `make setup` made, in a checkout of tsugiki",
        )
    return {path.relative_to(CHECKOUT).as_posix(): path for path in found}


def _ledger(files: RunFiles) -> dict[str, Content]:
    """What each phase recorded of its generations, byte for byte."""
    found: dict[str, Content] = {}
    for root in sorted(path.parents[1] for path in files.root.glob("*/gen-000/population.json")):
        phase = PhaseFiles(root)
        paths = [phase.space, phase.decomposed, phase.best_lock]
        for entry in entries(phase):
            one = entry.files
            paths += [one.population, one.state, one.outcomes, *one.root.glob("rung-*.json")]
        here = (path for path in paths if path.is_file())
        found |= {f"ledger/{path.relative_to(files.root).as_posix()}": path for path in here}
    return found


def _graph(
    files: RunFiles,
    config: RunConfig,
    content: Mapping[str, Content],
    verdict: Verdict,
    parents: Mapping[str, list[Entity]],
    best: Mapping[str, tuple[int, str]],
    *,
    with_model: bool,
) -> list[Entity]:
    """All entities, the descriptor and the root first."""
    environment = read_environment(files)
    stages = sorted({path.split("/")[1] for path in content if path.startswith("ledger/")})
    folders = [f"ledger/{stage}/" for stage in stages] + ["best/"] * with_model
    name = f"the best model of {config.name}"
    model = [] if with_model else _collection("#best", name, best)
    collections = [one[0]["@id"] for one in parents.values()]
    inputs: Slots = {
        "configuration": ("File", ["lineage/config.yaml"]),
        "documents": ("File", ["lineage/items.json"]),
        "parents": ("Collection", collections),
    }
    results: Slots = {
        "table": ("File", ["lineage/final.json"]),
        "recipe": ("File", ["recipe.json"]),
        "report": ("File", ["report.html"] * ("report.html" in content)),
        "ledger": ("Dataset", [one for one in folders if one != "best/"]),
        "model": ("Dataset", ["best/"]) if with_model else ("Collection", ["#best"]),
    }
    slots = {name: one for name, one in (inputs | results).items() if one[1]}
    loose = [one for one in content if not any(one.startswith(folder) for folder in folders)]
    entities: list[Entity] = [
        _entity(
            METADATA,
            "CreativeWork",
            about=_ref("./"),
            conformsTo=_refs([CRATE, "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]),
        ),
        _entity(
            "./",
            "Dataset",
            name=f"tsugiki run {config.name}",
            description=f"Evolutionary model merging: the run {config.name}, with its workflow, its parents, "
            "its ledger and its result.",
            datePublished=datetime.now(UTC).date().isoformat(),
            license=_ref("#licence"),
            conformsTo=_refs(PROFILES),
            mainEntity=_ref(WORKFLOW),
            mentions=_refs([RUN_ON, *collections, *(one["@id"] for one in model[:1])]),
            hasPart=_refs([*folders, *loose]),
        ),
        *(_entity(url, "CreativeWork", name=name) for url, name in PROFILES.items()),
        _licence(verdict),
        *_software(environment),
        _action(files, config, inputs, results),
        *(
            _entity(
                folder,
                "Dataset",
                name=folder.rstrip("/"),
                hasPart=_refs(one for one in content if one.startswith(folder)),
            )
            for folder in folders
        ),
        *(_file(path, one) for path, one in content.items()),
        *(entity for one in parents.values() for entity in one),
        *model,
        *(
            _entity(
                f"#slot-{name}",
                "FormalParameter",
                name=name,
                additionalType=kind,
                conformsTo=_ref("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
                workExample=_refs(ids),
            )
            for name, (kind, ids) in slots.items()
        ),
    ]
    by_id = {one["@id"]: one for one in entities}
    by_id[WORKFLOW] |= _main_entity(environment, content, inputs, results)
    for name, (_, ids) in slots.items():
        for one in ids:
            by_id[one]["exampleOfWork"] = _ref(f"#slot-{name}")
    return entities


def _action(files: RunFiles, config: RunConfig, inputs: Slots, results: Slots) -> Entity:
    costs = [read_cost(path) for path in files.root.glob("*/candidates/**/cost.json")]
    times = [(one.started, one.finished) for one in costs if one is not None]
    action = _entity(
        RUN_ON,
        "CreateAction",
        name=f"run {config.name}",
        description="A search for a merge. Times are those of the first and the last scored candidate. No people "
        "are recorded, hence no agent.",
        instrument=_ref(WORKFLOW),
        object=_refs(one for _, ids in inputs.values() for one in ids),
        result=_refs(one for _, ids in results.values() for one in ids),
        actionStatus="http://schema.org/CompletedActionStatus",
    )
    if times:
        action["startTime"] = min(start for start, _ in times).isoformat(timespec="milliseconds")
        action["endTime"] = max(end for _, end in times).isoformat(timespec="milliseconds")
    return action


def _main_entity(
    environment: Mapping[str, Any], content: Mapping[str, Content], inputs: Slots, results: Slots
) -> Entity:
    return _entity(
        WORKFLOW,
        ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        name="tsugiki's workflow",
        description=f"The workflow as of tsugiki {__version__}, which wrote this crate; `version` is the commit "
        "that the run recorded.",
        version=environment.get("source") or environment.get("packages", {}).get("tsugiki"),
        license=_ref(APACHE),
        conformsTo=_ref("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"),
        programmingLanguage=_ref(SNAKEMAKE),
        softwareRequirements=_ref(TSUGIKI),
        hasPart=_refs(one for one in content if one.startswith("rules/")),
        input=_refs(f"#slot-{name}" for name in inputs),
        output=_refs(f"#slot-{name}" for name, (_, ids) in results.items() if ids),
    )


def _software(environment: Mapping[str, Any]) -> list[Entity]:
    packages = environment.get("packages", {})
    snakemake = _entity(
        SNAKEMAKE,
        "ComputerLanguage",
        name="Snakemake",
        url="https://snakemake.readthedocs.io",
        version=packages.get("snakemake"),
    )
    version = packages.get("tsugiki")
    tsugiki = _entity(TSUGIKI, "SoftwareApplication", name="tsugiki", softwareVersion=version)
    return [snakemake, tsugiki, _entity(APACHE, "CreativeWork", name="Apache License 2.0")]


def _licence(verdict: Verdict) -> Entity:
    name = verdict.name or verdict.license or "unknown"
    found = _entity("#licence", "CreativeWork", name=name, description=str(verdict))
    return found if verdict.link is None else {**found, "url": verdict.link}


def _file(path: str, one: Content) -> Entity:
    plain = path.endswith(".smk") or path == WORKFLOW
    kind = "text/plain" if plain else mimetypes.guess_type(path)[0]
    size = one.stat().st_size if isinstance(one, Path) else len(one)
    digest = digest_file(one) if isinstance(one, Path) else digest_bytes(one)
    found = _content(path, "File", path, size, digest)
    return {**found, "encodingFormat": kind or "application/octet-stream"}


def _parent(name: str, locked: LockedParent, card: LockedCard | None) -> list[Entity]:
    """A parent as it came: its files by digest, its revision and its licence."""
    source = Source(name, locked, card, None)
    listed = {one.name: (one.size, one.sha256) for one in locked.files}
    found = _collection(f"#parent-{name}", source.title, listed)
    found[0] |= {"identifier": locked.digest, "license": described(card)}
    if source.hub is not None and locked.commit is not None:
        at = f"https://huggingface.co/{source.hub}"
        found[0] |= {"version": locked.commit, "url": f"{at}/tree/{locked.commit}"}
        for part in found[1:]:
            part["url"] = f"{at}/resolve/{locked.commit}/{part['name']}"
    return found


def _collection(at: str, name: str, listed: Mapping[str, tuple[int, str]]) -> list[Entity]:
    """A model whose files are not in the crate: the collection, then its files."""
    parts = [
        _content(f"{at}/{file}", "CreativeWork", file, size, digest)
        for file, (size, digest) in listed.items()
    ]
    weights = max(listed, key=lambda file: listed[file][0])
    main, its = _ref(f"{at}/{weights}"), _refs(one["@id"] for one in parts)
    return [_entity(at, "Collection", name=name, mainEntity=main, hasPart=its), *parts]


def _content(at: str, kind: str, name: str, size: int, digest: str) -> Entity:
    return _entity(at, kind, name=name, contentSize=str(size), sha256=digest)


def _entity(at: str, kind: str | list[str], **properties: Any) -> Entity:
    return {"@id": at, "@type": kind, **properties}


def _ref(at: str) -> Entity:
    return {"@id": at}


def _refs(ids: Iterable[str]) -> list[Entity] | Entity:
    """References; one alone is no list, as RO-Crate asks."""
    found = [_ref(one) for one in ids]
    return found[0] if len(found) == 1 else found
