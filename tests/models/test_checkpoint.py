"""Reading checkpoints, whole and broken."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.merge.models_for_tests import save_model
from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.checks.numbers import check_numbers
from tsugiki.models.facts import read_facts
from tsugiki.models.kinds.text import LAYOUT, SINGLE
from tsugiki.models.sources import FolderFiles


@pytest.fixture
def folder(trio: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a model, to be broken."""
    return Path(shutil.copytree(trio["a"], tmp_path / "model"))


@pytest.fixture
def sharded(folder: Path) -> Path:
    """The same in two shards."""
    tensors = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    names = sorted(tensors)
    places = {}
    for number, part in enumerate((names[:5], names[5:]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        places.update(dict.fromkeys(part, file))
    (folder / LAYOUT.index).write_text(json.dumps({"weight_map": places}))
    return folder


def fault(folder: Path) -> str:
    """The message that opening the folder gives: the first fault that `tsugiki check` would print."""
    with pytest.raises(ParentError) as caught:
        Checkpoint("p", folder)
    assert "`p`" in str(caught.value)
    if folder.is_dir():
        facts, faults = read_facts("p", FolderFiles(folder))
        assert str(caught.value) == str([*faults, *check_numbers(facts)][0])
    return str(caught.value)


def test_headers_and_values_are_those_of_the_file(folder: Path) -> None:
    """Names, shapes and values are what safetensors' own reader gives."""
    expected = load_file(folder / SINGLE)
    checkpoint = Checkpoint("p", folder)
    assert checkpoint.headers.keys() == expected.keys()
    for name, values in expected.items():
        assert checkpoint.headers[name].shape == tuple(values.shape)
        assert torch.equal(checkpoint.tensor(name), values)


def test_shards_are_one_model(sharded: Path, trio: dict[str, Path]) -> None:
    """The index decides where a tensor is."""
    expected = load_file(trio["a"] / SINGLE)
    checkpoint = Checkpoint("p", sharded)
    assert checkpoint.headers.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(checkpoint.tensor(name), values)


@pytest.mark.parametrize("cut", [40, 100_000_000])
def test_a_truncated_file_is_named(folder: Path, cut: int) -> None:
    """By its size, before any weight is read."""
    path = folder / SINGLE
    path.write_bytes(path.read_bytes()[: max(10, path.stat().st_size - cut)])
    assert SINGLE in fault(folder)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    """The index names a file that is not there."""
    (sharded / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors" in fault(sharded)


@pytest.mark.parametrize("path", ["../model-00001-of-00002.safetensors", "/etc/passwd", ".."])
def test_an_index_that_leaves_the_folder_is_refused(sharded: Path, path: str) -> None:
    """Even if there is such a file."""
    index = json.loads((sharded / LAYOUT.index).read_text())
    index["weight_map"]["lm_head.weight"] = path
    (sharded / LAYOUT.index).write_text(json.dumps(index))
    shutil.copyfile(
        sharded / "model-00001-of-00002.safetensors",
        sharded.parent / "model-00001-of-00002.safetensors",
    )
    assert "outside the model's folder" in fault(sharded)


def test_a_shard_without_a_tensor_that_the_index_places_there_is_refused(sharded: Path) -> None:
    """The index and the shards disagree."""
    index = json.loads((sharded / LAYOUT.index).read_text())
    index["weight_map"]["lm_head.extra"] = "model-00001-of-00002.safetensors"
    (sharded / LAYOUT.index).write_text(json.dumps(index))
    assert "lm_head.extra" in fault(sharded)


def test_a_stray_whole_file_beside_shards_is_refused(sharded: Path, trio: dict[str, Path]) -> None:
    """One library reads the file, another one the shards."""
    shutil.copyfile(trio["b"] / SINGLE, sharded / SINGLE)
    text = fault(sharded)
    for part in (SINGLE, LAYOUT.index, "model-00001-of-00002.safetensors"):
        assert part in text


def test_a_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    """Both files are named, and the tensor."""
    one, two = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
    tensors = load_file(sharded / two)
    name = min(load_file(sharded / one))
    save_file({**tensors, name: torch.ones(1)}, sharded / two)
    text = fault(sharded)
    for part in (one, two, name):
        assert part in text


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (self.target, "w"))


def test_a_pickle_is_refused_and_never_run(folder: Path, tmp_path: Path) -> None:
    """The message says how to convert it."""
    (folder / SINGLE).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile(tmp_path / "run")))
    assert "safetensors" in fault(folder)
    assert not (tmp_path / "run").exists()


def test_an_adapter_is_recognised(folder: Path) -> None:
    """A LoRA folder is not taken for a model."""
    (folder / SINGLE).unlink()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    assert "LoRA" in fault(folder)


def test_a_quantised_model_is_refused_by_its_configuration(folder: Path) -> None:
    """Packed weights cannot be averaged."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    assert "gptq" in fault(folder)


def test_eight_bit_floats_are_refused(folder: Path) -> None:
    """By the header."""
    tensors = load_file(folder / SINGLE)
    tensors["lm_head.weight"] = tensors["lm_head.weight"].to(torch.float8_e4m3fn)
    save_file(tensors, folder / SINGLE)
    assert "F8_E4M3" in fault(folder)


@pytest.mark.parametrize("what", ["absent", "empty", "no config", "bad config", "bad index"])
def test_what_is_no_model_is_said_so(sharded: Path, tmp_path: Path, what: str) -> None:
    """Each with one error that names the folder."""
    folder = sharded
    if what == "absent":
        folder = tmp_path / "nowhere"
    elif what == "empty":
        folder = tmp_path / "empty"
        folder.mkdir()
    elif what == "no config":
        (folder / "config.json").unlink()
    elif what == "bad config":
        (folder / "config.json").write_text("{")
    else:
        (folder / LAYOUT.index).write_text("{}")
    assert str(folder) in fault(folder)


def test_a_model_that_transformers_shards_is_read(tmp_path: Path) -> None:
    """An index as transformers writes it."""
    import transformers

    folder = save_model(tmp_path / "m")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model.save_pretrained(folder, max_shard_size="4KB")
    (folder / SINGLE).unlink(missing_ok=True)
    assert (folder / LAYOUT.index).is_file()
    assert Checkpoint("p", folder).headers.keys() == model.state_dict().keys()
