"""Checks of one phase: its hash chain, and every candidate's files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from tsugiki.audit.finding import Finding, differs, digest_of, place
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import SPLITS, read_document_sets
from tsugiki.contracts.layout import CandidateFiles, RunFiles
from tsugiki.contracts.ledger import Entry, entries, evaluation_of, read_outcome
from tsugiki.contracts.locks import read_decompositions_lock
from tsugiki.contracts.outcome import Measured, Scored
from tsugiki.contracts.population import Candidate, Ranked
from tsugiki.contracts.recipe import Recipe, read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import EvaluationError
from tsugiki.evaluate.aggregation import Aggregation, Aggregations
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evaluate.rungs import documents_by_rung
from tsugiki.evolve.rank import fitness_of
from tsugiki.finalists.measures import parts_of
from tsugiki.merge.decompositions import decomposed_from, key_of
from tsugiki.parents.run_models import run_digests

Documents = Mapping[str, list[int]]
"""Document ids by objective."""

Parts = dict[str, dict[int, Any]]
"""What each document contributes, by objective and id."""
T = TypeVar("T")


def check_chain(files: RunFiles, phase: str, config: RunConfig) -> Iterator[Finding]:
    """Each generation names the digests of what it was made from."""
    previous: Entry | None = None
    for entry in entries(files.phase(phase)):
        where = place(files, entry.files.population)
        population = entry.population
        stated = (population.run, population.phase, population.generation)
        yield from differs(
            "the population is of another place", where, (config.name, phase, entry.number), stated
        )
        before = None if previous is None else digest_of(previous.files.outcomes)
        what = "does not follow from the generation before"
        yield from differs(what, where, before, population.previous)
        if population.state is not None:
            yield from differs(
                "was not drawn from this state",
                where,
                digest_of(entry.files.state),
                population.state,
            )
        yield from _check_entry(files, entry)
        previous = entry


def check_candidates(files: RunFiles, phase: str, config: RunConfig) -> Iterator[Finding]:
    """Every candidate's recipe, outcome and items belong together; one evaluation scored them all.

    A recipe has the digest that it is known by, and names locked parents. An outcome is the one in the
    ledger; its items have the digest it names, are the documents of its split, and make the values it
    states; fitness follows from these.
    """
    digests = run_digests(files, config)
    identity = evaluation_of(files.phase(phase))
    objectives = decided_evaluation(config, files.items).objectives
    stage = config.stage(phase)
    weighed = stage is None or stage.strategy.weighs
    scores = _Scores(files, config, phase)
    seen: set[str] = set()
    for entry in entries(files.phase(phase)):
        for candidate in entry.population.candidates:
            if candidate.recipe not in seen:
                folder = files.phase(phase).candidate(candidate.recipe)
                yield from _check_recipe(files, folder, candidate, digests)
        seen |= {candidate.recipe for candidate in entry.population.candidates}
        for ranked in entry.ranked:
            where = place(files, entry.files.outcomes)
            what = f"candidate {ranked.id} was scored by another evaluation than the first one"
            yield from differs(what, where, identity, ranked.outcome.evaluation)
            fitness = fitness_of(ranked.outcome, objectives) if weighed else None
            what = f"candidate {ranked.id} has another fitness"
            yield from differs(what, where, fitness, ranked.fitness)
        yield from scores.check(entry)


def check_decompositions(files: RunFiles, phase: str) -> Iterator[Finding]:
    """What a stage keeps of task vectors is of the models and options that its candidates have."""
    folder = files.phase(phase)
    if not folder.decomposed.is_file():
        return
    first = next(iter(entries(folder)), None)
    if first is None:
        return
    candidate = folder.candidate(first.population.candidates[0].recipe)
    if not candidate.recipe.is_file():  # which `check_candidates` says
        return
    recipe = read_recipe(candidate.recipe)
    expected = decomposed_from(recipe) if isinstance(recipe, Recipe) else {}
    yield from differs(
        "names decompositions of other models or options",
        place(files, folder.decomposed),
        sorted(map(key_of, expected.values())),
        sorted(read_decompositions_lock(folder.decomposed).decompositions),
    )


def _check_entry(files: RunFiles, entry: Entry) -> Iterator[Finding]:
    if entry.outcomes is None:
        return
    where, outcomes = place(files, entry.files.outcomes), entry.outcomes
    digest = digest_of(entry.files.population)
    what = f"ranks another population than {entry.files.population.name}"
    yield from differs(what, where, digest, outcomes.population)
    drawn, ranked = (
        [(one.id, one.recipe) for one in those]
        for those in (entry.population.candidates, outcomes.ranked)
    )
    yield from differs("ranks other candidates", where, drawn, ranked)


def _check_recipe(
    files: RunFiles, folder: CandidateFiles, candidate: Candidate, digests: Mapping[str, str]
) -> Iterator[Finding]:
    where = place(files, folder.recipe)
    if not folder.recipe.is_file():
        yield Finding("the recipe is missing", where)
        return
    recipe = read_recipe(folder.recipe)
    what = f"is not the recipe of candidate {candidate.id}"
    yield from differs(what, where, candidate.recipe, recipe.digest)
    for parent in recipe.models:
        what = f"names other weights for {parent.name}"
        yield from differs(what, where, digests.get(parent.name), parent.digest)


class _Scores:
    """Compares what outcomes of a phase state with their items, generation by generation."""

    def __init__(self, files: RunFiles, config: RunConfig, phase: str) -> None:
        self._files, self._config, self._phase = files, config, phase
        self._aggregations = Aggregations(decided_evaluation(config, files.items))
        self._sets = read_document_sets(files.items) if files.items.is_file() else None
        self._hashes = self._of_objectives(
            {}
            if self._sets is None
            else {
                task: {one.id: one.hash for split in SPLITS for one in getattr(sets, split)}
                for task, sets in self._sets.tasks.items()
            }
        )
        """Digest of the content of each document that is divided, by objective and id."""
        self._seen: set[str] = set()
        self._parts: dict[str, Parts] = {}
        """All that a recipe was asked by generations that have documents of their own."""

    def check(self, entry: Entry) -> Iterator[Finding]:
        """Compare those of a generation that none before it has checked."""
        own = self._config.own_documents(self._phase, entry.number)
        documents = self._documents(entry)
        left_out = self._of_objectives(entry.population.left_out or {})
        checked: set[str] = set() if own is not None else self._seen
        for ranked in entry.ranked:
            if ranked.recipe in checked:
                continue
            checked.add(ranked.recipe)
            rung = ranked.outcome.rung
            folder = self._files.phase(self._phase).candidate(ranked.recipe).of(own).at(rung)
            yield from self._check_outcome(folder, ranked, documents[-1 if rung is None else rung])
            if own is not None and isinstance(ranked.outcome, Scored):
                yield from self._check_so_far(folder, ranked.outcome, left_out)

    def _check_outcome(
        self, folder: CandidateFiles, ranked: Ranked, documents: Documents
    ) -> Iterator[Finding]:
        where = place(self._files, folder.outcome)
        if not folder.outcome.is_file():
            yield Finding("the outcome is missing", where)
            return
        what = f"is not what the ledger says of candidate {ranked.id}"
        yield from differs(what, where, ranked.outcome, read_outcome(folder.outcome))
        if isinstance(ranked.outcome, Scored):
            yield from self._check_items(folder.items, ranked.outcome, documents)

    def _check_items(self, path: Path, outcome: Scored, documents: Documents) -> Iterator[Finding]:
        where = place(self._files, path)
        if not path.is_file():
            yield Finding("the record of the items is missing", where)
            return
        what = "has changed since it was scored"
        yield from differs(what, where, outcome.records, digest_of(path))
        table = read_samples(path, ["objective", "doc_id", "doc_hash", "value", "part"])
        columns = (table[name].to_pylist() for name in ("objective", "doc_id", "doc_hash"))
        for name, document, content in zip(*columns, strict=True):
            if (known := self._hashes.get(name, {}).get(document, content)) != content:
                what = f"document {document} of `{name}` has another content in {path.name}"
                yield Finding(what, self._files.items.name, content, known)
        scored = _by_objective(table)
        for name, measured in outcome.measured.items():
            for what, stated, found in self._differences(name, measured, scored.get(name, {})):
                yield Finding(f"`{name}` has another {what}", where, str(stated), str(found))
            if name in documents and sorted(scored.get(name, {})) != sorted(documents[name]):
                yield Finding(f"`{name}` was scored on documents of another set", where)

    def _check_so_far(
        self, folder: CandidateFiles, outcome: Scored, left_out: Documents
    ) -> Iterator[Finding]:
        """Take what a generation asked, and compare with what its outcome says of all that still count."""
        where = place(self._files, folder.outcome)
        if outcome.so_far is None:
            yield Finding("nothing is said of all documents so far", where)
        if outcome.so_far is None or not folder.items.is_file():
            return
        parts = self._parts.setdefault(outcome.recipe, {})
        table = read_samples(folder.items, ["objective", "doc_id", "value", "part"])
        for name, of_name in _by_objective(table).items():
            parts.setdefault(name, {}).update(of_name)
        for name, measured in outcome.so_far.measured.items():
            without = left_out.get(name, ())
            counts = {doc: one for doc, one in parts.get(name, {}).items() if doc not in without}
            for what, stated, found in self._differences(name, measured, counts):
                so_far = f"`{name}` so far has another {what}"
                yield Finding(so_far, where, str(found), str(stated))

    def _differences(
        self, name: str, measured: Measured, parts: Mapping[int, Any]
    ) -> Iterator[tuple[str, float, float]]:
        """What is stated otherwise than the items have it: in words, as it is stated, as they have it."""
        if measured.items != len(parts):
            yield "number of items", measured.items, len(parts)
        value = _aggregate(
            list(parts.values()), self._aggregations.find(name, measured.aggregation)
        )
        if not math.isclose(value, measured.value, rel_tol=1e-9, abs_tol=1e-12):
            yield measured.aggregation or "mean", measured.value, value

    def _documents(self, entry: Entry) -> list[Documents]:
        """What a generation is scored on, by rung."""
        if self._sets is None:
            return [{}]
        population = entry.population
        rungs = documents_by_rung(
            self._config,
            self._sets,
            self._phase,
            population.split,
            entry.number,
            population.left_out,
        )
        return [self._of_objectives(ids) for ids in rungs]

    def _of_objectives(self, of_tasks: Mapping[str, T]) -> dict[str, T]:
        measured = self._config.evaluation.measured
        return {one.name: of_tasks[one.task] for one in measured if one.task in of_tasks}


def _aggregate(parts: Sequence[Any], aggregation: Aggregation | None) -> float:
    """What the items come to; NaN where that is nothing."""
    if aggregation is None:
        # of a group that is weighted by documents, a part names its task before the value
        values = [part[-1] if isinstance(part, tuple) else part for part in parts]
        numbers = [value for value in values if isinstance(value, float)]
        return math.fsum(numbers) / len(parts) if parts and len(numbers) == len(parts) else math.nan
    try:
        return aggregation(parts)
    except EvaluationError:
        return math.nan


def _by_objective(table: pa.Table) -> Parts:
    scored: Parts = {}
    columns = (table[name].to_pylist() for name in ("objective", "doc_id"))
    for objective, document, part in zip(*columns, parts_of(table), strict=True):
        scored.setdefault(objective, {})[document] = part
    return scored
