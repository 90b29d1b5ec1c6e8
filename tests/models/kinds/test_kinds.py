"""The port for kinds of models: what is said by a kind is said nowhere else, and another kind fits in."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tsugiki
from tests.merge.models_for_tests import digests_of
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.errors import ParentError
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds import registry
from tsugiki.models.kinds.kind import Kind, Layout, Place, SidecarFiles
from tsugiki.models.kinds.registry import KINDS, kind_of
from tsugiki.models.kinds.text import TEXT, Text
from tsugiki.models.kinds.vision_language import VISION_LANGUAGE

PACKAGE = Path(tsugiki.__file__).parent
NAMES = re.compile(
    r"embed_tokens|lm_head|vision_tower|multi_modal_projector|language_model\b|layers\\?\.|"
    r"self_attn|layernorm|vision_config|text_config|(?<!_)model\.safetensors|(?<!_)config\.json"
)


def texts(path: Path) -> list[str]:
    """All strings of a module but its docstrings, and those that say what a user may do."""
    tree = ast.parse(path.read_text("utf-8"))
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    told |= {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg in {"fix", "expected"}
        for inner in ast.walk(node)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    ]


@pytest.mark.parametrize("folder", ["merge", "space", "models"])
def test_only_a_kind_names_layers_and_files_of_models(folder: str) -> None:
    """Neither merging, nor decoding, nor the checks know what a language model's tensors are called."""
    files = [path for path in (PACKAGE / folder).rglob("*.py") if path.parent.name != "kinds"]
    assert files
    assert [(path.name, text) for path in files for text in texts(path) if NAMES.search(text)] == []


def test_a_configuration_says_of_what_kind_a_model_is() -> None:
    """With a section for images it is a vision-language model; any other is a text model."""
    assert kind_of({"model_type": "llava", "vision_config": {}}) is VISION_LANGUAGE
    assert kind_of({"model_type": "llama"}) is TEXT
    assert KINDS[-1] is TEXT


class UNet(Text):
    """As a diffusion model's might be: other files, other blocks, no tokens."""

    name = "U-Net"
    layout = Layout(config="config.json", weights="diffusion_pytorch_model.safetensors")
    type_key = "_class_name"
    sidecar = SidecarFiles((), ("scheduler_config.json",))
    before = ("in",)
    after = ("out",)

    def fits(self, config: Mapping[str, Any]) -> bool:
        """By the name of its class."""
        return config.get("_class_name") == "UNet2DConditionModel"

    def place(self, name: str) -> Place | None:
        """`down_blocks.0.…` is in `down.0`."""
        if name.startswith("conv_"):
            return Place(name.split(".", maxsplit=1)[0].removeprefix("conv_"))
        way, _, number = name.partition("_block")
        number = number.removeprefix("s.").split(".")[0]
        return Place(f"{way}.{number}" if way != "mid" else way, in_block=True, part="resnet")

    def blocks(self, names: Iterable[str]) -> list[str]:
        """Down, middle, up."""
        found = {place.group for name in names if (place := self.place(name)) and place.in_block}
        return sorted(found, key=lambda one: (["down", "mid", "up"].index(one.split(".")[0]), one))

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """As they are written."""
        return dict(config)


TENSORS = ("conv_in.weight", "down_blocks.0.w", "down_blocks.1.w", "mid_block.w", "up_blocks.0.w")


@pytest.fixture
def unets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two models of another kind, which the registry knows."""
    kinds: tuple[Kind, ...] = (UNet(), *KINDS)
    monkeypatch.setattr(registry, "KINDS", kinds)
    folders = {name: tmp_path / name for name in "ab"}
    for seed, folder in enumerate(folders.values()):
        torch.manual_seed(seed)
        folder.mkdir()
        save_file({name: torch.randn(4, 4) for name in TENSORS}, folder / kinds[0].layout.weights)
        config = {"_class_name": "UNet2DConditionModel", "sample_size": 8}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "scheduler_config.json").write_text(f'"{folder.name}"')
    return folders


def mean_of(folders: Mapping[str, Path], weights: Mapping[str, float]) -> Recipe:
    """A weight of `a` for each of the groups, the rest of `b`."""
    digests = digests_of(folders)
    values = {"a": dict(weights), "b": {name: 1 - value for name, value in weights.items()}}
    return Recipe(
        method="linear",
        parents=tuple(ParentRef(name=name, digest=digests[name]) for name in folders),
        parameters={"weight": Parameter(grouping="block", values=values)},
        dtype="float32",
        owner="b",
    )


def test_another_kind_is_merged_by_its_own_blocks_and_files(
    unets: dict[str, Path], tmp_path: Path
) -> None:
    """Each block with its own weight; the files beside the weights are the owner's."""
    weights = {"in": 0.1, "down.0": 0.2, "down.1": 0.3, "mid": 0.4, "up.0": 0.5}
    out = tmp_path / "out"
    write_merge(mean_of(unets, weights), unets, digests_of(unets), out)
    file = "diffusion_pytorch_model.safetensors"
    merged, a, b = (load_file(folder / file) for folder in (out, *unets.values()))
    for name, weight in zip(TENSORS, weights.values(), strict=True):
        torch.testing.assert_close(merged[name], weight * a[name] + (1 - weight) * b[name])
    assert (out / "scheduler_config.json").read_text() == '"b"'


def test_settings_of_another_kind_are_compared_as_it_says(
    unets: dict[str, Path], tmp_path: Path
) -> None:
    """Here all that no kind lets differ has to agree."""
    config = {"_class_name": "UNet2DConditionModel", "hidden_size": 9}
    (unets["a"] / "config.json").write_text(json.dumps(config))
    with pytest.raises(ParentError, match="differ in hidden_size"):
        write_merge(mean_of(unets, {"in": 1.0}), unets, digests_of(unets), tmp_path / "out")
