"""SIGKILL at many points: the same command goes on, and ends in the same bytes."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.workflow.small_run import UNTRACKED, settings
from tests.workflow.workspace import Workspace, make_workspace


def _count(folder: Path, pattern: str) -> int:
    """How many paths match. `Path.glob` would fail on a folder that vanishes meanwhile."""
    return len(glob.glob(pattern, root_dir=folder, include_hidden=True))  # noqa: PTH207


def _points(workspace: Workspace) -> list[Callable[[], bool]]:
    """Moments in the middle of every kind of step, in the order they come."""
    files = workspace.files
    stage = files.phase("ps")

    def exists(path: Path) -> Callable[[], bool]:
        return path.exists

    def outcomes(phase: str, count: int) -> Callable[[], bool]:
        folder = files.phase(phase).root / "candidates"
        return lambda: _count(folder, "*/outcome.json") >= count

    def writing_best() -> bool:
        return _count(files.root, ".best.*") > 0

    return [
        exists(files.root / "logs/items.log"),
        exists(stage.generation(0).root),
        outcomes("ps", 2),
        exists(stage.generation(0).outcomes),
        exists(stage.generation(1).state),
        outcomes("ps", 8),
        outcomes("baselines", 2),
        exists(files.phase("finalists").generation(0).population),
        outcomes("test", 3),
        writing_best,
        exists(files.report),
    ]


def test_a_killed_run_ends_in_the_same_bytes(finished: Workspace, tmp_path: Path) -> None:
    """Killed eleven times, with workers left behind or, once, not, the run ends as if never touched."""
    workspace = make_workspace(tmp_path / "run", settings())
    points = _points(workspace)
    killed = [workspace.run_until(point) for point in points[:4]]
    workspace.end_workers()
    killed += [workspace.run_until(point) for point in points[4:]]
    assert sum(killed) >= 8, killed
    workspace.run()
    assert workspace.digests() == finished.digests()
    left = list(workspace.files.root.rglob("*.tmp"))
    assert left == []


def test_killed_evaluations_on_disk_end_in_the_same_bytes(
    finished: Workspace, tmp_path: Path
) -> None:
    """Killed while writing and while scoring; and few models are ever on disk at a time."""
    workspace = make_workspace(
        tmp_path / "run", settings(storage="disk", resident=False) | UNTRACKED
    )
    stage = workspace.files.phase("ps")

    def materializing() -> bool:
        return _count(stage.generation(0).weights(0), "*.digest") > 0

    def scoring() -> bool:
        return _count(stage.root / "candidates", "*/outcome.json") > 0

    assert workspace.run_until(materializing)
    assert workspace.run_until(scoring)
    peak = 0
    with ThreadPoolExecutor() as pool:
        rest = pool.submit(workspace.run)
        while not rest.done():
            on_disk = _count(workspace.files.root, "*/gen-*/weights-*/*/model.safetensors")
            peak = max(peak, on_disk)
            time.sleep(0.01)
    rest.result()
    assert workspace.digests() == finished.digests()
    # one generation (5) and the baselines (6) may be under way together; 24 models are scored in all
    assert 0 < peak <= 11
    left = list(workspace.files.root.rglob("weights-*"))
    assert left == []
