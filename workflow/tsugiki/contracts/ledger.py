"""Reading the ledger: the generations of a phase, in order, from their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tsugiki.contracts.layout import GenerationFiles, PhaseFiles, RunFiles
from tsugiki.contracts.outcome import OUTCOME
from tsugiki.contracts.population import Generation, Population, Ranked
from tsugiki.errors import LineageError
from tsugiki.json_files import reader


@dataclass(frozen=True)
class Entry:
    """One generation as far as it has come."""

    number: int
    files: GenerationFiles
    population: Population
    outcomes: Generation | None
    """None until all its candidates are scored."""

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """What came of its candidates; nothing until all are scored."""
        return () if self.outcomes is None else self.outcomes.ranked


read_population = reader(Population.model_validate_json, "population")
"""Read population.json; LineageError where it is missing or no population."""
read_generation = reader(Generation.model_validate_json, "ledger entry")
"""Read outcomes.json; LineageError where it is missing or no ledger entry."""
read_outcome = reader(OUTCOME.validate_json, "outcome")
"""Read outcome.json; LineageError where it is missing or no outcome."""


def entries(phase: PhaseFiles) -> Iterator[Entry]:
    """Yield the generations that exist, in order; each is read when it is asked for.

    Raises:
        LineageError: a file is damaged.
    """
    number = 0
    while (files := phase.generation(number)).population.is_file():
        outcomes = read_generation(files.outcomes) if files.outcomes.is_file() else None
        yield Entry(number, files, read_population(files.population), outcomes)
        number += 1


def completed(found: Iterable[Entry]) -> list[Generation]:
    """What came of those generations that are scored and have candidates, in order."""
    return [one.outcomes for one in found if one.outcomes is not None and one.outcomes.ranked]


def scored_generations(phase: PhaseFiles) -> list[Generation]:
    """The completed generations of a phase, in order."""
    return completed(entries(phase))


def evaluation_of(phase: PhaseFiles) -> str | None:
    """Identity of the evaluation that scored a phase, by its first ranked generation; None before it.

    Raises:
        LineageError: the ledger's entry is damaged.
    """
    first = phase.generation(0).outcomes
    ranked = read_generation(first).ranked if first.is_file() else ()
    return ranked[0].outcome.evaluation if ranked else None


def require_one_evaluation(found: Iterable[str], before: str | None, *, where: str) -> None:
    """Scores are compared only if one evaluation made them all.

    `before` is that of the generations before; None if there are none.

    Raises:
        LineageError: there is more than one.
    """
    identities = {*found, *([before] if before else [])}
    if len(identities) < 2:
        return
    raise LineageError(
        "candidates that are compared would be scored by different evaluations",
        where=where,
        expected=f"that of the generations before, {before}"
        if before
        else "one evaluation for all",
        got=", ".join(sorted(identities - {before})),
        fix="a task's files, the version of tsugiki or a library, the kind of device or, on a processor, "
        "the number of `threads` is another one: put back what was there and give the same command again, "
        "or set another `name` for a new run",
    )


def new_recipes(found: Iterable[Entry]) -> list[list[str]]:
    """The recipes of each generation that no earlier one had: those that it had to score."""
    seen: set[str] = set()
    new: list[list[str]] = []
    for entry in found:
        recipes = dict.fromkeys(candidate.recipe for candidate in entry.population.candidates)
        new.append([recipe for recipe in recipes if recipe not in seen])
        seen.update(recipes)
    return new


def existing_phases(files: RunFiles, names: Iterable[str]) -> list[str]:
    """Those of the run's phases that have begun."""
    return [name for name in names if files.phase(name).generation(0).population.is_file()]
