"""All that a report shows, loaded from a run's folder. Pieces that do not exist yet are absent."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsugiki.canonical import digest_file
from tsugiki.config.evaluation import Objective
from tsugiki.config.licences import Verdict, merged_licence
from tsugiki.config.run import RunConfig
from tsugiki.contracts.environment import read_environment
from tsugiki.contracts.layout import TEST, RunFiles
from tsugiki.contracts.ledger import Entry, completed, entries, existing_phases
from tsugiki.contracts.locks import LockedParent, read_lock
from tsugiki.contracts.outcome import Failed, Scored, read_cost
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.contracts.scores import scores_of, weighted_sum
from tsugiki.contracts.usage import used
from tsugiki.finalists.choose import comparable
from tsugiki.finalists.files import winning_recipe
from tsugiki.finalists.front import Front, read_front
from tsugiki.finalists.table import Comparison, FinalTable, read_final_table
from tsugiki.lineage.ancestry import Ancestry, ancestry
from tsugiki.lineage.differences import flat
from tsugiki.progress.diagnosis import Diagnosis, diagnose
from tsugiki.progress.summary import Summary, decided_objectives, summarise
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
    shown = documents[:SHOWN]
    ours, theirs = (
        {
            row["doc_id"]: row
            for row in table.to_pylist()
            if row["objective"] == objective and row["doc_id"] in shown
        }
        for table in (winner, parent)
    )
    return [
        Example(
            document=document,
            prompt=_shortened(ours[document]["prompt"]) if "prompt" in ours[document] else None,
            target=_shortened(ours[document].get("target")),
            winner=_answer(ours[document]),
            parent=_answer(theirs[document]),
            pictures=list(_pictures(files, ours[document]["doc_hash"])),
        )
        for document in shown
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


def _shortened(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def origin(locked: LockedParent) -> str:
    """Where a parent is from, in words."""
    base = locked.source.get("adapter_of")
    suffix = f", adapter of {base}" if base else ""
    for key in ("hub", "path", "demo"):
        if key in locked.source:
            return f"{key}: {locked.source[key]}{suffix}"
    return str(locked.source)


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
    parents: Mapping[str, LockedParent]
    licence: Verdict | None
    """Of the merge; None if the lock says nothing of licences."""
    digests: Mapping[str, str]
    environment: Mapping[str, str]


def load(files: RunFiles, config: RunConfig) -> ReportData:
    """Read a run's folder, however far the run has come.

    Raises:
        LineageError: a file is damaged.
    """
    known = {
        phase: list(entries(files.phase(phase))) for phase in existing_phases(files, config.phases)
    }
    ledger = {phase: completed(found) for phase, found in known.items()}
    begun = [stage for stage in config.stages if ledger.get(stage.name)]
    table = read_final_table(files.final) if files.final.is_file() else None
    front = read_front(files.front) if files.front.is_file() else None
    objectives = decided_objectives(files, config)
    best = _best(ledger[begun[-1].name], objectives) if begun else None
    last = config.stages[-1].name
    outcomes = [one.outcome for found in ledger.values() for each in found for one in each.ranked]
    scored = [one for one in outcomes if isinstance(one, Scored)]
    parents = read_lock(files.parents).parents if files.parents.is_file() else {}
    cards = {name: one.card for name, one in parents.items()}
    left_out = (known[last][-1].population.left_out or {}) if last in known else {}
    recipe = None
    if table is not None:
        recipe = winning_recipe(files)
    elif best is not None:
        recipe = read_recipe(files.phase(begun[-1].name).candidate(best[0].recipe).recipe)
    return ReportData(
        config=config,
        table=table,
        stages={one.name: summarise(ledger[one.name], objectives, one) for one in begun},
        diagnoses={
            one.name: diagnose(files.phase(one.name), one, known[one.name], objectives)
            for one in begun
        },
        best=best,
        recipe=recipe,
        before=_before(files, config),
        front=front,
        scored=[] if front is None else _scored(front, ledger.get(last, [])),
        changes=[] if table is None else _changes(files, table),
        failures=_failures(ledger),
        cut=max((one.rates.get("cut", 0.0) for one in scored), default=0.0),
        unclosed=max((one.rates.get("unclosed", 0.0) for one in scored), default=0.0),
        unclosed_by_winner=_unclosed_by_winner(ledger, table),
        left_out=sum(len(documents) for documents in left_out.values()),
        costs=list(_costs(files, config, known, ledger)),
        steps=step_costs(files.root / "benchmarks"),
        ancestry=None if table is None else ancestry(files, config),
        parents=parents,
        licence=merged_licence(cards, config.publication) if any(cards.values()) else None,
        digests=_digests(files, known),
        environment=_environment(files),
    )


def _best(
    generations: Sequence[Generation], objectives: Sequence[Objective]
) -> tuple[Ranked, float] | None:
    """The candidate of the largest weighted sum, of equals the first, and that sum; of those whose scores compare."""
    found = next(iter(comparable(generations)), [])
    sums = weighted_sum(scores_of((one.outcome for one in found), objectives)).tolist()
    return max(zip(found, sums, strict=True), key=lambda one: one[1], default=None)


def _before(files: RunFiles, config: RunConfig) -> dict[str, AnyRecipe]:
    phases = {one.name: config.finalists_of(one.name) for one in config.stages[:-1]}
    return {
        name: winning_recipe(files, finalists)
        for name, finalists in phases.items()
        if files.phase(finalists).generation(0).outcomes.is_file()
    }


def _scored(front: Front, generations: Sequence[Generation]) -> list[dict[str, float]]:
    return [
        {name: one.outcome.measured[name].value for name in front.weights}
        for one in next(iter(comparable(generations)), [])
        if isinstance(one.outcome, Scored)
    ]


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
    found: dict[tuple[str, str, str], list[str]] = {}
    for phase, generations in ledger.items():
        for one in (each for generation in generations for each in generation.ranked):
            if isinstance(one.outcome, Failed):
                reason = one.outcome.reason.partition("\n")[0]
                found.setdefault((phase, one.outcome.kind, reason), []).append(one.id)
    failures = [Failure(*key, len(ids), ids[0]) for key, ids in found.items()]
    return sorted(failures, key=lambda one: -one.count)


def _unclosed_by_winner(
    ledger: Mapping[str, Sequence[Generation]], table: FinalTable | None
) -> float | None:
    recipe = None if table is None else table.row(table.winner).recipe
    ranked = (one for of in ledger.get(TEST, ()) for one in of.ranked if one.recipe == recipe)
    scored = (one.outcome for one in ranked if isinstance(one.outcome, Scored))
    return next((outcome.rates.get("unclosed", 0.0) for outcome in scored), None)


def _costs(
    files: RunFiles,
    config: RunConfig,
    known: Mapping[str, Sequence[Entry]],
    ledger: Mapping[str, Sequence[Generation]],
) -> Iterator[PhaseCost]:
    tasks = {one.name: one.task for one in config.evaluation.measured}
    for phase, found in known.items():
        scored = dict.fromkeys(
            (candidate.recipe, config.own_documents(phase, entry.number))
            for entry in found
            for candidate in entry.population.candidates
        )
        folder = files.phase(phase)
        read = [read_cost(folder.candidate(recipe).of(own).cost) for recipe, own in scored]
        if costs := [cost for cost in read if cost is not None]:
            yield phase_cost(phase, costs, used(ledger[phase], tasks).answers)


def _digests(files: RunFiles, known: Mapping[str, Sequence[Entry]]) -> dict[str, str]:
    """SHA-256 of the files that pin the run, the last ledger entry of each phase included.

    Each entry names the one before, so the last one stands for all.
    """
    once = (files.config, files.parents, files.items, files.environment, files.final)
    pinned = [path for path in once if path.is_file()]
    for found in known.values():
        pinned += [one.files.outcomes for one in found if one.outcomes is not None][-1:]
    return {path.relative_to(files.root).as_posix(): digest_file(path) for path in pinned}


def _environment(files: RunFiles) -> dict[str, str]:
    found = flat(read_environment(files))
    return {key: one if isinstance(one, str) else json.dumps(one) for key, one in found}
