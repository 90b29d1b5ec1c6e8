"""Prepared parents in the cache and in the lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parents.checkpoints import read_folder, write_llama
from tsugiki.audit.audit import check_parents
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import LineageError, ParentError
from tsugiki.parents.locate import locate
from tsugiki.parents.resolve import lock_parents

from .models import prepare, run_with, write_with_added

UNION = {"kind": "union", "of": "base"}
CHAT = ("<|im_start|>", "<|im_end|>")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base with 64 tokens, and two parents with two and one more."""
    write_llama(tmp_path / "base", seed=1)
    write_with_added(tmp_path / "chat", CHAT, seed=2)
    write_with_added(tmp_path / "tool", ["<tool>"], seed=3)
    return tmp_path


def run(models: Path, **settings: Any) -> RunConfig:
    """A merge of the three."""
    return run_with(models, ["base", "chat", "tool"], **({"vocabulary": UNION} | settings))


def test_the_bytes_do_not_depend_on_the_order_of_sets(models: Path) -> None:
    """Two processes with other hash seeds write the same files."""
    code = (
        "import json, pathlib, sys; from tests.parents.prepare.test_cache import run;"
        "from tests.parents.prepare.models import prepare;"
        "prepare(run(pathlib.Path(sys.argv[1]), results=sys.argv[2]))"
    )
    locks = []
    for seed in "01":
        results = models / f"results-{seed}"
        subprocess.run(
            [sys.executable, "-c", code, str(models), str(results)],
            check=True,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        locks.append((results / "lock.json").read_bytes())
    assert locks[0] == locks[1]
    assert locks[0].count(b'"prepared"') == 3


def test_a_second_run_writes_nothing(models: Path) -> None:
    """Neither a model nor the lock; another run in the same results folder shares the cache."""
    folders = prepare(run(models))
    before = {
        path: path.stat().st_mtime_ns for folder in folders.values() for path in folder.iterdir()
    }
    lock = models / "results/lock.json"
    written = lock.stat().st_mtime_ns
    assert prepare(run(models)) == folders
    lock_parents(run(models, name="another"), models / "other.json", log=lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert lock.stat().st_mtime_ns == written


def test_a_damaged_folder_of_the_cache_is_written_again(models: Path) -> None:
    """To the same bytes."""
    folder = prepare(run(models))["base"]
    whole = read_folder(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    assert read_folder(prepare(run(models))["base"]) == whole


def test_other_sources_and_settings_get_other_folders(models: Path) -> None:
    """A folder's name is a digest of all that its bytes depend on."""
    first = prepare(run(models))
    wider = prepare(run(models, vocabulary=UNION | {"multiple_of": 64}))
    write_with_added(models / "tool", ["<tool>"], seed=4)
    (models / "results/lock.json").unlink()
    changed = prepare(run(models))
    names = {folder.name for folders in (first, wider, changed) for folder in folders.values()}
    assert len(names) == 9


def test_bytes_that_differ_from_the_lock_are_refused(models: Path) -> None:
    """The same sources on a machine that computes otherwise do not pass in silence."""
    prepare(run(models))
    path = models / "results/lock.json"
    lock = read_lock(path)
    made = lock.parents["base"].prepared
    assert made is not None
    other = lock.parents["chat"].prepared
    assert other is not None
    wrong = made.model_copy(update={"files": other.files, "digest": other.digest})
    base = lock.parents["base"].model_copy(update={"prepared": wrong})
    path.write_bytes(lock.model_copy(update={"parents": lock.parents | {"base": base}}).to_json())
    with pytest.raises(LineageError, match="the bytes differ"):
        prepare(run(models))


def test_other_bytes_of_the_same_size_are_refused(models: Path) -> None:
    """By jobs and by the audit; preparing again mends it."""
    config = run(models)
    files = RunFiles(models / "results")
    lock = lock_parents(config, files.parents, log=lambda _: None)
    weights = locate(config, lock)["base"] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(LineageError, match=r"parent `base`.*model\.safetensors"):
        locate(config, lock)
    [finding] = check_parents(files, config)
    assert "model.safetensors" in finding.what
    assert locate(config, lock_parents(config, files.parents, log=lambda _: None))


def test_what_is_merged_is_looked_for_by_size(models: Path) -> None:
    """A prepared parent that is gone is named before it is needed."""
    config = run(models)
    folder = prepare(config)["base"]
    (folder / "model.safetensors").unlink()
    with pytest.raises(ParentError, match="parent `base` is not on this machine"):
        locate(config, read_lock(models / "results/lock.json"))


def test_an_audit_compares_the_lock_with_the_vocabulary_asked_for(models: Path) -> None:
    """Parents that were prepared for another one are found."""
    config = run(models)
    files = RunFiles(models / "results")
    lock_parents(config, files.parents, log=lambda _: None)
    assert list(check_parents(files, config)) == []
    findings = list(check_parents(files, run(models, vocabulary={"kind": "same"})))
    assert len(findings) == 3
    assert "prepared for another vocabulary" in str(findings[0])
