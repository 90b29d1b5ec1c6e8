"""Layers that only guess ahead are copied from the model that gives the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.parents.checkpoints import write_llama
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import TEXT

DRAFTS = ("model.layers.2.eh_proj.weight", "model.layers.2.mlp.up_proj.weight", "mtp.fc.weight")
DIGESTS = {"a": "a" * 64, "b": "b" * 64}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Two models of two layers; `a` has draft layers, too."""
    extra = {name: torch.full((32, 16), float(number)) for number, name in enumerate(DRAFTS)}
    a = write_llama(tmp_path / "a", seed=1, num_nextn_predict_layers=1, extra=extra)
    return {"a": a, "b": write_llama(tmp_path / "b", seed=2)}


def recipe(owner: str) -> Recipe:
    """The mean of both."""
    return Recipe(
        method="linear",
        base=None,
        parents=tuple(ParentRef(name=name, digest=digest) for name, digest in DIGESTS.items()),
        parameters={"weight": Parameter(values={"*": {"model": 0.5}})},
        owner=owner,
        dtype="float32",
    )


def test_the_owners_are_copied_as_they_are(folders: dict[str, Path], tmp_path: Path) -> None:
    """Beside merged layers; the configuration still says how many there are."""
    write_merge(recipe("a"), folders, DIGESTS, tmp_path / "out", threads=1)
    merged, a, b = (
        load_file(f / "model.safetensors") for f in (tmp_path / "out", *folders.values())
    )
    assert merged.keys() == a.keys()
    for name in DRAFTS:
        assert torch.equal(merged[name], a[name])
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.allclose(merged[name], (a[name] + b[name]) / 2)
    assert '"num_nextn_predict_layers": 1' in (tmp_path / "out/config.json").read_text()


def test_others_are_left_out(folders: dict[str, Path], tmp_path: Path) -> None:
    """The configuration is of a model without any."""
    write_merge(recipe("b"), folders, DIGESTS, tmp_path / "out", threads=1)
    merged = load_file(tmp_path / "out/model.safetensors")
    assert merged.keys() == load_file(folders["b"] / "model.safetensors").keys()
    assert "num_nextn_predict_layers" not in (tmp_path / "out/config.json").read_text()


def test_a_live_model_takes_the_rest(folders: dict[str, Path]) -> None:
    """Transformers does not load draft layers."""
    model = AutoModelForCausalLM.from_pretrained(folders["a"])
    InPlaceMerger(folders, DIGESTS).load_into(recipe("a"), model)
    a, b = (load_file(folder / "model.safetensors") for folder in folders.values())
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.allclose(model.state_dict()[name], (a[name] + b[name]) / 2)


@pytest.mark.parametrize(
    ("name", "config", "draft"),
    [
        ("mtp.layers.0.mlp.up_proj.weight", {}, True),
        ("model.mtp_layers.0.mlp.up_proj.weight", {}, True),
        ("model.layers.2.mlp.up_proj.weight", {"num_nextn_predict_layers": 1}, True),
        ("model.layers.2.mlp.up_proj.weight", {}, False),
        ("model.layers.2.mlp.up_proj.weight", {"num_nextn_predict_layers": None}, False),
        ("model.layers.3.mlp.up_proj.weight", {"num_nextn_predict_layers": 1}, False),
        ("model.layers.1.mlp.up_proj.weight", {"num_nextn_predict_layers": 1}, False),
        ("model.norm.weight", {"num_nextn_predict_layers": 1}, False),
        ("model.smtp.weight", {}, False),
    ],
)
def test_draft_layers_follow_those_that_are_stated(
    name: str, config: dict[str, int], draft: bool
) -> None:
    """By their number, or by a name of their own; of a vision model, the language model's count."""
    assert TEXT.is_unused(name, {"num_hidden_layers": 2, **config}) is draft
    text = {"num_hidden_layers": 2, **config}
    assert TEXT.is_unused(name, {"num_hidden_layers": 9, "text_config": text}) is draft
