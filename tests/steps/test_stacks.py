"""Stacks of layer ranges, from mergekit files and back, on tiny real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.merge.dataflow.paths_for_tests import (
    SCALES,
    live_of,
    loaded,
    logits,
    path_recipe,
    save_parents,
    winding,
)
from tests.merge.models_for_tests import digests_of
from tests.tensors import same
from tsugiki.api import merge
from tsugiki.contracts.locks import digest_of_files
from tsugiki.contracts.recipe import DataflowRecipe, ParentRef, Recipe, read_recipe
from tsugiki.errors import RecipeError
from tsugiki.merge.write import write_merge
from tsugiki.models.files import digest_folder
from tsugiki.steps.export_mergekit import export_recipe

Folders = dict[str, Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Two random models of four layers. No test writes into them."""
    return save_parents(tmp_path_factory.mktemp("parents"))


def stack(folder: Path, folders: Folders, pieces: list[tuple[Any, ...]], **changes: Any) -> Path:
    """Write a mergekit file of slices (model, first, end, parameters)."""
    slices = [
        {
            "sources": [
                {
                    "model": str(folders[name]),
                    "layer_range": [first, end],
                    **({"parameters": more[0]} if more else {}),
                }
            ]
        }
        for name, first, end, *more in pieces
    ]
    path = folder / "stack.yaml"
    path.write_text(
        yaml.safe_dump(
            {"merge_method": "passthrough", "slices": slices, "dtype": "float32", **changes}
        )
    )
    return path


def merged(file: Path, out: Path, models: Folders | None = None) -> Path:
    """Merge once; return the folder."""
    merge(file, out, models)
    return out


def layer(tensors: dict[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    """The tensors of one layer."""
    prefix = f"model.layers.{number}."
    return {
        name.removeprefix(prefix): values
        for name, values in tensors.items()
        if name.startswith(prefix)
    }


def test_a_stack_has_the_layers_of_its_slices(folders: Folders, tmp_path: Path) -> None:
    """In order; embeddings of the first slice's model, final norm and head of the last one's."""
    file = stack(tmp_path, folders, [("a", 0, 2), ("b", 1, 4)])
    out = merged(file, tmp_path / "out")
    made = load_file(out / "model.safetensors")
    a, b = (load_file(folders[name] / "model.safetensors") for name in "ab")
    for number, (source, of_source) in enumerate([(a, 0), (a, 1), (b, 1), (b, 2), (b, 3)]):
        assert same(layer(made, number), layer(source, of_source))
    assert torch.equal(made["model.embed_tokens.weight"], a["model.embed_tokens.weight"])
    assert torch.equal(made["model.norm.weight"], b["model.norm.weight"])
    assert torch.equal(made["lm_head.weight"], b["lm_head.weight"])
    assert loaded(out).config.num_hidden_layers == 5


def test_the_recipe_of_a_stack_builds_it_again(folders: Folders, tmp_path: Path) -> None:
    """The recipe in the folder is enough, with the models' folders."""
    first = merged(stack(tmp_path, folders, [("a", 0, 3), ("a", 1, 4)]), tmp_path / "first")
    recipe = read_recipe(first / "recipe.json")
    assert isinstance(recipe, DataflowRecipe)
    second = merged(first / "recipe.json", tmp_path / "second", {"a": folders["a"]})
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_scales_of_tensors_are_factors(folders: Folders, tmp_path: Path) -> None:
    """A filter, a gradient over the slice, and a last value that counts for the rest."""
    scale = [{"filter": "o_proj", "value": [0.0, 0.5]}, {"filter": "down_proj", "value": 2.0}]
    parameters = {"scale": [*scale, {"value": 1.0}]}
    file = stack(tmp_path, folders, [("a", 0, 3, parameters), ("a", 3, 4)])
    made = load_file(merged(file, tmp_path / "out") / "model.safetensors")
    plain = load_file(folders["a"] / "model.safetensors")
    for number, factor in enumerate([0.0, 0.25, 0.5, 1.0]):
        got, was = layer(made, number), layer(plain, number)
        for part in ("weight", "bias"):
            assert torch.equal(
                got[f"self_attn.o_proj.{part}"], was[f"self_attn.o_proj.{part}"] * factor
            )
        down = 2.0 if number < 3 else 1.0
        assert torch.equal(got["mlp.down_proj.weight"], was["mlp.down_proj.weight"] * down)
        assert torch.equal(got["mlp.up_proj.weight"], was["mlp.up_proj.weight"])


def test_all_layers_of_one_model_in_order_are_no_stack(folders: Folders, tmp_path: Path) -> None:
    """They stay a merge in parameter space."""
    out = merged(stack(tmp_path, folders, [("a", 0, 2), ("a", 2, 4)]), tmp_path / "out")
    assert isinstance(read_recipe(out / "recipe.json"), Recipe)


REFUSED = {
    "at most": [("a", 0, 5)],
    "no parameter `weight`": [("a", 1, 2, {"weight": 1.0})],
    "outside the layers": [("a", 1, 2, {"scale": 0.5})],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_path_cannot_express_is_refused(
    message: str, folders: Folders, tmp_path: Path
) -> None:
    """Layers that are not there, parameters that mergekit ignores, scaled embeddings."""
    with pytest.raises(RecipeError, match=message):
        merged(stack(tmp_path, folders, REFUSED[message]), tmp_path / "out")


def test_another_models_tokenizer_is_refused(folders: Folders, tmp_path: Path) -> None:
    """The owner gives embeddings and tokenizer."""
    file = stack(tmp_path, folders, [("a", 0, 1), ("b", 1, 2)], base_model=str(folders["b"]))
    with pytest.raises(RecipeError, match="tokenizer and configuration"):
        merged(file, tmp_path / "out")


def test_a_slice_of_two_models_is_refused(folders: Folders, tmp_path: Path) -> None:
    """`passthrough` takes each layer from one model."""
    file = stack(tmp_path, folders, [("a", 1, 2)])
    document = yaml.safe_load(file.read_text())
    document["slices"][0]["sources"].append({"model": str(folders["b"]), "layer_range": [1, 2]})
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(RecipeError, match="takes each layer from one model"):
        merged(file, tmp_path / "out")


def test_a_path_exported_and_read_again_is_the_same_model(folders: Folders, tmp_path: Path) -> None:
    """Folded scales, signs among them, become scales of tensors."""
    recipe = winding([*SCALES[:-1], 0.9])
    write_merge(recipe, folders, digests_of(folders), tmp_path / "ours")
    places = {name: str(folder) for name, folder in folders.items()}
    file = tmp_path / "exported.yaml"
    file.write_text(export_recipe(recipe, places))
    out = merged(file, tmp_path / "theirs")
    again = read_recipe(out / "recipe.json")
    assert isinstance(again, DataflowRecipe)
    assert [(hop.parent, hop.layer) for hop in again.path] == [
        (hop.parent, hop.layer) for hop in recipe.path
    ]
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "theirs"))
    assert same(ours, theirs)


def test_a_last_negative_sign_is_in_the_final_norm(folders: Folders) -> None:
    """In the last slice, where mergekit looks up what follows the layers."""
    places = {name: str(folder) for name, folder in folders.items()}
    document = yaml.safe_load(export_recipe(path_recipe([("a", 0), ("a", 1, -2.0)]), places))
    scale = document["slices"][-1]["sources"][0]["parameters"]["scale"]
    value = next(
        entry["value"] for entry in scale if entry.get("filter", "") in "model.norm.weight"
    )
    assert value == -1.0


def test_a_stack_exported_and_read_again_is_the_same_recipe(
    folders: Folders, tmp_path: Path
) -> None:
    """Consecutive layers of one model are one slice."""
    digests = {name: digest_of_files(digest_folder(folder)) for name, folder in folders.items()}
    recipe = path_recipe(
        [("a", 0), ("a", 1), ("b", 1), ("b", 2), ("b", 3)],
        parents=tuple(ParentRef(name=name, digest=digest) for name, digest in digests.items()),
        head="b",
    )
    places = {name: str(folder) for name, folder in folders.items()}
    text = export_recipe(recipe, places)
    slices = yaml.safe_load(text)["slices"]
    assert [piece["sources"][0]["layer_range"] for piece in slices] == [[0, 2], [1, 4]]
    file = tmp_path / "exported.yaml"
    file.write_text(text)
    again = read_recipe(merged(file, tmp_path / "out") / "recipe.json")
    assert again.digest == recipe.digest


def test_a_path_whose_ends_are_anothers_cannot_be_exported(folders: Folders) -> None:
    """Mergekit would take the embeddings from that other model."""
    places = {name: str(folder) for name, folder in folders.items()}
    with pytest.raises(RecipeError, match="embeddings"):
        export_recipe(path_recipe([("b", 0), ("a", 3)]), places)
    with pytest.raises(RecipeError, match="final norm"):
        export_recipe(path_recipe([("a", 0), ("b", 3)]), places)


def test_norms_of_one_plus_w_cannot_be_exported(tmp_path: Path) -> None:
    """A sign of 1 + w is no product of w; a stack without scales is fine."""
    parents = save_parents(tmp_path, "gemma")
    places = {name: str(folder) for name, folder in parents.items()}
    with pytest.raises(RecipeError, match=r"1 \+ w"):
        export_recipe(path_recipe([("a", 0, -1.0), ("a", 3)]), places)
    assert "passthrough" in export_recipe(path_recipe([("a", 0, 2.0), ("a", 3)]), places)


def test_a_scaled_stack_computes_what_its_recipe_says(folders: Folders, tmp_path: Path) -> None:
    """The live model of a recipe with factors is the saved one."""
    recipe = path_recipe([("a", 0, 1.5, {"mlp.down_proj.weight": 0.5}), ("a", 3)])
    model, _ = live_of(folders).assemble(recipe)
    write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    assert torch.equal(logits(model), logits(loaded(tmp_path / "out")))
    weight = model.model.layers[0].mlp.down_proj.weight
    plain = load_file(folders["a"] / "model.safetensors")["model.layers.0.mlp.down_proj.weight"]
    torch.testing.assert_close(weight.data, plain * 0.5 / 1.5)
