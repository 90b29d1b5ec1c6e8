"""Parents in folders and from the demo: locked by their bytes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.parents.checkpoints import write_llama
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import LineageError, ParentError
from tsugiki.models import files as known_digests
from tsugiki.parents.locate import changed_parents, locate
from tsugiki.parents.preflight import preflight
from tsugiki.parents.resolve import lock_parents

from .hub_stand_in import sha256
from .runs import run_of


def silent(line: str) -> None:
    """Say nothing."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A run with one parent, in a folder relative to the working folder."""
    write_llama(tmp_path / "models" / "a")
    monkeypatch.chdir(tmp_path)
    return run_of({"one": {"path": "models/a"}})


LOCK = Path("parents.lock.json")


def test_a_folder_is_locked_by_its_bytes(config: RunConfig, tmp_path: Path) -> None:
    """Each file's SHA-256 is in the lock; no absolute path is."""
    locked = lock_parents(config, LOCK, log=silent).parents["one"]
    for file in locked.files:
        assert file.sha256 == sha256((tmp_path / "models/a" / file.name).read_bytes())
    assert {file.name for file in locked.files} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert str(tmp_path) not in LOCK.read_text()


def test_locking_twice_writes_the_same_bytes(config: RunConfig) -> None:
    """An unchanged lock is not written again, so nothing downstream reruns."""
    lock_parents(config, LOCK, log=silent)
    before = LOCK.stat().st_mtime_ns
    lock_parents(config, LOCK, log=silent)
    assert LOCK.stat().st_mtime_ns == before


def test_a_folder_may_move(config: RunConfig, tmp_path: Path) -> None:
    """The identity is that of the bytes: the same files elsewhere have the same digest."""
    before = lock_parents(config, LOCK, log=silent).digests["one"]
    (tmp_path / "models/a").rename(tmp_path / "b")
    after = lock_parents(run_of({"one": {"path": "b"}}), LOCK, log=silent).digests["one"]
    assert after == before


def test_changed_files_contradict_the_lock(config: RunConfig, tmp_path: Path) -> None:
    """The error names the file, both digests and the way out; the lock stays as it was."""
    lock_parents(config, LOCK, log=silent)
    locked = LOCK.read_bytes()
    file = tmp_path / "models/a/config.json"
    old = file.read_bytes()
    file.write_bytes(old + b"\n")
    with pytest.raises(LineageError) as caught:
        lock_parents(config, LOCK, log=silent)
    text = str(caught.value)
    for part in ("config.json", sha256(old), sha256(old + b"\n"), "tsugiki parents --update one"):
        assert part in text
    assert "model.safetensors" not in text
    assert LOCK.read_bytes() == locked


@pytest.mark.parametrize("change", ["added", "removed"])
def test_an_added_or_removed_file_contradicts_the_lock(
    config: RunConfig, tmp_path: Path, change: str
) -> None:
    """A file without a counterpart is called absent."""
    lock_parents(config, LOCK, log=silent)
    file = tmp_path / "models/a/generation_config.json"
    if change == "added":
        file.write_text("{}")
    else:
        (tmp_path / "models/a/tokenizer_config.json").unlink()
    with pytest.raises(LineageError, match="absent"):
        lock_parents(config, LOCK, log=silent)


def test_an_update_locks_the_files_as_they_are(config: RunConfig, tmp_path: Path) -> None:
    """`update` takes the changed files."""
    before = lock_parents(config, LOCK, log=silent).digests
    (tmp_path / "models/a/generation_config.json").write_text("{}")
    after = lock_parents(config, LOCK, update=frozenset({"one"}), log=silent).digests
    assert after != before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The path is given as the configuration has it."""
    with pytest.raises(ParentError, match="nowhere"):
        lock_parents(run_of({"one": {"path": "nowhere"}}), tmp_path / "lock", log=silent)


def test_a_folder_of_pickles_is_refused(config: RunConfig, tmp_path: Path) -> None:
    """A hostile pickle is not opened, and the error says how to convert."""
    folder = tmp_path / "models/a"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ParentError, match=r"pytorch_model\.bin"):
        lock_parents(config, LOCK, log=silent)


def test_a_parent_that_left_the_configuration_leaves_the_lock(
    config: RunConfig, tmp_path: Path
) -> None:
    """The lock describes the run as it is."""
    write_llama(tmp_path / "b", seed=1)
    both = run_of({"one": {"path": "models/a"}, "two": {"path": "b"}})
    assert set(lock_parents(both, LOCK, log=silent).parents) == {"one", "two"}
    assert set(lock_parents(config, LOCK, log=silent).parents) == {"one"}


def test_a_lock_that_was_edited_is_refused(config: RunConfig) -> None:
    """A digest that does not fit its files is noticed on reading."""
    lock_parents(config, LOCK, log=silent)
    content = json.loads(LOCK.read_text())
    content["parents"]["one"]["digest"] = "0" * 64
    LOCK.write_text(json.dumps(content))
    with pytest.raises(LineageError, match="digest does not fit"):
        read_lock(LOCK)


def test_a_lock_with_a_path_for_a_file_name_is_refused(config: RunConfig) -> None:
    """A file's name cannot lead out of the parent's folder."""
    lock_parents(config, LOCK, log=silent)
    LOCK.write_text(LOCK.read_text().replace('"config.json"', '"../config.json"'))
    with pytest.raises(LineageError):
        read_lock(LOCK)


def test_a_missing_lock_says_how_to_make_one(tmp_path: Path) -> None:
    """Reading comes after fetching."""
    with pytest.raises(LineageError, match="tsugiki parents"):
        read_lock(tmp_path / "none")


def test_locate_checks_sizes(config: RunConfig, tmp_path: Path) -> None:
    """A truncated file is noticed without reading it."""
    locked = lock_parents(config, LOCK, log=silent)
    assert locate(config, locked)["one"].resolve() == (tmp_path / "models/a").resolve()
    weights = tmp_path / "models/a/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(LineageError, match=r"model\.safetensors"):
        locate(config, locked)


def trained_again(folder: Path) -> None:
    """Other weights of the same size, in the same file."""
    size = (folder / "model.safetensors").stat().st_size
    write_llama(folder, seed=77)
    assert (folder / "model.safetensors").stat().st_size == size


def saved_beside_and_renamed(folder: Path) -> None:
    """The same, as a new file."""
    write_llama(folder.parent / "new", seed=77)
    (folder.parent / "new/model.safetensors").replace(folder / "model.safetensors")


def template_added(folder: Path) -> None:
    """A file that changes every prompt."""
    (folder / "chat_template.jinja").write_text("{{ messages }}")


CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (trained_again, "model.safetensors"),
    (saved_beside_and_renamed, "model.safetensors"),
    (template_added, "chat_template.jinja"),
]


@pytest.mark.parametrize(("change", "file"), CHANGES)
def test_files_that_changed_since_they_were_locked_are_refused(
    config: RunConfig, tmp_path: Path, change: Callable[[Path], None], file: str
) -> None:
    """Where they are opened, and by `tsugiki check`; parent, file and both digests are named."""
    locked = lock_parents(config, LOCK, log=silent)
    assert locate(config, locked)
    change(tmp_path / "models/a")
    with pytest.raises(LineageError) as caught:
        locate(config, locked)
    old = {one.name: one.sha256 for one in locked.parents["one"].files}.get(file, "absent")
    new = sha256((tmp_path / "models/a" / file).read_bytes())
    for part in ("parent `one`", file, old, new, "tsugiki parents --update one"):
        assert part in str(caught.value)
    assert str(caught.value) in [str(fault) for fault in preflight(config, locked).faults]


def test_files_that_were_copied_or_that_nobody_reads_are_taken(
    config: RunConfig, tmp_path: Path
) -> None:
    """Another inode and other times are no other content."""
    locked = lock_parents(config, LOCK, log=silent)
    shutil.copytree(tmp_path / "models/a", tmp_path / "copy")
    shutil.rmtree(tmp_path / "models/a")
    (tmp_path / "copy").rename(tmp_path / "models/a")
    (tmp_path / "models/a/trainer_state.json").write_text("{}")
    assert locate(config, locked)
    assert preflight(config, locked).faults == []


def test_a_locked_parent_that_is_not_here_or_is_configured_anew_is_no_change(
    config: RunConfig, tmp_path: Path
) -> None:
    """What it was locked as says nothing of another source."""
    locked = lock_parents(config, LOCK, log=silent)
    write_llama(tmp_path / "b", seed=1)
    assert preflight(run_of({"one": {"path": "b"}}), locked).faults == []
    (tmp_path / "models/a").rename(tmp_path / "away")
    assert list(changed_parents(config, locked)) == []


def test_all_is_read_where_it_is_asked_for(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of earlier readings that does not tell the truth deceives no final check."""
    locked = lock_parents(config, LOCK, log=silent)
    write_llama(tmp_path / "models/a", seed=77)
    files = {tmp_path / "models/a" / one.name: one.sha256 for one in locked.parents["one"].files}
    deceived = {known_digests._stamp(file)[0]: digest for file, digest in files.items()}
    monkeypatch.setattr(known_digests, "_read", deceived)
    assert locate(config, locked)
    with pytest.raises(LineageError, match=r"model\.safetensors"):
        locate(config, locked, read=True)


def test_a_model_of_the_demo_is_locked_relative_to_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's trainer is asked for the model, and its folder found again by its name alone."""
    asked = []

    def ensure_demo_parent(
        name: str, seed: int, cache: Path, *, log: Callable[[str], None] = print
    ) -> Path:
        log(f"training {name}")
        asked.append((name, seed, cache))
        return write_llama(cache / f"{name}-seed{seed}-0123abcd")

    module = ModuleType("tsugiki.demo.parents")
    module.ensure_demo_parent = ensure_demo_parent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tsugiki.demo.parents", module)
    monkeypatch.chdir(tmp_path)
    config = run_of({"one": {"demo": "base", "seed": 3}})
    locked = lock_parents(config, LOCK, log=silent)
    assert asked == [("base", 3, Path("results/demo-parents"))]
    assert locate(config, locked)["one"] == Path("results/demo-parents/base-seed3-0123abcd")
    (tmp_path / "results/demo-parents/base-seed3-0123abcd/config.json").write_text("{}")
    with pytest.raises(LineageError, match=r"config\.json"):
        locate(config, locked)
