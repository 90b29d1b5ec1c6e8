"""The collector rests while libraries are imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from tsugiki.quick_imports import quick_imports


class Node:
    """Refers to itself, so that only the collector can find it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests find the collector as it was."""
    yield
    gc.enable()
    gc.unfreeze()


def test_nothing_is_searched_while_libraries_are_imported() -> None:
    """However many objects come up; and they are left aside afterwards."""
    with quick_imports():
        before = [generation["collections"] for generation in gc.get_stats()]
        modules = [Node() for _ in range(100_000)]
        after = [generation["collections"] for generation in gc.get_stats()]
    assert before == after
    assert gc.get_freeze_count() >= len(modules)


def test_what_is_made_later_is_collected() -> None:
    """A model that is no longer used does not stay in memory."""
    with quick_imports():
        pass
    later = ref(Node())
    gc.collect()
    assert later() is None


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_goes_on_as_it_was(collecting: bool) -> None:
    """Also where an import fails."""
    (gc.enable if collecting else gc.disable)()
    with pytest.raises(ModuleNotFoundError), quick_imports():
        import no_such_library  # noqa: F401
    assert gc.isenabled() is collecting
