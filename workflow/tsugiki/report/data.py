"""All that a report shows, loaded from a run's folder. Pieces that do not exist yet are absent."""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsugiki.canonical import digest_file
from tsugiki.config.licences import Verdict, described, merged_licence
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import TEST, RunFiles
from tsugiki.contracts.ledger import entries, existing_phases, scored_generations
from tsugiki.contracts.locks import LockedParent, read_lock
from tsugiki.contracts.outcome import Failed, Scored, read_cost
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.contracts.usage import used
from tsugiki.errors import LineageError
from tsugiki.finalists.choose import comparable
from tsugiki.finalists.files import read_winner
from tsugiki.finalists.front import Front, read_front
from tsugiki.finalists.table import Comparison, FinalTable, read_final_table
from tsugiki.lineage.ancestry import Ancestry, ancestry
from tsugiki.progress.diagnosis import Diagnosis, diagnose
from tsugiki.progress.summary import Summary, best_candidate, decided_objectives, summarise
from tsugiki.report.costs import PhaseCost, StepCost, phase_cost, step_costs

LONGEST = 600
"""Characters of an answer that are shown."""
SHOWN = 5
"""Examples of each kind."""


@dataclass(frozen=True)
class Example:
    """One item."""

    document: int
    prompt: str | None
    """None where the record of the items holds no prompts."""
    target: str
    winner: str
    """The winner's answer."""
    parent: str
    """The best parent's."""
    pictures: Sequence[str] = ()
    """Small copies of what the item shows, as data URIs."""


@dataclass(frozen=True)
class AnswerChanges:
    """Items that the winner gains or loses against the best parent on one objective."""

    on: Comparison
    gained: Sequence[Example]
    lost: Sequence[Example]


def examples(
    documents: Sequence[int], objective: str, winner: Any, parent: Any, files: RunFiles
) -> list[Example]:
    """The first few documents with their answers.

    Args:
        documents: Document ids, in the order to be shown.
        objective: Selects rows of the tables.
        winner: The `pyarrow.Table` of the winner's items.
        parent: The same of the best parent.
        files: The run, which has small copies of pictures.
    """
    wanted = set(documents[:SHOWN])
    ours, theirs = (_rows(table, objective, wanted) for table in (winner, parent))
    return [
        Example(
            document=document,
            prompt=_shortened(ours[document]["prompt"]) if "prompt" in ours[document] else None,
            target=_shortened(ours[document].get("target") or ""),
            winner=_answer(ours[document]),
            parent=_answer(theirs[document]),
            pictures=list(_pictures(files, ours[document]["doc_hash"])),
        )
        for document in documents[:SHOWN]
    ]


def _pictures(files: RunFiles, document: str) -> Iterator[str]:
    """Those that a document shows; none in runs from before they were kept."""
    for number in itertools.count():
        path = files.picture(document, number)
        if not path.is_file():
            return
        yield f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _answer(row: Mapping[str, Any]) -> str:
    """What a model answered; where the record holds no answer, its value, or what the document adds to one."""
    if (response := row.get("response")) is not None:
        return _shortened(response)
    return str(row["part"]) if row["value"] is None else f"{row['value']:g}"


def _rows(table: Any, objective: str, documents: set[int]) -> dict[int, dict[str, Any]]:
    return {
        row["doc_id"]: row
        for row in table.to_pylist()
        if row["objective"] == objective and row["doc_id"] in documents
    }


def _shortened(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


@dataclass(frozen=True)
class Parent:
    """A locked parent, in words."""

    name: str
    source: str
    commit: str | None
    digest: str
    megabytes: float
    licence: str
    """Such as `apache-2.0 (permissive)`; empty where the lock says nothing of licences."""


def _parents(files: RunFiles) -> list[Parent]:
    """The locked parents; none if they are not locked yet."""
    if not files.parents.is_file():
        return []
    return [
        Parent(
            name,
            _source(locked),
            locked.commit,
            locked.merged_digest,
            locked.size / 1e6,
            "" if locked.card is None else described(locked.card),
        )
        for name, locked in read_lock(files.parents).parents.items()
    ]


def _licence(files: RunFiles, config: RunConfig) -> Verdict | None:
    """What follows for the merge from the locked parents' licences; None if the lock says nothing of them."""
    locked = read_lock(files.parents).parents if files.parents.is_file() else {}
    said = {name: one.card for name, one in locked.items()}
    return merged_licence(said, config.publication) if any(said.values()) else None


def _digests(files: RunFiles, config: RunConfig) -> dict[str, str]:
    """SHA-256 of the files that pin the run, the last ledger entry of each phase included.

    Each entry names the one before, so the last one stands for all.
    """
    once = (files.config, files.parents, files.items, files.environment, files.final)
    pinned = [path for path in once if path.is_file()]
    for phase in existing_phases(files, config.phases):
        scored = [one for one in entries(files.phase(phase)) if one.outcomes is not None]
        pinned += [one.files.outcomes for one in scored[-1:]]
    return {path.relative_to(files.root).as_posix(): digest_file(path) for path in pinned}


def _environment(files: RunFiles) -> dict[str, str]:
    """environment.json as flat pairs; empty if it is not written yet.

    Raises:
        LineageError: the file is damaged.
    """
    if not files.environment.is_file():
        return {}
    try:
        return _flat("", json.loads(files.environment.read_bytes()))
    except ValueError as error:
        raise LineageError(
            "not a valid environment file", where=str(files.environment), got=str(error)
        ) from error


def _source(locked: LockedParent) -> str:
    base = locked.source.get("adapter_of")
    suffix = f", adapter of {base}" if base else ""
    for key in ("hub", "path", "demo"):
        if key in locked.source:
            return f"{key}: {locked.source[key]}{suffix}"
    return str(locked.source)


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        flat: dict[str, str] = {}
        for key, inner in sorted(value.items()):
            flat |= _flat(f"{prefix}.{key}" if prefix else str(key), inner)
        return flat
    return {prefix: value if isinstance(value, str) else json.dumps(value)}


@dataclass(frozen=True)
class Failure:
    """Candidates that failed for one reason."""

    phase: str
    kind: str
    reason: str
    """First line."""
    count: int
    example: str
    """Id of one of them."""


@dataclass(frozen=True)
class ReportData:
    """Everything, as plain values."""

    config: RunConfig
    table: FinalTable | None
    """None until the test items are scored."""
    stages: Mapping[str, Sequence[Summary]]
    diagnoses: Mapping[str, Sequence[Diagnosis]]
    """Of the generations of each stage."""
    best: tuple[Ranked, float] | None
    """The candidate of the last stage with the largest weighted sum on the search items, and that sum."""
    recipe: AnyRecipe | None
    """The winner's; before there is one, the best candidate's."""
    before: Mapping[str, AnyRecipe]
    """The recipe of the winner of each earlier stage that has one, by the stage's name."""
    front: Front | None
    """The Pareto front of several objectives, once the test items are scored."""
    scored: Sequence[Mapping[str, float]]
    """By objective, what the candidates of the last stage scored that the front is of; none without a front."""
    changes: Sequence[AnswerChanges]
    failures: Sequence[Failure]
    cut: float
    """Largest share of prompts that were too long for a candidate, and lost their start."""
    unclosed: float
    """Largest share of a candidate's answers whose thinking part was not closed."""
    unclosed_by_winner: float | None
    """The winner's share on the test items, once these are scored."""
    left_out: int
    """Search documents that tell nothing apart, and that later generations of the last stage are not asked."""
    costs: Sequence[PhaseCost]
    steps: Sequence[StepCost]
    ancestry: Ancestry | None
    """The winner's, once the test items are scored."""
    parents: Sequence[Parent]
    licence: Verdict | None
    """Of the merge; None if the lock says nothing of licences."""
    digests: Mapping[str, str]
    environment: Mapping[str, str]


def load(files: RunFiles, config: RunConfig) -> ReportData:
    """Read a run's folder, however far the run has come.

    Raises:
        LineageError: a file is damaged.
    """
    ledger = {
        phase: scored_generations(files.phase(phase))
        for phase in existing_phases(files, config.phases)
    }
    stages = {stage.name: ledger[stage.name] for stage in config.stages if ledger.get(stage.name)}
    table = read_final_table(files.final) if files.final.is_file() else None
    objectives = decided_objectives(files, config)
    best = best_candidate(next(reversed(stages.values())), objectives) if stages else None
    return ReportData(
        config=config,
        table=table,
        stages={
            name: summarise(generations, objectives, config.stage(name))
            for name, generations in stages.items()
        },
        diagnoses={
            stage.name: diagnose(
                files.phase(stage.name), stage, list(entries(files.phase(stage.name))), objectives
            )
            for stage in config.stages
            if stage.name in stages
        },
        best=best,
        recipe=_recipe(files, table, next(reversed(stages), None), best and best[0]),
        before=_before(files, config),
        front=read_front(files.front) if files.front.is_file() else None,
        scored=_scored(files, ledger.get(config.stages[-1].name, [])),
        changes=[] if table is None else _changes(files, table),
        failures=_failures(ledger),
        cut=_largest(ledger, "cut"),
        unclosed=_largest(ledger, "unclosed"),
        unclosed_by_winner=_of_winner(ledger, table, "unclosed"),
        left_out=_left_out(files, config),
        costs=_costs(files, config),
        steps=step_costs(files.root / "benchmarks"),
        ancestry=None if table is None else ancestry(files, config),
        parents=_parents(files),
        licence=_licence(files, config),
        digests=_digests(files, config),
        environment=_environment(files),
    )


def _scored(files: RunFiles, generations: Sequence[Generation]) -> list[dict[str, float]]:
    if not files.front.is_file():
        return []
    names = read_front(files.front).weights
    found = next(iter(comparable(generations)), [])
    return [
        {name: one.outcome.measured[name].value for name in names}
        for one in found
        if isinstance(one.outcome, Scored)
    ]


def _recipe(
    files: RunFiles, table: FinalTable | None, stage: str | None, best: Ranked | None
) -> AnyRecipe | None:
    if table is not None:
        winner = table.row(table.winner).recipe
        return read_recipe(files.phase(TEST).candidate(winner).recipe)
    if stage is not None and best is not None:
        return read_recipe(files.phase(stage).candidate(best.recipe).recipe)
    return None


def _before(files: RunFiles, config: RunConfig) -> dict[str, AnyRecipe]:
    recipes = {}
    for stage in config.stages[:-1]:
        finalists = files.phase(config.finalists_of(stage.name))
        if finalists.generation(0).outcomes.is_file():
            won = read_winner(finalists)
            recipes[stage.name] = read_recipe(finalists.candidate(won.recipe).recipe)
    return recipes


def _changes(files: RunFiles, table: FinalTable) -> list[AnswerChanges]:
    found = []
    for on in table.comparisons:
        if on.best_parent is not None and (on.gained or on.lost):
            winner, parent = (
                read_samples(files.phase(TEST).candidate(table.row(name).recipe).items)
                for name in (table.winner, on.best_parent)
            )
            gained, lost = (
                examples(documents, on.objective, winner, parent, files)
                for documents in (on.gained, on.lost)
            )
            found.append(AnswerChanges(on, gained, lost))
    return found


def _failures(ledger: Mapping[str, Sequence[Generation]]) -> list[Failure]:
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], str] = {}
    for phase, generations in ledger.items():
        for generation in generations:
            for entry in generation.ranked:
                if isinstance(entry.outcome, Failed):
                    key = (phase, entry.outcome.kind, entry.outcome.reason.partition("\n")[0])
                    counts[key] += 1
                    first.setdefault(key, entry.id)
    return [Failure(*key, count, first[key]) for key, count in counts.most_common()]


def _largest(ledger: Mapping[str, Sequence[Generation]], rate: str) -> float:
    ranked = [one for of_phase in ledger.values() for all_ in of_phase for one in all_.ranked]
    scored = [one.outcome for one in ranked if isinstance(one.outcome, Scored)]
    return max((outcome.rates.get(rate, 0.0) for outcome in scored), default=0.0)


def _of_winner(
    ledger: Mapping[str, Sequence[Generation]], table: FinalTable | None, rate: str
) -> float | None:
    recipe = None if table is None else table.row(table.winner).recipe
    ranked = (one for of in ledger.get(TEST, ()) for one in of.ranked if one.recipe == recipe)
    scored = (one.outcome for one in ranked if isinstance(one.outcome, Scored))
    return next((outcome.rates.get(rate, 0.0) for outcome in scored), None)


def _left_out(files: RunFiles, config: RunConfig) -> int:
    found = list(entries(files.phase(config.stages[-1].name)))
    left_out = (found[-1].population.left_out or {}) if found else {}
    return sum(len(documents) for documents in left_out.values())


def _costs(files: RunFiles, config: RunConfig) -> list[PhaseCost]:
    costs = []
    tasks = {one.name: one.task for one in config.evaluation.measured}
    for phase in existing_phases(files, config.phases):
        folder = files.phase(phase)
        scored = dict.fromkeys(
            (candidate.recipe, config.own_documents(phase, entry.number))
            for entry in entries(folder)
            for candidate in entry.population.candidates
        )
        known = (read_cost(folder.candidate(recipe).of(own).cost) for recipe, own in scored)
        answers = used(scored_generations(folder), tasks).answers
        costs.append(phase_cost(phase, [cost for cost in known if cost is not None], answers))
    return [cost for cost in costs if cost.candidates]
