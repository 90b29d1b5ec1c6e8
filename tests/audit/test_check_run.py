"""The script for outsiders in docs checks a recorded run, without tsugiki."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.recorded.test_recorded_run import ARCHIVE

SCRIPT = Path(__file__).parents[2] / "docs" / "check_run.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a recorded run. Tests put back what they change."""
    folder = tmp_path_factory.mktemp("recorded")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "results" / "tiny"


def run(root: Path) -> subprocess.CompletedProcess[str]:
    """The script, in isolated mode and without installed packages."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sound_run_passes(root: Path) -> None:
    """With the standard library alone."""
    done = run(root)
    assert (done.returncode, done.stdout) == (0, "the chain is whole\n"), done.stderr
    imports = [
        one for one in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(one, ast.Import)
    ]
    assert {name.name for one in imports for name in one.names} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "place",
    [
        "ps/gen-001/state.npz",
        "ps/gen-001/population.json",
        "ps/candidates/*/recipe.json",
        "ps/candidates/*/outcome.json",
        "ps/candidates/*/items.parquet",
        "ps/best/model.safetensors",
        "test/candidates/*/items.parquet",
    ],
)
def test_a_flipped_byte_is_named(root: Path, place: str) -> None:
    """With the file."""
    path = next(
        one
        for one in sorted(root.glob(place))
        if "recipe" not in place or (one.parent / "outcome.json").is_file()
    )
    before = path.read_bytes()
    content = bytearray(before)
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    done = run(root)
    path.write_bytes(before)
    assert done.returncode == 1
    assert str(path) in done.stdout
