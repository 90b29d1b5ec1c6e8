"""Which documents are for search, validation and test: disjoint by construction, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date as calendar_date
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from tsugiki.canonical import digest, pretty_json
from tsugiki.config.evaluation import Items
from tsugiki.errors import ConfigError
from tsugiki.json_files import read_json
from tsugiki.keyed import key64
from tsugiki.recipe.recipe import Data

Split = Literal["search", "validation", "test"]


class Document(Data):
    """One document of a task."""

    id: int
    """Its place in lm-eval's list."""
    hash: str
    """SHA-256 of its content."""


class TaskItems(Data):
    """The three sets of one task, each ordered by document id."""

    search: tuple[Document, ...] = ()
    validation: tuple[Document, ...] = ()
    test: tuple[Document, ...]

    @model_validator(mode="after")
    def _sets_are_disjoint(self) -> TaskItems:
        seen: dict[str, str] = {}
        for split in ("search", "validation", "test"):
            for document in getattr(self, split):
                if document.hash in seen:
                    raise ValueError(
                        f"document {document.id} of {split} is also in {seen[document.hash]}"
                    )
                seen[document.hash] = split
        return self


class ItemSets(Data):
    """items.json."""

    version: Literal[1] = 1
    tasks: dict[str, TaskItems]
    date: calendar_date | None = None
    """The date that chat templates write; absent where none is used, and in older files."""

    def ids(self, split: Split) -> dict[str, list[int]]:
        """Document ids of a split, by task; tasks without any are left out."""
        found = {
            task: [document.id for document in getattr(sets, split)]
            for task, sets in self.tasks.items()
        }
        return {task: ids for task, ids in found.items() if ids}

    def digest(self, split: Split) -> str:
        """Identity of a split's documents."""
        return digest(
            {
                task: [[document.id, document.hash] for document in getattr(sets, split)]
                for task, sets in self.tasks.items()
            }
        )

    def to_json(self) -> bytes:
        """The content of items.json."""
        return pretty_json(self.model_dump(mode="json", exclude_none=True))


def divide(
    hashes: Sequence[str],
    *,
    task: str,
    sizes: Items,
    seed: int,
    objective: bool,
) -> TaskItems:
    """Divide a task's documents.

    Documents are ordered by a keyed hash of their content, so that equal documents stand together
    (only the first is used), and adding documents to a task moves few from one set to another.

    Args:
        hashes: SHA-256 of every document, in lm-eval's order.
        task: The task's name.
        sizes: Sizes of the sets.
        seed: The run's seed.
        objective: Whether the task is optimised; a monitor has test documents only, and may have
            fewer than asked for.

    Raises:
        ConfigError: the task has too few distinct documents.
    """
    distinct: dict[str, int] = {}
    for index, value in enumerate(hashes):
        distinct.setdefault(value, index)
    ordered = sorted(distinct, key=lambda value: (key64("items", seed, task, value), value))
    documents = [Document(id=distinct[value], hash=value) for value in ordered]
    if not objective:
        return TaskItems(test=_by_id(documents[: sizes.test]))
    needed = sizes.search + sizes.validation + sizes.test
    if len(documents) < needed:
        raise ConfigError(
            f"task {task} has too few distinct documents",
            where="evaluation.items",
            expected=f"search + validation + test = {needed}",
            got=f"{len(documents)} distinct documents",
            fix="ask for fewer, or use a larger task",
        )
    first, second = sizes.search, sizes.search + sizes.validation
    return TaskItems(
        search=_by_id(documents[:first]),
        validation=_by_id(documents[first:second]),
        test=_by_id(documents[second:needed]),
    )


def divide_all(
    hashes: Mapping[str, Sequence[str]], *, objectives: set[str], sizes: Items, seed: int
) -> ItemSets:
    """Divide the documents of several tasks; `objectives` names those that are optimised."""
    return ItemSets(
        tasks={
            task: divide(of_task, task=task, sizes=sizes, seed=seed, objective=task in objectives)
            for task, of_task in sorted(hashes.items())
        }
    )


def read_items(path: Path) -> ItemSets:
    """Read items.json.

    Raises:
        LineageError: the file is missing or not valid.
    """
    return read_json(
        path,
        ItemSets.model_validate_json,
        "division of the items",
        missing="the items are not divided yet",
        make="run `tsugiki items` with the run's configuration",
        mend="remove the file and run the workflow again",
    )


def _by_id(documents: Sequence[Document]) -> tuple[Document, ...]:
    return tuple(sorted(documents, key=lambda document: document.id))
