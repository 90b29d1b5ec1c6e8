"""A base that is none, parents that are copies: seen from a few weights."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.parents.checkpoints import read_folder, shard, write_llama
from tsugiki.config.run import RunConfig
from tsugiki.parents.preflight import preflight

from .hub_stand_in import Hub
from .runs import run_of

WIDE = {"hidden_size": 64, "intermediate_size": 128}


def three(folder: Path) -> RunConfig:
    """A merge of a and b with their base."""
    parents = {name: {"path": str(folder / name)} for name in ("base", "a", "b")}
    return run_of(parents, base="base", method="task_arithmetic")


def write_tuned(folder: Path, base: Path, share: float, seed: int) -> Path:
    """A copy of a checkpoint with noise of `share` times each tensor's norm added to it."""
    shutil.copytree(base, folder)
    generator = torch.Generator().manual_seed(seed)
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        noise = torch.randn(tensor.shape, generator=generator)
        tensors[name] = tensor + noise * (share * tensor.norm() / noise.norm())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def doubts(config: RunConfig) -> list[str]:
    """The notes on models that do not look related."""
    report = preflight(config)
    assert report.faults == []
    return [note for note in report.notes if "not look like" in note]


@pytest.mark.parametrize("sharded", [False, True])
def test_a_base_of_random_weights_is_noted_with_its_numbers(tmp_path: Path, sharded: bool) -> None:
    """Independent weights of one size differ by the square root of two times their norm."""
    write_llama(tmp_path / "base", seed=1, **WIDE)
    write_llama(tmp_path / "a", seed=2, **WIDE)
    write_tuned(tmp_path / "b", tmp_path / "a", 0.1, seed=3)
    if sharded:
        shard(tmp_path / "base")
    [note] = doubts(three(tmp_path))
    assert note.startswith("base does not look like the base of a and b")
    found = [float(word) for word in note.replace("(", "").split() if word.startswith("1.")]
    assert found == pytest.approx([math.sqrt(2), math.sqrt(2 + 0.01)], abs=0.05)


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_a_base_of_another_size_is_noted_too(tmp_path: Path, scale: float) -> None:
    """As one that was initialised and never trained."""
    for seed, name in enumerate(("base", "a", "b")):
        write_llama(tmp_path / name, seed=seed, **WIDE)
    path = tmp_path / "base/model.safetensors"
    save_file(
        {name: tensor * scale for name, tensor in load_file(path).items()}, path, {"format": "pt"}
    )
    assert len(doubts(three(tmp_path))) == 1


def test_fine_tunes_of_a_base_are_not_doubted(tmp_path: Path) -> None:
    """With task vectors of half the weights' norm, more than fine-tuning makes."""
    write_llama(tmp_path / "base", **WIDE)
    write_tuned(tmp_path / "a", tmp_path / "base", 0.5, seed=1)
    write_tuned(tmp_path / "b", tmp_path / "base", 0.02, seed=2)
    assert doubts(three(tmp_path)) == []
    ab = {name: {"path": str(tmp_path / name)} for name in "ab"}
    assert doubts(run_of(ab)) == []


def test_parents_without_a_base_are_compared_with_each_other(tmp_path: Path) -> None:
    """A linear merge of unrelated models makes as little sense."""
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, seed=seed, **WIDE)
    [note] = doubts(run_of({name: {"path": str(tmp_path / name)} for name in "ab"}))
    assert note.startswith("a and b do not look like fine-tunes of one base")


def test_weights_on_the_hub_are_not_fetched_for_it(hub: Hub, tmp_path: Path) -> None:
    """What does not lie on this machine is not compared; equal listed digests are seen all the same."""
    files = read_folder(write_llama(tmp_path / "a", **WIDE))
    other = read_folder(write_llama(tmp_path / "b", seed=1, **WIDE))
    for name, content in (("x/base", files), ("x/a", files), ("x/b", other)):
        hub.repo(name).push(content)
    parents = {name: {"hub": f"x/{name}"} for name in ("base", "a", "b")}
    report = preflight(run_of(parents, base="base", method="task_arithmetic"))
    assert not [note for note in report.notes if "not look like" in note]
    assert [note for note in report.notes if "same weights" in note] == [
        "base and a have the same weights: merging them with each other does nothing"
    ]
    assert all("bytes=0-99999" in request for request in hub.requests if "/cdn" in request)


def test_copies_among_parents_are_noted_after_their_digests(tmp_path: Path) -> None:
    """A model that was changed outside of the sampled layer is no copy."""
    write_llama(tmp_path / "base", **WIDE)
    for name in "ab":
        shutil.copytree(tmp_path / "base", tmp_path / name)
    path = tmp_path / "b/model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"] += 1
    save_file(tensors, path, {"format": "pt"})
    notes = [note for note in preflight(three(tmp_path)).notes if "same weights" in note]
    assert notes == ["base and a have the same weights: merging them with each other does nothing"]
