"""Dividing documents into those for search, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from tsugiki.config.evaluation import Evaluation
from tsugiki.config.items import Items
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import (
    SPLITS,
    Document,
    DocumentSets,
    Split,
    TaskDocuments,
    Version,
    read_document_sets,
)
from tsugiki.errors import ConfigError
from tsugiki.keyed import key64


@dataclass(frozen=True)
class SourceDocuments:
    """What tells the documents of a source (a task, or a file of documents) apart, in their order."""

    hashes: Sequence[str]
    """SHA-256 of the content of each."""
    keys: Sequence[str] | None = None
    """What tells each apart in place of its content, where that is configured."""
    search_only: AbstractSet[int] = frozenset()
    """Places of those that are for the search alone; the others are then for validation and test. A document
    that stands among both is one of the others."""


def divide_for(
    config: RunConfig, documents: Mapping[str, SourceDocuments], version: Version = 3
) -> DocumentSets:
    """Divide the documents of a run's tasks, or of those that are on this machine; see `divide`."""
    return divide(
        documents,
        objectives={one.task for one in config.evaluation.objectives} & documents.keys(),
        sizes=config.evaluation.items,
        seed=config.seed,
        version=version,
    )


def divide(
    documents: Mapping[str, SourceDocuments],
    *,
    objectives: AbstractSet[str],
    sizes: Items,
    seed: int,
    version: Version = 3,
) -> DocumentSets:
    """Divide the documents of all tasks together.

    A document that several tasks have is in the same set for all of them, or unused. Documents are
    ordered by a keyed hash of their content, so that equal documents of a task stand together (only
    the first is used), and adding documents to a task moves few from one set to another. In that
    order each one goes to the first of search, validation and test that all its tasks have room in.
    What a task is called has no part in it.

    Args:
        documents: By task.
        objectives: Tasks that are optimised; the others, monitors, have test documents only, and may
            have fewer than asked for.
        sizes: Sizes of the sets.
        seed: The run's seed.
        version: How: today's way, or that of a run that was divided before.

    Raises:
        ConfigError: a task has too few distinct documents, or too few that other tasks leave.
    """
    named = _keys_of_all(documents)
    distinct = {
        task: _distinct(of_task.hashes, named[task]) for task, of_task in sorted(documents.items())
    }
    pools = [
        pool
        for task, of_task in distinct.items()
        for pool in _pools(task, of_task, documents[task].search_only, task in objectives, sizes)
    ]
    known = {pool.name: pool.documents for pool in pools}
    rooms = {pool.name: pool.room for pool in pools}
    wanted = {pool.name for pool in pools if pool.task in objectives}
    faults = []
    for pool in pools:
        if pool.name in wanted and len(pool.documents) < sum(pool.room.values()):
            copies = len(documents[pool.task].hashes) - len(distinct[pool.task])
            got = f"{len(pool.documents)} distinct documents{note_copies(copies)}"
            faults.append(_too_few(pool.name, pool.room, got))
    if len(faults) > 1:
        raise ConfigError(
            f"{len(faults)} tasks have too few distinct documents",
            got="\n".join(["", *map(str, faults)]),
        )
    if faults:
        raise faults[0]
    divided: dict[str, Sets] = {}
    for group in _that_share(known) if version > 1 else [[task] for task in known]:
        optimised = [task for task in group if task in wanted]
        before = [] if version > 2 else (optimised or group)[:1]  # a task's name once had a part
        keys = {key for task in group for key in known[task]}
        order = sorted(keys, key=lambda key: (key64("items", seed, *before, key), key))
        split_of = _assign(order, {task: known[task] for task in optimised}, rooms)
        for task in group:
            # what no objective uses is left for monitors to be tested on
            left: dict[str, Split] = {} if task in wanted else dict.fromkeys(order, "test")
            divided[task] = _take(task, order, known[task], left | split_of, rooms[task])
    sets: dict[str, Sets] = {}
    for pool in pools:
        sets.setdefault(pool.task, {}).update(divided[pool.name])
    return DocumentSets(
        version=version, tasks={task: TaskDocuments(**sets[task]) for task in distinct}
    )


def note_copies(copies: int) -> str:
    """In words, that a task has documents more than once."""
    return f" ({copies} more equal others, and are left out)" if copies else ""


Sets = dict[Split, tuple[Document, ...]]
Room = Mapping[Split, int]
"""Sizes of the sets that a task has."""


@dataclass(frozen=True)
class _Pool:
    """Documents of a task that any of some sets may have."""

    task: str
    name: str
    documents: dict[str, Document]
    """By what tells them apart."""
    room: Room


def _pools(
    task: str,
    documents: dict[str, Document],
    search_only: AbstractSet[int],
    optimised: bool,
    sizes: Items,
) -> list[_Pool]:
    """A task's documents in one pool, or in two where the search has some of its own."""
    room: Room = {split: getattr(sizes, split) for split in SPLITS if optimised or split == "test"}
    if not search_only:
        return [_Pool(task, task, documents, room)]
    alone = {key: one for key, one in documents.items() if one.id in search_only}
    others = {key: one for key, one in documents.items() if key not in alone}
    return [
        _Pool(task, f"{task} (training split)", alone, {"search": sizes.search}),
        _Pool(
            task, task, others, {split: size for split, size in room.items() if split != "search"}
        ),
    ]


def _keys_of_all(documents: Mapping[str, SourceDocuments]) -> dict[str, Sequence[str | None]]:
    """Keys of the documents of all tasks; those of a task without keys have one by their content."""
    by_content: dict[str, str] = {}
    for _, of_task in sorted(documents.items()):
        for value, key in zip(of_task.hashes, of_task.keys or (), strict=of_task.keys is not None):
            by_content.setdefault(value, key)
    return {
        task: of_task.keys or [by_content.get(value) for value in of_task.hashes]
        for task, of_task in documents.items()
    }


def _distinct(hashes: Sequence[str], keys: Sequence[str | None]) -> dict[str, Document]:
    """A task's documents by what tells them apart, the first of equal ones."""
    distinct: dict[str, Document] = {}
    seen: set[str] = set()
    for index, (value, named) in enumerate(zip(hashes, keys, strict=True)):
        key = value if named is None else named
        if key not in distinct and value not in seen:
            distinct[key] = Document(id=index, hash=value, key=named)
            seen.add(value)
    return distinct


def _that_share(documents: Mapping[str, Mapping[str, Document]]) -> list[list[str]]:
    """Tasks in groups that have no document in common."""
    groups: list[tuple[list[str], set[str]]] = []
    for task, of_task in documents.items():
        names, known = [task], set(of_task)
        apart = []
        for group in groups:
            if known.isdisjoint(group[1]):
                apart.append(group)
            else:
                names += group[0]
                known |= group[1]
        groups = [*apart, (names, known)]
    return [sorted(names) for names, _ in groups]


def _take(
    task: str,
    order: Sequence[str],
    documents: Mapping[str, Document],
    split_of: Mapping[str, Split],
    room: Room,
) -> Sets:
    """A task's sets: the first documents in the order that belong to each."""
    sets = {
        split: [documents[key] for key in order if key in documents and split_of.get(key) == split]
        for split in room
    }
    if "test" in sets and not sets["test"]:
        raise _too_few(task, {}, "none that other tasks do not use in other sets")
    return {
        split: tuple(sorted(found[: room[split]], key=lambda one: one.id))
        for split, found in sets.items()
    }


def _assign(
    order: Sequence[str], documents: Mapping[str, Mapping[str, Document]], rooms: Mapping[str, Room]
) -> dict[str, Split]:
    """The set of each document that one is needed of, by key.

    Raises:
        ConfigError: the tasks' documents cannot be divided so.
    """
    try:
        return _assign_in(order, documents, rooms)
    except ConfigError:
        # those of several tasks first: the others fit anywhere
        owners = {key: sum(key in of_task for of_task in documents.values()) for key in order}
        return _assign_in(sorted(order, key=lambda key: -owners[key]), documents, rooms)


def _assign_in(
    order: Sequence[str], documents: Mapping[str, Mapping[str, Document]], rooms: Mapping[str, Room]
) -> dict[str, Split]:
    tasks = list(documents)
    room: dict[str, dict[Split, int]] = {
        task: {split: rooms[task].get(split, 0) for split in SPLITS} for task in tasks
    }
    spare = {task: len(documents[task]) - sum(room[task].values()) for task in tasks}
    split_of: dict[str, Split] = {}
    for key in order:
        owners = [task for task in tasks if key in documents[task]]
        takers = {split: [task for task in owners if room[task][split]] for split in SPLITS}
        # whoever does not take it can spare it, or nobody may put it there
        possible = [
            split
            for split in SPLITS
            if takers[split] and all(spare[task] for task in owners if task not in takers[split])
        ]
        split = max(possible, key=lambda one: len(takers[one]), default=None)
        for task in owners:
            if split is not None and task in takers[split]:
                room[task][split] -= 1
            elif spare[task]:
                spare[task] -= 1
            else:
                raise _too_few(
                    task,
                    rooms[task],
                    f"documents that {', '.join(one for one in owners if one != task)} needs in "
                    "other sets",
                )
        if split is not None:
            split_of[key] = split
    return split_of


def _too_few(task: str, needed: Room, got: str) -> ConfigError:
    sets = " + ".join(split for split in needed if needed[split])
    return ConfigError(
        f"task {task} has too few distinct documents",
        where="evaluation.items",
        expected=f"{sets} = {sum(needed.values())}" if needed else "test documents",
        got=got,
        fix="ask for fewer, or use a larger task",
    )


def decided_evaluation(config: RunConfig, path: Path) -> Evaluation:
    """A run's evaluation with every goal decided: by the configuration, else by its items.json.

    Raises:
        LineageError: the file is not valid.
    """
    return config.evaluation.with_goals(read_document_sets(path).goals if path.is_file() else {})
