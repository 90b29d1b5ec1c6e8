"""Where machine code is kept, and by whom it is written."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numba
import pytest
import torch

from tests.merge.tensors_for_tests import inputs_for
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels import __main__ as command
from tsugiki.merge.kernels import compiling, selecting, sums, task_vectors, variance
from tsugiki.merge.registry import METHODS
from tsugiki.merge.selection import SAMPLE


def test_a_change_of_any_loop_gives_another_folder(tmp_path: Path) -> None:
    """Also of those that others call, which numba would not notice."""
    sources = Path(shutil.copytree(compiling.SOURCES, tmp_path / "kernels"))
    folders = [compiling.store(sources)]
    for path in sorted(sources.glob("*.py")):
        path.write_text(path.read_text() + "\n")
        folders.append(compiling.store(sources))
    assert len(set(folders)) == len(folders) > 5
    assert compiling.store(sources) == folders[-1]


def test_another_processor_has_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's nodes may share a home."""
    before = compiling.store()
    monkeypatch.setattr(compiling.binding, "get_host_cpu_name", lambda: "another")
    assert compiling.store() != before


def test_the_folder_is_where_the_user_says_or_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By numba's own variable, NUMBA_CACHE_DIR; there is none without a home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for named, expected in (("", tmp_path / "cache" / "tsugiki"), (str(tmp_path), tmp_path)):
        monkeypatch.setattr(numba.config, "CACHE_DIR", named)
        folder = compiling.store()
        assert folder is not None
        assert folder.parent == expected
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless(_: Path) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert compiling.store() is None


@pytest.mark.parametrize("filled", [True, False])
def test_machine_code_is_kept_only_in_a_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: bool
) -> None:
    """Numba's own setting, which is for all libraries, is as before."""
    before = numba.config.CACHE_DIR
    monkeypatch.setattr(compiling, "machine_code", tmp_path if filled else None)
    doubled = compiling.compiled(lambda x: 2 * x)
    assert doubled(3) == 6
    assert before == numba.config.CACHE_DIR
    assert bool(list(tmp_path.rglob("*.nbc"))) == filled


def test_the_folder_is_filled_once_and_appears_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that fails leaves none."""
    folder, calls = tmp_path / "kernels", []

    def fail() -> None:
        raise OSError("disk full")

    monkeypatch.setattr(compiling, "machine_code", None)
    monkeypatch.setattr(compiling, "store", lambda: folder)
    monkeypatch.setattr(command, "call_all", fail)
    with pytest.raises(OSError, match="disk full"):
        command.main()
    assert not folder.exists()
    monkeypatch.setattr(command, "call_all", lambda: calls.append(compiling.machine_code))
    command.main()
    command.main()
    assert folder.is_dir()
    assert len(calls) == 1
    assert calls[0] != folder


def signatures() -> dict[str, set[Any]]:
    """For what arguments each loop has been compiled or read in this process."""
    return {
        f"{module.__name__}.{name}": set(loop.signatures)
        for module in (selecting, sums, task_vectors, variance)
        for name, loop in vars(module).items()
        if hasattr(loop, "signatures")
    }


def test_the_folder_has_all_that_is_called() -> None:
    """Any method, of any number of parents, in any formats: none compiles, or writes, anything."""
    command.call_all()
    before = signatures()
    formats = (torch.float32, torch.bfloat16, torch.float16)
    for method, stored, count in product(METHODS.values(), formats, (1, 2, 4)):
        if not method.min_parents <= count <= (method.max_parents or count):
            continue
        for size in (30, 4 * SAMPLE + 9) if stored == torch.float32 and count == 2 else (30,):
            numbers = torch.Generator().manual_seed(size)
            base, *parents = torch.randn(1 + count, 3, size, generator=numbers).to(stored)
            values = {
                name: value
                for name, value in {"density": 0.4, "gamma": 0.1, "select_topk": 0.5}.items()
                if method.parameter(name)
            }
            inputs = inputs_for(method, parents, base, **values)
            made = method.merge(inputs)
            for dtype in formats if isinstance(made, BlockwiseMerge) else ():
                made.whole(dtype)
    assert signatures() == before
