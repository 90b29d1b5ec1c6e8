"""Which files of a run are there: what is missing that others were made from, what does not belong.

A run under way lacks what comes later. So a file is only missed where another one that was made from it is
there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tsugiki.audit.finding import Finding, differs, digest_of, place
from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import TEST, CandidateFiles, PhaseFiles, RunFiles
from tsugiki.contracts.ledger import Entry, entries, existing_phases
from tsugiki.contracts.population import Generation
from tsugiki.contracts.recipe import read_recipe
from tsugiki.evaluate.shards import jobs_that_scored
from tsugiki.json_files import read_json

_OF_CANDIDATE = (
    r"(?:recipe\.json|(?:gen-\d+/)?(?:rung-\d+/)?(?:outcome\.json|items\.parquet|cost\.json))"
)
_OF_GENERATION = (
    r"(?:(?:population|outcomes|tracked|rung-\d+)\.json|state\.npz"
    r"|(?:rung-\d+/)?evaluated-\d+\.json|weights-\d+/.+)"
)
KNOWN = re.compile(
    rf"space\.json|decomposed\.json|best\.lock\.json|best/.+|gen-\d+/{_OF_GENERATION}"
    rf"|candidates/cand-[0-9a-f]{{12}}/{_OF_CANDIDATE}"
)
"""Places of files in a phase's folder."""


def check_presence(files: RunFiles, config: RunConfig) -> Iterator[Finding]:
    """What the run's own files were made from is there."""
    begun = existing_phases(files, config.phases)
    if begun and not files.items.is_file():
        yield Finding("the division of the documents is missing", place(files, files.items))
    tested = files.phase(TEST).generation(0).outcomes.is_file()
    later = files.report.is_file() or (tested and files.best.is_dir())
    if later and not files.final.is_file():
        yield Finding("the final table is missing", place(files, files.final))


def check_places(files: RunFiles, phase: str, config: RunConfig) -> Iterator[Finding]:
    """A phase holds all generations up to its last one, and no file but those that a run writes.

    What a candidate of a stage scored is in the ledger. Of finalists and rows of the table, which are chosen
    anew when a search goes on, those that were not chosen again may be left.
    """
    folder = files.phase(phase)
    known = list(entries(folder))
    for path in _visible(folder.root):
        if not KNOWN.fullmatch(path.relative_to(folder.root).as_posix()):
            yield Finding("no run has such a file", place(files, path))
    numbers = [int(one.name[4:]) for one in folder.root.glob("gen-*") if any(_visible(one))]
    for number in range(len(known), max(numbers, default=-1) + 1):
        where = place(files, folder.generation(number).population)
        yield Finding("the population is missing", where)
    for one in known:
        there = (
            one.files.tracked.is_file() or folder.generation(one.number + 1).population.is_file()
        )
        if one.outcomes is None and there:
            yield Finding("the ledger entry is missing", place(files, one.files.outcomes))
    recipes = {one.recipe for entry in known for one in entry.population.candidates}
    for root in sorted((folder.root / "candidates").glob("cand-*")):
        if any(folder.candidate(recipe).root == root for recipe in recipes):
            continue
        yield from _check_left(files, root, searched=config.stage(phase) is not None)


def _check_left(files: RunFiles, root: Path, *, searched: bool) -> Iterator[Finding]:
    """A candidate that no generation has."""
    candidate = CandidateFiles(root)
    if searched and any(root.rglob(candidate.outcome.name)):
        yield Finding("it was scored, but no generation has it", place(files, root))
    if candidate.recipe.is_file():
        got = PhaseFiles(root.parents[1]).candidate(read_recipe(candidate.recipe).digest).root.name
        yield from differs("is another recipe", place(files, candidate.recipe), root.name, got)


def check_marks(files: RunFiles, phase: str) -> Iterator[Finding]:
    """The marks that a generation is scored and tracked name its population, its outcomes and its entry.

    Marks of a split that was given up before its end may lie beside those that count.
    """
    folder = files.phase(phase)
    marked = any(files.root.glob("*/gen-*/evaluated-*.json"))
    for entry in entries(folder):
        if entry.outcomes is None:
            continue
        if marked and entry.outcomes.ranked:
            yield from _check_jobs(files, folder, entry, entry.outcomes)
        if (tracked := entry.files.tracked).is_file():
            said = read_json(tracked, json.loads, "mark of what MLflow has").get("outcomes")
            ledger = digest_file(entry.files.outcomes)
            yield from differs("is of another ledger entry", place(files, tracked), ledger, said)


def _check_jobs(
    files: RunFiles, folder: PhaseFiles, entry: Entry, outcomes: Generation
) -> Iterator[Finding]:
    places = {
        one.recipe: folder.candidate(one.recipe).of(outcomes.own_documents).at(one.outcome.rung)
        for one in outcomes.ranked
    }
    numbers = count() if (jobs := jobs_that_scored(entry.files)) is None else range(jobs)
    for job in numbers:
        path = entry.files.evaluated(job)
        where = place(files, path)
        if not path.is_file():
            yield Finding("the mark that a job has scored its candidates is missing", where)
            return
        mark = read_json(path, json.loads, "mark of a job")
        population = digest_file(entry.files.population)
        what = "marks another population as scored"
        yield from differs(what, where, population, mark.get("population"))
        for recipe, said in mark.get("outcomes", {}).items():
            its = digest_of(places[recipe].outcome) if recipe in places else "no such candidate"
            yield from differs(f"marks another outcome of {recipe[:12]}", where, its, said)
            if recipe not in places:
                return


def _visible(root: Path) -> Iterator[Path]:
    """Files in a folder; hidden ones are temporary, or Snakemake's."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and not hidden:
            yield path
