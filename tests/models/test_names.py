"""What stored tensors are called in a merge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.merge.models_for_tests import digests_of, recipe_of
from tsugiki.contracts.recipe import with_names
from tsugiki.errors import LineageError, ParentError
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import SINGLE
from tsugiki.models.names import naming

VISION = {"vision_config": {}}
LAYER = "layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("stored", "outside"),
    [
        ((f"language_model.model.{LAYER}", "language_model.lm_head.weight"), "vision_tower.x"),
        ((f"model.language_model.{LAYER}", "lm_head.weight"), "model.visual.x"),
        ((f"model.text_model.{LAYER}", "lm_head.weight"), "model.connector.x"),
        ((f"model.{LAYER}", "lm_head.weight"), "visual.x"),
    ],
    ids=["LLaVA", "Qwen3-VL", "Idefics", "Qwen2-VL"],
)
def test_the_language_model_is_found_wherever_it_is_stored(
    stored: tuple[str, str], outside: str
) -> None:
    """It gets the names that it has by itself; the rest is outside."""
    found = naming("m", [*stored, outside], VISION)
    assert found == {f"model.{LAYER}": stored[0], "lm_head.weight": stored[1]}


def test_a_text_model_keeps_its_names() -> None:
    """Even names that look like a prefix."""
    names = ["language_model.w", "visual.w"]
    assert naming("m", names, {}) == {name: name for name in names}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({r"a\..+": "x", r"b\..+": r"b.x"}, "two tensors get the same name"),
        ({r"a\..+": r"x.\1"}, "a name cannot be made"),
        ({r"a\.(.+)": r"\1", r".\.w": None}, "several expressions"),
        ({r"c\.(.+)": r"\1"}, "matches no tensor"),
        ({r"a\.w": None, r"b\.w": "a.w"}, "is not merged"),
    ],
)
def test_every_tensor_is_accounted_for_once(names: dict[str, str | None], message: str) -> None:
    """Anything else is told with the model's name."""
    with pytest.raises(ParentError, match=message) as caught:
        naming("mine", ["a.v", "a.w", "b.w"], {}, names)
    assert "`mine`" in str(caught.value)


def test_parents_with_other_names_are_merged_by_a_declared_map(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """The same digest as if the names were the same; the map is part of the recipe."""
    folder = tmp_path / "b"
    folder.mkdir()
    for path in trio["b"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / SINGLE)
    renamed = {re.sub(r"^model\.layers", "transformer.h", name): w for name, w in tensors.items()}
    save_file(renamed | {"extra": torch.ones(3)}, folder / SINGLE)
    folders = trio | {"b": folder}
    names = {"b": {r"transformer\.h\.(.+)": r"model.layers.\1", "extra": None}}
    plain = recipe_of("dare_ties", values={"density": 0.5})
    recipe = with_names(plain, names)
    expected = write_merge(plain, trio, digests_of(trio), tmp_path / "plain")
    assert write_merge(recipe, folders, digests_of(folders), tmp_path / "out") == expected
    assert recipe.digest != plain.digest
    with pytest.raises(ParentError, match="absent"):
        write_merge(plain, folders, digests_of(folders), tmp_path / "no")
    merger = InPlaceMerger(folders, digests_of(folders), names=names)
    with pytest.raises(LineageError, match="not named as the recipe says"):
        dict(merger.tensors(plain))
    assert dict(merger.tensors(recipe)).keys() == tensors.keys()


def test_a_recipe_without_names_has_the_digest_it_always_had() -> None:
    """What is not said is not written."""
    assert b"names" not in recipe_of("ties").to_json()
