"""Which documents are for search, validation and test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Items
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.items import (
    Document,
    ItemSets,
    TaskItems,
    divide,
    divide_all,
    read_items,
)

SIZES = Items(search=10, validation=5, test=20)


def hashes(count: int) -> list[str]:
    """Hashes of distinct documents."""
    return [digest_bytes(str(index).encode()) for index in range(count)]


def halves(found: TaskItems) -> list[set[str]]:
    """Hashes of each set."""
    return [{one.hash for one in part} for part in (found.search, found.validation, found.test)]


@given(seed=st.integers(0, 2**32), copies=st.integers(0, 30))
def test_sets_are_disjoint_whatever_the_seed_and_repeats(seed: int, copies: int) -> None:
    """Also where the task repeats documents."""
    of_task = hashes(40) + hashes(copies)
    found = divide(of_task, task="t", sizes=SIZES, seed=seed, objective=True)
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
    found = divide(repeated, task="t", sizes=SIZES, seed=1, objective=True)
    ids = {
        one.hash: one.id for part in (found.search, found.validation, found.test) for one in part
    }
    assert ids[of_task[3]] == 0


def test_the_order_of_documents_does_not_matter() -> None:
    """A task that is shuffled upstream keeps its sets."""
    of_task = hashes(60)
    forward = divide(of_task, task="t", sizes=SIZES, seed=1, objective=True)
    backward = divide(of_task[::-1], task="t", sizes=SIZES, seed=1, objective=True)
    assert halves(forward) == halves(backward)


def test_a_document_more_moves_few_between_the_sets() -> None:
    """At each of the two borders, and at the end, at most one document is pushed over."""
    before = halves(divide(hashes(60), task="t", sizes=SIZES, seed=1, objective=True))
    after = halves(divide(hashes(61), task="t", sizes=SIZES, seed=1, objective=True))
    assert all(len(old - new) <= 1 for old, new in zip(before, after, strict=True))


def test_seed_and_task_make_other_sets() -> None:
    """The sets of two tasks with the same documents are drawn apart."""
    drawn = [
        halves(divide(hashes(60), task=task, sizes=SIZES, seed=seed, objective=True))
        for task, seed in (("t", 1), ("t", 2), ("u", 1))
    ]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_too_few_documents_are_told_with_the_numbers() -> None:
    """Before anything is evaluated."""
    with pytest.raises(ConfigError, match="task t has too few") as caught:
        divide(hashes(34) + hashes(34), task="t", sizes=SIZES, seed=1, objective=True)
    assert caught.value.expected == "search + validation + test = 35"
    assert caught.value.got == "34 distinct documents"


def test_a_monitor_has_test_documents_only_and_may_have_few() -> None:
    """It is never optimised."""
    found = divide(hashes(8), task="t", sizes=SIZES, seed=1, objective=False)
    assert (len(found.search), len(found.validation), len(found.test)) == (0, 0, 8)


def test_overlapping_sets_are_refused_when_read() -> None:
    """By check, not only by construction."""
    one = Document(id=0, hash="a")
    with pytest.raises(ValueError, match="document 0 of test is also in search"):
        TaskItems(search=(one,), test=(one,))


def test_ids_leave_out_tasks_without_documents() -> None:
    """To lm-eval an empty list would mean all documents."""
    sets = divide_all(
        {"t": hashes(40), "monitor": hashes(40)}, objectives={"t"}, sizes=SIZES, seed=1
    )
    assert set(sets.ids("search")) == {"t"}
    assert set(sets.ids("test")) == {"t", "monitor"}


def test_item_sets_survive_their_file_and_have_an_identity(tmp_path: Path) -> None:
    """Each split's digest depends on its own documents alone."""
    sets = divide_all({"t": hashes(40)}, objectives={"t"}, sizes=SIZES, seed=1)
    path = tmp_path / "items.json"
    path.write_bytes(sets.to_json())
    again = read_items(path)
    assert again == sets
    of_task = sets.tasks["t"]
    other = of_task.model_copy(update={"test": of_task.test[1:]})
    changed = ItemSets(tasks={"t": other})
    assert changed.digest("search") == sets.digest("search")
    assert changed.digest("test") != sets.digest("test")


def test_unreadable_item_sets_name_their_file(tmp_path: Path) -> None:
    """Absent, or half a file."""
    path = tmp_path / "items.json"
    with pytest.raises(LineageError, match=r"items\.json"):
        read_items(path)
    path.write_text('{"version": 1, "tasks"')
    with pytest.raises(LineageError, match=r"items\.json"):
        read_items(path)
