"""Which documents are for search, validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.canonical import digest_bytes
from tsugiki.config.items import Items
from tsugiki.contracts.document_sets import (
    SPLITS,
    Document,
    DocumentSets,
    Split,
    TaskDocuments,
    read_document_sets,
)
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.documents import SourceDocuments, divide
from tsugiki.keyed import key64

SIZES = Items(search=10, validation=5, test=20)


def hashes(count: int) -> list[str]:
    """Hashes of distinct documents."""
    return [digest_bytes(str(index).encode()) for index in range(count)]


def divided(
    tasks: Mapping[str, list[str]], keys: Mapping[str, list[str]] | None = None, **settings: Any
) -> DocumentSets:
    """The division of documents by their hashes, or by keys."""
    known = {task: SourceDocuments(of, (keys or {}).get(task)) for task, of in tasks.items()}
    return divide(known, **settings)


def divide_one(
    of_task: list[str], *, task: str, sizes: Items, seed: int, objective: bool
) -> TaskDocuments:
    """The sets of a task that is the only one."""
    objectives = {task} if objective else set()
    return divided({task: of_task}, objectives=objectives, sizes=sizes, seed=seed).tasks[task]


def halves(found: TaskDocuments) -> list[set[str]]:
    """Hashes of each set."""
    return [{one.hash for one in part} for part in (found.search, found.validation, found.test)]


@given(seed=st.integers(0, 2**32), copies=st.integers(0, 30))
def test_sets_are_disjoint_whatever_the_seed_and_repeats(seed: int, copies: int) -> None:
    """Also where the task repeats documents."""
    of_task = hashes(40) + hashes(copies)
    found = divide_one(of_task, task="t", sizes=SIZES, seed=seed, objective=True)
    search, validation, test = halves(found)
    assert (len(search), len(validation), len(test)) == (10, 5, 20)
    assert len(search | validation | test) == 35
    for part in (found.search, found.validation, found.test):
        assert [one.id for one in part] == sorted(one.id for one in part)
        assert all(of_task[one.id] == one.hash for one in part)


def test_of_equal_documents_only_the_first_is_used() -> None:
    """A repeated document would be in two sets at once."""
    of_task = hashes(35)
    repeated = [of_task[3], *of_task]
    found = divide_one(repeated, task="t", sizes=SIZES, seed=1, objective=True)
    ids = {
        one.hash: one.id for part in (found.search, found.validation, found.test) for one in part
    }
    assert ids[of_task[3]] == 0


def test_the_order_of_documents_does_not_matter() -> None:
    """A task that is shuffled upstream keeps its sets."""
    of_task = hashes(60)
    forward = divide_one(of_task, task="t", sizes=SIZES, seed=1, objective=True)
    backward = divide_one(of_task[::-1], task="t", sizes=SIZES, seed=1, objective=True)
    assert halves(forward) == halves(backward)


def test_a_document_more_moves_few_between_the_sets() -> None:
    """At each of the two borders, and at the end, at most one document is pushed over."""
    before = halves(divide_one(hashes(60), task="t", sizes=SIZES, seed=1, objective=True))
    after = halves(divide_one(hashes(61), task="t", sizes=SIZES, seed=1, objective=True))
    assert all(len(old - new) <= 1 for old, new in zip(before, after, strict=True))


def test_the_seed_makes_other_sets_and_a_tasks_name_does_not() -> None:
    """Equal documents have equal places, whatever the task is called."""
    drawn = [
        halves(divide_one(hashes(60), task=task, sizes=SIZES, seed=seed, objective=True))
        for task, seed in (("t", 1), ("t", 2), ("u", 1))
    ]
    assert drawn[0] != drawn[1]
    assert drawn[0] == drawn[2]


def shared(sets: DocumentSets) -> list[tuple[str, str, str, Split, Split]]:
    """Documents that are in different sets of two tasks, by what tells them apart."""
    places = [
        (one.key or one.hash, task, split)
        for task, of_task in sets.tasks.items()
        for split in SPLITS
        for one in getattr(of_task, split)
    ]
    return [
        (key, first, second, one, other)
        for key, first, one in places
        for same, second, other in places
        if key == same and one != other
    ]


def test_two_variants_of_one_data_set_have_the_same_documents_in_each_set() -> None:
    """Divided each by itself, many documents that one is searched on are in the other's test set."""
    sizes = Items(search=20, validation=20, test=60)
    variants = {"t": hashes(100), "a": hashes(100)[::-1]}
    for seed in range(5):
        sets = divided(variants, objectives=set(variants), sizes=sizes, seed=seed)
        assert shared(sets) == []
        assert halves(sets.tasks["t"]) == halves(sets.tasks["a"])
        assert [len(part) for part in halves(sets.tasks["a"])] == [20, 20, 60]


def test_monitors_are_not_tested_on_what_an_objective_is_searched_on() -> None:
    """They have the objective's test documents, and those that it does not use."""
    tasks = {"t": hashes(60), "monitor": hashes(60)}
    sets = divided(tasks, objectives={"t"}, sizes=SIZES, seed=1)
    search, validation, test = halves(sets.tasks["t"])
    (of_monitor,) = halves(sets.tasks["monitor"])[2:]
    assert len(of_monitor) == len(test) == 20
    assert not of_monitor & (search | validation)
    with pytest.raises(ConfigError, match="task monitor has too few"):
        divided(tasks | {"monitor": [min(search)]}, objectives={"t"}, sizes=SIZES, seed=1)


@given(
    seed=st.integers(0, 2**32),
    parts=st.lists(st.tuples(st.integers(0, 60), st.integers(35, 60)), min_size=2, max_size=4),
)
def test_no_document_is_in_different_sets_of_two_tasks(
    seed: int, parts: list[tuple[int, int]]
) -> None:
    """Whatever they share; where that leaves too few, it is told."""
    pool = hashes(120)
    tasks = {f"t{n}": pool[start : start + size] for n, (start, size) in enumerate(parts)}
    objectives = {"t0", "t1"}
    try:
        sets = divided(tasks, objectives=objectives, sizes=SIZES, seed=seed)
    except ConfigError:
        return
    assert shared(sets) == []
    for task in objectives:
        assert [len(part) for part in halves(sets.tasks[task])] == [10, 5, 20]


def test_tasks_that_share_half_of_just_enough_documents_can_be_divided() -> None:
    """Every document is needed: those of both go to sets that have room in both."""
    pool = hashes(52)
    tasks = {"t": pool[:35], "u": pool[17:]}
    for seed in range(10):
        assert shared(divided(tasks, objectives=set(tasks), sizes=SIZES, seed=seed)) == []


def test_a_task_without_keys_shares_documents_of_equal_content_with_one_that_has_them() -> None:
    """What is searched on under a key is in no other task's test set under its content."""
    keys = {"t": [f"row {index}" for index in range(60)]}
    for seed in range(5):
        tasks = {"t": hashes(60), "plain": hashes(60)[::-1]}
        sets = divided(tasks, objectives=set(tasks), sizes=SIZES, seed=seed, keys=keys)
        assert halves(sets.tasks["t"]) == halves(sets.tasks["plain"])


def test_documents_of_one_key_are_one_document() -> None:
    """A translation has other bytes."""
    tasks = {"ja": hashes(80)[:40], "en": hashes(80)[40:]}
    keys = {task: [str(index) for index in range(40)] for task in tasks}
    sets = divided(tasks, objectives=set(tasks), sizes=SIZES, seed=1, keys=keys)
    assert shared(sets) == []
    for split in SPLITS:
        ja, en = (getattr(sets.tasks[task], split) for task in ("ja", "en"))
        assert [one.id for one in ja] == [one.id for one in en]


def test_sets_that_were_divided_apart_are_read_as_they_were() -> None:
    """A recorded run keeps its documents; only a file of today's version is held to today's rule."""
    one, other = Document(id=0, hash="a"), Document(id=1, hash="b")
    tasks = {
        "t": TaskDocuments(search=(one,), test=(other,)),
        "u": TaskDocuments(search=(other,), test=(one,)),
    }
    before = DocumentSets(tasks=tasks)
    assert DocumentSets.model_validate_json(before.to_json()) == before
    with pytest.raises(ValueError, match="document 1 of u, in search, is also in another"):
        DocumentSets(version=2, tasks=tasks)


def test_documents_come_in_the_order_of_their_keyed_hash() -> None:
    """The first are for search, the next for validation, then for test."""
    pool = hashes(60)
    ordered = sorted(pool, key=lambda value: (key64("items", 1, value), value))
    found = divide_one(pool, task="t", sizes=SIZES, seed=1, objective=True)
    assert halves(found) == [set(ordered[:10]), set(ordered[10:15]), set(ordered[15:35])]


def test_a_recorded_run_is_divided_again_as_it_was() -> None:
    """Its tasks' names had a part in the order; in version 1 each task was divided by itself."""
    pool = hashes(60)
    of_t, of_u = (
        sorted(pool, key=lambda value, task=task: (key64("items", 1, task, value), value))  # type: ignore[misc]
        for task in ("t", "u")
    )
    both = {"t": pool, "u": pool}
    second = divided(both, objectives={"t", "u"}, sizes=SIZES, seed=1, version=2)
    expected = [set(of_t[:10]), set(of_t[10:15]), set(of_t[15:35])]
    assert halves(second.tasks["t"]) == halves(second.tasks["u"]) == expected
    first = divided(both, objectives={"t", "u"}, sizes=SIZES, seed=1, version=1)
    assert (second.version, first.version) == (2, 1)
    assert halves(first.tasks["t"]) == expected
    assert halves(first.tasks["u"]) == [set(of_u[:10]), set(of_u[10:15]), set(of_u[15:35])]


def test_too_few_documents_are_told_with_the_numbers() -> None:
    """Before anything is evaluated."""
    with pytest.raises(ConfigError, match="task t has too few") as caught:
        divide_one(hashes(34) + hashes(34), task="t", sizes=SIZES, seed=1, objective=True)
    assert caught.value.expected == "search + validation + test = 35"
    assert caught.value.got == "34 distinct documents (34 more equal others, and are left out)"


def test_a_monitor_has_test_documents_only_and_may_have_few() -> None:
    """It is never optimised."""
    found = divide_one(hashes(8), task="t", sizes=SIZES, seed=1, objective=False)
    assert (len(found.search), len(found.validation), len(found.test)) == (0, 0, 8)


def test_overlapping_sets_are_refused_when_read() -> None:
    """By check, not only by construction."""
    one = Document(id=0, hash="a")
    with pytest.raises(ValueError, match="document 0 of test is also in search"):
        TaskDocuments(search=(one,), test=(one,))


def test_ids_leave_out_tasks_without_documents() -> None:
    """To lm-eval an empty list would mean all documents."""
    sets = divided(
        {"t": hashes(40), "monitor": hashes(80)[40:]}, objectives={"t"}, sizes=SIZES, seed=1
    )
    assert set(sets.ids("search")) == {"t"}
    assert set(sets.ids("test")) == {"t", "monitor"}


def test_item_sets_survive_their_file_and_have_an_identity(tmp_path: Path) -> None:
    """Each split's digest depends on its own documents alone."""
    sets = divided({"t": hashes(40)}, objectives={"t"}, sizes=SIZES, seed=1)
    path = tmp_path / "items.json"
    path.write_bytes(sets.to_json())
    again = read_document_sets(path)
    assert again == sets
    of_task = sets.tasks["t"]
    other = of_task.model_copy(update={"test": of_task.test[1:]})
    changed = DocumentSets(tasks={"t": other})
    assert changed.digest("search") == sets.digest("search")
    assert changed.digest("test") != sets.digest("test")


def test_unreadable_item_sets_name_their_file(tmp_path: Path) -> None:
    """Absent, or half a file."""
    path = tmp_path / "items.json"
    with pytest.raises(LineageError, match=r"items\.json"):
        read_document_sets(path)
    path.write_text('{"version": 1, "tasks"')
    with pytest.raises(LineageError, match=r"items\.json"):
        read_document_sets(path)


def test_all_tasks_with_too_few_documents_are_told_at_once() -> None:
    """Each with its number."""
    few = {"s": hashes(20), "t": hashes(35), "u": hashes(34)}
    with pytest.raises(ConfigError, match="2 tasks have too few") as caught:
        divided(few, objectives={"s", "t", "u"}, sizes=SIZES, seed=1)
    assert "20 distinct documents" in str(caught.value)
    assert "34 distinct documents" in str(caught.value)
    assert "task t " not in str(caught.value)
