"""By what two recipes, or two runs, differ: configuration, parents, genes, scores document by document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tsugiki.config.load import changed_keys
from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import Data
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import EVOLVED, FINALISTS, TEST, RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.locks import read_lock
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.contracts.samples import read_samples
from tsugiki.finalists.files import winning_recipe

Change = tuple[Any, Any]
"""Both values; None where there is none."""


class Compared(Data):
    """Two winners' answers to the test documents that both were asked."""

    values: Change
    """Each one's value on its own test documents."""
    documents: int
    """How many both have, by the digest of their content."""
    first_better: tuple[str, ...]
    """Digests of documents on which the first has the better number, by the first run's goal."""
    second_better: tuple[str, ...]
    """Of documents on which the second has."""


class Differences(Data):
    """Nothing where the two are equal."""

    configuration: dict[str, Change] = {}
    """By key; of runs."""
    parents: dict[str, Change] = {}
    """By name: digests and revisions; of runs."""
    recipe: dict[str, Change] = {}
    """By place in the recipe, or in those of the two winners, such as `parameters.weight.values.a.block.0`."""
    scores: dict[str, Compared] = {}
    """By objective and monitor; of runs."""


def diff_recipes(first: AnyRecipe, second: AnyRecipe) -> Differences:
    """By what two recipes differ."""
    old, new = (dict(flat(one.model_dump(mode="json"))) for one in (first, second))
    return Differences(recipe=_changes(old, new))


def diff_runs(first: tuple[RunFiles, RunConfig], second: tuple[RunFiles, RunConfig]) -> Differences:
    """By what two runs differ, as far as both have come.

    Raises:
        LineageError: a file of one of them is damaged.
    """
    (files, config), (others, other) = first, second
    locks = [
        {name: (one.digest, one.commit) for name, one in read_lock(each.parents).parents.items()}
        if each.parents.is_file()
        else {}
        for each in (files, others)
    ]
    one, two = _winning(files), _winning(others)
    recipe = {} if one is None or two is None else diff_recipes(one, two).recipe
    return Differences(
        configuration=dict(changed_keys(config, other)),
        parents=_changes(*locks),
        recipe=recipe,
        scores=dict(_scores(_tested(files), _tested(others), _signs(files, config))),
    )


def _winning(files: RunFiles) -> AnyRecipe | None:
    scored = files.phase(FINALISTS).generation(0).outcomes.is_file()
    return winning_recipe(files) if scored else None


def _tested(files: RunFiles) -> dict[str, tuple[float, dict[str, float | None]]]:
    """By objective, the winner's value and its number for each test document, by digest."""
    phase = files.phase(TEST)
    for entry in entries(phase):
        for candidate, one in zip(entry.population.candidates, entry.ranked, strict=False):
            if candidate.origin.get("kind") == EVOLVED and isinstance(one.outcome, Scored):
                numbers: dict[str, dict[str, float | None]] = {}
                columns = ["objective", "doc_hash", "value"]
                for row in read_samples(phase.candidate(one.recipe).items, columns).to_pylist():
                    numbers.setdefault(row["objective"], {})[row["doc_hash"]] = row["value"]
                measured = one.outcome.measured
                return {name: (measured[name].value, numbers.get(name, {})) for name in measured}
    return {}


def _signs(files: RunFiles, config: RunConfig) -> dict[str, float]:
    """By objective and monitor, 1 if larger is better, -1 if smaller is."""
    goals = read_document_sets(files.items).goals if files.items.is_file() else {}
    return {one.name: one.sign for one in config.evaluation.with_goals(goals).measured}


def _scores(
    first: Mapping[str, tuple[float, dict[str, float | None]]],
    second: Mapping[str, tuple[float, dict[str, float | None]]],
    signs: Mapping[str, float],
) -> Iterator[tuple[str, Compared]]:
    for name in first:
        if name not in second:
            continue
        (value, numbers), (other, others) = first[name], second[name]
        sign = signs[name]
        pairs = {
            document: (sign * one, sign * two)
            for document, one in numbers.items()
            if one is not None and (two := others.get(document)) is not None
        }
        yield (
            name,
            Compared(
                values=(value, other),
                documents=len(pairs),
                first_better=tuple(doc for doc, (one, two) in pairs.items() if one > two),
                second_better=tuple(doc for doc, (one, two) in pairs.items() if two > one),
            ),
        )


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value by its place, such as `a.b`; models in a recipe by their names, hops of a path by their numbers."""
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        inner = {str(one.get("name", place)): one for place, one in enumerate(value)}.items()
    else:
        yield key, value
        return
    for name, one in inner:
        yield from flat(one, f"{key}.{name}" if key else str(name))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    keys = dict.fromkeys([*old, *new])
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def render(found: Differences) -> str:
    """The differences as text; says so where there are none."""
    lines: list[str] = []
    for title, changes in (
        ("configuration", found.configuration),
        ("parents", found.parents),
        ("recipe", found.recipe),
    ):
        if changes:
            lines.append(title)
            lines += [
                f"  {key}: {_text(old)} -> {_text(new)}" for key, (old, new) in changes.items()
            ]
    if found.scores:
        lines.append("test scores of the winners")
    for name, one in found.scores.items():
        lines.append(
            f"  {name}: {_text(one.values[0])} -> {_text(one.values[1])}; of {one.documents} documents "
            f"that both answered, the first is better on {len(one.first_better)}, the second on "
            f"{len(one.second_better)}"
        )
        for which, documents in (("first", one.first_better), ("second", one.second_better)):
            lines += [f"    {which} better: {document[:16]}" for document in documents]
    return "\n".join(lines or ["no difference"])


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list):
        return " ".join(_text(one) for one in value if one is not None)
    return "absent" if value is None else str(value)
