"""The collector rests while libraries are imported."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from weakref import ref

import pytest

from tsugiki.quick_imports import quick_imports


class Node:
    """Refers to itself, so that only the collector can find it."""

    def __init__(self) -> None:
        self.itself = self


LIBRARY = """
import gc

BEFORE = [generation["collections"] for generation in gc.get_stats()]
CONTENT = [[] for _ in range(100_000)]
AFTER = [generation["collections"] for generation in gc.get_stats()]
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests find the collector as it was; these find nothing that is left aside."""
    gc.unfreeze()
    yield
    gc.enable()
    gc.freeze()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a library of many objects, which was never imported."""
    (tmp_path / "a_large_library.py").write_text(LIBRARY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_large_library"
    del sys.modules["a_large_library"]


def test_nothing_is_searched_while_libraries_are_imported(library: str) -> None:
    """However many objects come up; and they are left aside afterwards."""
    with quick_imports():
        imported = import_module(library)
    assert imported.BEFORE == imported.AFTER
    assert gc.get_freeze_count() >= len(imported.CONTENT)


def test_what_is_made_later_is_collected(library: str) -> None:
    """A model that is no longer used does not stay in memory, whatever is imported again."""
    with quick_imports():
        import_module(library)
    later = ref(Node())
    with quick_imports():
        import_module(library)
    gc.collect()
    assert later() is None


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_goes_on_as_it_was(collecting: bool) -> None:
    """Also where an import fails."""
    (gc.enable if collecting else gc.disable)()
    with pytest.raises(ModuleNotFoundError), quick_imports():
        import no_such_library  # noqa: F401
    assert gc.isenabled() is collecting
