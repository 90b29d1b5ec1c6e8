"""The line that shows how far a merge has come."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.merge.models_for_tests import digests_of, recipe_of, save_model
from tsugiki.merge.write import write_merge
from tsugiki.terminal import bar, progress_bar


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_line_counts_tensors_and_measures_gigabytes_a_second() -> None:
    """3 GB in 2 s are 1.5 GB/s."""
    assert bar(3, 12, 3_000_000_000, 2.0) == (
        "[######------------------] 3/12 tensors  3.00 GB  1.50 GB/s"
    )
    assert "0.00 GB/s" in bar(1, 1, 5, 0.0)


def test_nothing_is_shown_where_no_terminal_is() -> None:
    """Logs stay readable."""
    assert progress_bar(io.StringIO()) is None


def test_line_changes_at_most_ten_times_a_second_and_ends_with_the_merge() -> None:
    """The last tensor is always shown."""
    terminal, times = FakeTerminal(), iter([0.0, 0.05, 0.2, 0.21])
    show = progress_bar(terminal, lambda: next(times))
    assert show is not None
    for done in (1, 2, 3):
        show(done, 3, done)
    shown = terminal.getvalue().split("\r")[1:]
    assert [text.split("] ")[1].split(" ")[0] for text in shown] == ["2/3", "3/3"]
    assert terminal.getvalue().endswith("\n")


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
