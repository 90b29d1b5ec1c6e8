"""Checks of one phase: its hash chain, and every candidate's files."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tsugiki.audit.finding import Finding, differs, digest_of, place
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import SPLITS, read_document_sets
from tsugiki.contracts.layout import CandidateFiles, RunFiles
from tsugiki.contracts.ledger import Entry, entries, evaluation_of, read_outcome
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Candidate, Ranked
from tsugiki.contracts.recipe import read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import EvaluationError
from tsugiki.evaluate.aggregation import Aggregation, Aggregations
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evaluate.rungs import documents_by_rung
from tsugiki.evolve.rank import fitness_of
from tsugiki.finalists.measures import parts_of
from tsugiki.parents.run_models import run_digests

Documents = Mapping[str, list[int]]
"""Document ids by objective."""

Hashes = Mapping[str, Mapping[int, str]]
"""Digest of each document's content, by objective and id."""


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
    evaluation = decided_evaluation(config, files.items)
    aggregations = Aggregations(evaluation)
    stage = config.stage(phase)
    weighed = stage is None or stage.strategy.weighs
    seen: set[str] = set()
    asked = _Asked(files, aggregations)
    hashes = _hashes(files, config)
    for entry in entries(files.phase(phase)):
        documents = _documents(files, config, phase, entry)
        own = config.own_documents(phase, entry.number)
        checked: set[str] = set() if own is not None else seen
        for candidate in entry.population.candidates:
            if candidate.recipe not in seen:
                folder = files.phase(phase).candidate(candidate.recipe)
                yield from _check_recipe(files, folder, candidate, digests)
        for ranked in entry.outcomes.ranked if entry.outcomes is not None else ():
            where = place(files, entry.files.outcomes)
            what = f"candidate {ranked.id} was scored by another evaluation than the first one"
            yield from differs(what, where, identity, ranked.outcome.evaluation)
            fitness = fitness_of(ranked.outcome, evaluation.objectives) if weighed else None
            what = f"candidate {ranked.id} has another fitness"
            yield from differs(what, where, fitness, ranked.fitness)
            if ranked.recipe not in checked:
                folder = files.phase(phase).candidate(ranked.recipe).of(own)
                folder = folder.at(ranked.outcome.rung)
                rung = ranked.outcome.rung
                its = documents[-1 if rung is None else rung]
                yield from _check_outcome(files, folder, ranked, its, hashes, aggregations)
                if own is not None and isinstance(ranked.outcome, Scored):
                    left_out = _documents_of(config, entry.population.left_out or {})
                    yield from asked.check(ranked.outcome, folder, left_out)
                    checked.add(ranked.recipe)
        seen |= {candidate.recipe for candidate in entry.population.candidates}


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


def _check_outcome(
    files: RunFiles,
    folder: CandidateFiles,
    ranked: Ranked,
    documents: Documents,
    hashes: Hashes,
    aggregations: Aggregations,
) -> Iterator[Finding]:
    where = place(files, folder.outcome)
    if not folder.outcome.is_file():
        yield Finding("the outcome is missing", where)
        return
    what = f"is not what the ledger says of candidate {ranked.id}"
    yield from differs(what, where, ranked.outcome, read_outcome(folder.outcome))
    if isinstance(ranked.outcome, Scored):
        its = (ranked.outcome, documents, hashes, aggregations)
        yield from _check_samples(files, folder.items, *its)


def _check_samples(
    files: RunFiles,
    path: Path,
    outcome: Scored,
    documents: Documents,
    hashes: Hashes,
    aggregations: Aggregations,
) -> Iterator[Finding]:
    where = place(files, path)
    if not path.is_file():
        yield Finding("the record of the items is missing", where)
        return
    yield from differs("has changed since it was scored", where, outcome.records, digest_of(path))
    table = read_samples(path, ["objective", "doc_id", "doc_hash", "value", "part"])
    columns = (table[name].to_pylist() for name in ("objective", "doc_id", "doc_hash"))
    for name, document, content in zip(*columns, strict=True):
        if (known := hashes.get(name, {}).get(document, content)) != content:
            what = f"document {document} of `{name}` has another content in {path.name}"
            yield Finding(what, files.items.name, content, known)
    scored = _by_objective(table)
    for name, measured in outcome.measured.items():
        of_name = scored.get(name, {})
        what = f"`{name}` has another number of items"
        yield from differs(what, where, measured.items, len(of_name))
        aggregation = aggregations.find(name, measured.aggregation)
        value = _aggregate(list(of_name.values()), aggregation)
        if not math.isclose(value, measured.value, rel_tol=1e-9, abs_tol=1e-12):
            called = measured.aggregation or "mean"
            yield Finding(f"`{name}` has another {called}", where, str(measured.value), str(value))
        if name in documents and sorted(of_name) != sorted(documents[name]):
            yield Finding(f"`{name}` was scored on documents of another set", where)


def _aggregate(parts: Sequence[Any], aggregation: Aggregation | None) -> float:
    """What the items come to; NaN where that is nothing."""
    if aggregation is None:
        numbers = [part for part in parts if isinstance(part, float)]
        return math.fsum(numbers) / len(parts) if parts and len(numbers) == len(parts) else math.nan
    try:
        return aggregation(parts)
    except EvaluationError:
        return math.nan


def _by_objective(table: pa.Table) -> dict[str, dict[int, Any]]:
    """Objective -> document -> what it contributes."""
    scored: dict[str, dict[int, Any]] = defaultdict(dict)
    columns = (table[name].to_pylist() for name in ("objective", "doc_id"))
    for objective, document, part in zip(*columns, parts_of(table), strict=True):
        scored[objective][document] = part
    return scored


class _Asked:
    """All that candidates were asked by generations that have documents of their own."""

    def __init__(self, files: RunFiles, aggregations: Aggregations) -> None:
        self._files, self._aggregations = files, aggregations
        self._parts: dict[str, dict[str, dict[int, Any]]] = {}

    def check(
        self, outcome: Scored, folder: CandidateFiles, left_out: Documents
    ) -> Iterator[Finding]:
        """Take what a generation asked, and compare with what its outcome says of all so far.

        Args:
            outcome: What came of a candidate.
            folder: Where that is.
            left_out: Documents that do not count any more.
        """
        where, recipe = place(self._files, folder.outcome), outcome.recipe
        if outcome.so_far is None:
            yield Finding("nothing is said of all documents so far", where)
        if outcome.so_far is None or not folder.items.is_file():
            return
        parts = self._parts.setdefault(recipe, {})
        table = read_samples(folder.items, ["objective", "doc_id", "value", "part"])
        for name, of_name in _by_objective(table).items():
            parts.setdefault(name, {}).update(of_name)
        for name, measured in outcome.so_far.measured.items():
            without = left_out.get(name, ())
            of_name = {doc: one for doc, one in parts.get(name, {}).items() if doc not in without}
            what = f"`{name}` so far has another number of items"
            yield from differs(what, where, len(of_name), measured.items)
            aggregation = self._aggregations.find(name, measured.aggregation)
            value = _aggregate(list(of_name.values()), aggregation)
            if not math.isclose(value, measured.value, rel_tol=1e-9, abs_tol=1e-12):
                yield Finding(
                    f"`{name}` so far has another value", where, str(value), str(measured.value)
                )


def _documents(files: RunFiles, config: RunConfig, phase: str, entry: Entry) -> list[Documents]:
    """What a generation is scored on, by rung."""
    if not files.items.is_file():
        return [{}]
    rungs = documents_by_rung(
        config,
        read_document_sets(files.items),
        phase,
        entry.population.split,
        entry.number,
        entry.population.left_out,
    )
    return [_documents_of(config, ids) for ids in rungs]


def _hashes(files: RunFiles, config: RunConfig) -> Hashes:
    """Of all documents that are divided, by objective."""
    if not files.items.is_file():
        return {}
    tasks = read_document_sets(files.items).tasks
    of_task = {
        task: {one.id: one.hash for split in SPLITS for one in getattr(sets, split)}
        for task, sets in tasks.items()
    }
    return {one.name: of_task.get(one.task, {}) for one in config.evaluation.measured}


def _documents_of(config: RunConfig, ids: Mapping[str, list[int]]) -> Documents:
    """By objective, of documents by task."""
    return {one.name: ids[one.task] for one in config.evaluation.measured if one.task in ids}
