"""The line that shows how far a merge has come."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.merge.models_for_tests import digests_of, recipe_of, save_model
from tsugiki import api
from tsugiki.commands.all import main
from tsugiki.merge.write import write_merge


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def merged(progress: Callable[[int, int, int], None]) -> None:
    """Tell of two tensors, of 1 GB and 3 GB."""
    progress(1, 2, 1_000_000_000)
    progress(2, 2, 4_000_000_000)


def command(folder: Path) -> list[str]:
    """Merge by a file."""
    (folder / "merge.yaml").touch()
    return ["merge", str(folder / "merge.yaml"), "--out", str(folder / "out")]


def test_nothing_is_shown_where_no_terminal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs stay readable."""
    monkeypatch.setattr(api, "merge", lambda *_, progress, **__: merged(progress))
    result = CliRunner().invoke(main, command(tmp_path))
    assert result.exit_code == 0
    assert result.stderr == ""


def test_a_terminal_shows_tensors_and_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the merge goes on, and at its end."""
    terminal = FakeTerminal()

    def merge(*_given: object, progress: Callable[[int, int, int], None], **_more: object) -> None:
        for _ in range(10**7):
            progress(1, 2, 1_000_000_000)
            if "1/2" in terminal.getvalue():
                break
        merged(progress)

    monkeypatch.setattr(api, "merge", merge)
    monkeypatch.setattr(sys, "stderr", terminal)
    main(command(tmp_path), standalone_mode=False)
    first, *_, last = terminal.getvalue().rstrip("\n").split("\r")[1:]
    assert "1/2" in first
    assert "1.00 GB" in first
    assert "2/2" in last
    assert "4.00 GB" in last


@pytest.mark.parametrize("threads", [1, 2])
def test_merge_reports_each_tensor_once(tmp_path: Path, threads: int) -> None:
    """In order, up to all bytes of all tensors."""
    folders = {name: save_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab")}
    told: list[tuple[int, int, int]] = []
    write_merge(
        recipe_of("linear", base=None),
        folders,
        digests_of(folders),
        tmp_path / "out",
        threads=threads,
        progress=lambda *state: told.append(state),
    )
    count = told[0][1]
    assert [(done, all_) for done, all_, _ in told] == [(n, count) for n in range(1, count + 1)]
    sizes = [size for _, _, size in told]
    header = (tmp_path / "out" / "model.safetensors").read_bytes()[:8]
    file = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert sizes == sorted(sizes)
    assert sizes[-1] == file - 8 - int.from_bytes(header, "little")
