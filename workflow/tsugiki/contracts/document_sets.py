"""items.json: which documents are for search, validation and test, disjoint by construction, and checked."""

from __future__ import annotations

from datetime import date as calendar_date
from typing import Literal, get_args

from pydantic import (
    model_validator,
)

from tsugiki.canonical import digest
from tsugiki.contracts.data import Data, IfAny, IfSet
from tsugiki.json_files import reader

Goal = Literal["maximize", "minimize"]
Split = Literal["search", "validation", "test"]
Version = Literal[1, 2, 3]
"""How documents were divided. 1: each task by itself; identities of scores name no threads. 2: all tasks
together, so that no document is in different sets of two tasks. 3: and in an order that does not depend
on the tasks' names."""
SPLITS: tuple[Split, ...] = get_args(Split)


def sign_of(goal: Goal | None) -> float:
    """1 if larger is better, or nothing is said, -1 if smaller is."""
    return -1.0 if goal == "minimize" else 1.0


class Document(Data):
    """One document of a task."""

    id: int
    """Its place in lm-eval's list."""
    hash: str
    """SHA-256 of its content."""
    key: IfSet[str | None] = None
    """What tells it apart in place of its content, if the configuration names a column for that: of its
    own task, or of another one that has a document of equal content."""


class TaskDocuments(Data):
    """The three sets of one task, each ordered by document id."""

    search: tuple[Document, ...] = ()
    validation: tuple[Document, ...] = ()
    test: tuple[Document, ...]

    @model_validator(mode="after")
    def _sets_are_disjoint(self) -> TaskDocuments:
        seen: dict[str, str] = {}
        for split in SPLITS:
            for document in getattr(self, split):
                if document.hash in seen:
                    raise ValueError(
                        f"document {document.id} of {split} is also in {seen[document.hash]}"
                    )
                seen[document.hash] = split
        return self


class DocumentSets(Data):
    """items.json."""

    version: Version = 1
    tasks: dict[str, TaskDocuments]
    date: IfSet[calendar_date | None] = None
    """The date that chat templates write; absent where none is used, and in older files."""
    goals: IfAny[dict[str, Goal]] = {}
    """Which way objectives are better that have no `goal` in the configuration, as their tasks say;
    absent in runs from before tasks were asked, which took all of them for `maximize`."""

    @model_validator(mode="after")
    def _sets_of_all_tasks_are_disjoint(self) -> DocumentSets:
        seen: dict[str, str] = {}
        for task, sets in self.tasks.items() if self.version > 1 else ():
            for split in SPLITS:
                for document in getattr(sets, split):
                    if seen.setdefault(document.key or document.hash, split) != split:
                        raise ValueError(
                            f"document {document.id} of {task}, in {split}, is also in another "
                            "task's other set"
                        )
        return self

    def ids(self, split: Split) -> dict[str, list[int]]:
        """Document ids of a split, by task; tasks without any are left out."""
        found = {
            task: [document.id for document in getattr(sets, split)]
            for task, sets in self.tasks.items()
        }
        return {task: ids for task, ids in found.items() if ids}

    def hashes(self) -> dict[str, dict[int, str]]:
        """SHA-256 of each document, by task and id."""
        return {
            task: {one.id: one.hash for split in SPLITS for one in getattr(sets, split)}
            for task, sets in self.tasks.items()
        }

    def digest(self, split: Split) -> str:
        """Identity of a split's documents."""
        return digest(
            {
                task: [[document.id, document.hash] for document in getattr(sets, split)]
                for task, sets in self.tasks.items()
            }
        )


read_document_sets = reader(
    DocumentSets.model_validate_json,
    "division of the items",
    missing="the items are not divided yet",
    make="run `tsugiki items` with the run's configuration",
    mend="remove the file and run the workflow again",
)
"""Read items.json; LineageError where it is missing or not valid."""
