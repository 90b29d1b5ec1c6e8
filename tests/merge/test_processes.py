"""The bytes of a merge, and what is left of it, where processes differ or die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.merge.models_for_tests import digests_of, recipe_of
from tsugiki.canonical import digest_file
from tsugiki.contracts.recipe import read_recipe
from tsugiki.merge.write import write_merge

Folders = dict[str, Path]
MERGE = """
import json, os, signal, sys
from pathlib import Path
from tsugiki.merge.write import write_merge
from tsugiki.contracts.recipe import read_recipe

recipe, folders, digests, out, dies_after = json.loads(sys.argv[1])

def progress(done, total, size):
    if done == dies_after:
        os.kill(os.getpid(), signal.SIGKILL)

folders = {name: Path(folder) for name, folder in folders.items()}
write_merge(read_recipe(Path(recipe)), folders, digests, Path(out), threads=2, progress=progress)
"""


def merge_elsewhere(
    recipe: Path, folders: Folders, out: Path, *, hash_seed: str = "0", dies_after: int = -1
) -> int:
    """Merge in a process of its own; returns how it ended."""
    argument = json.dumps(
        [
            str(recipe),
            {name: str(folder) for name, folder in folders.items()},
            digests_of(folders),
            str(out),
            dies_after,
        ]
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", MERGE, argument], check=False, env=environment
    ).returncode


def files_of(folder: Path) -> dict[str, str]:
    """Digest of every file."""
    return {path.name: digest_file(path) for path in folder.iterdir()}


def test_the_hash_seed_of_python_changes_no_byte(trio: Folders, tmp_path: Path) -> None:
    """No file, no config entry and no weight depends on the order of a set."""
    recipe = tmp_path / "recipe.json"
    recipe.write_bytes(
        recipe_of("dare_ties", values={"density": 0.5, "weight": (0.3, 0.8)}).to_json()
    )
    for seed in ("1", "2"):
        assert merge_elsewhere(recipe, trio, tmp_path / seed, hash_seed=seed) == 0
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")
    assert files_of(tmp_path / "1")


def test_a_writer_that_is_killed_leaves_no_model(trio: Folders, tmp_path: Path) -> None:
    """SIGKILL after two tensors: nothing stands at the final path, and the next one succeeds."""
    recipe = tmp_path / "recipe.json"
    recipe.write_bytes(recipe_of("linear").to_json())
    out = tmp_path / "o" / "out"
    assert merge_elsewhere(recipe, trio, out, dies_after=2) == -signal.SIGKILL
    assert not out.exists()
    write_merge(read_recipe(recipe), trio, digests_of(trio), out)
    assert (out / "model.safetensors").is_file()
