"""Values along the depth of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.merge.models_for_tests import digests_of, recipe_of, save_model
from tests.mergekit.test_exporting import read_back, written
from tests.mergekit.test_exporting import recipe_of as exported_recipe
from tests.mergekit.test_importing import TENSORS
from tests.space.test_parameter_space import space_of
from tsugiki.contracts.recipe import Gradient, Parameter, read_recipe
from tsugiki.errors import RecipeError
from tsugiki.merge.settings import Settings
from tsugiki.merge.write import write_merge
from tsugiki.models.grouping import interpolated, value_at
from tsugiki.models.kinds.text import SINGLE, TEXT
from tsugiki.space.parameter_space import ParameterGenome

ANCHORS = {"anchor.0": 0.2, "anchor.1": 0.8, "anchor.2": 0.4}


@pytest.mark.parametrize("blocks", [2, 3, 5, 12, 32])
def test_blocks_lie_on_straight_lines_between_the_anchors(blocks: int) -> None:
    """As numpy draws them."""
    names = [f"model.layers.{i}.mlp.w" for i in range(blocks)]
    found = [value_at(ANCHORS, TEXT.place(name), TEXT.blocks(names)) for name in names]
    expected = np.interp(np.arange(blocks) / (blocks - 1), [0, 0.5, 1], list(ANCHORS.values()))
    assert found == pytest.approx(list(expected))


def test_tensors_outside_the_blocks_have_the_first_anchor() -> None:
    """Embeddings, head, and an image encoder's own blocks; one block alone has the last."""
    for name in ("model.embed_tokens.weight", "lm_head.weight", "vision_tower.layers.3.w"):
        assert value_at(ANCHORS, TEXT.place(name), ["block.0", "block.1"]) == 0.2
    assert value_at(ANCHORS, TEXT.place("model.layers.0.mlp.w"), ["block.0"]) == 0.4


def test_a_genome_has_a_gene_for_each_anchor() -> None:
    """And its recipes survive being written and read."""
    space = space_of(genes={"weight": {"range": [0.0, 1.0], "grouping": {"gradient": 3}}})
    assert [(gene.parent, gene.group) for gene in space.genes] == [
        (parent, group) for parent in ("a", "b") for group in ANCHORS
    ]
    recipe = space.decode([0.1, 0.9, 0.5, 0.2, 0.3, 0.4])
    assert recipe.parameters["weight"].grouping == Gradient(gradient=3)
    assert ParameterGenome.model_validate_json(space.to_json()).decode([0.5] * 6) == space.decode(
        [0.5] * 6
    )


def test_a_merge_follows_the_gradient(tmp_path: Path) -> None:
    """Each block of the written model is the formula with its own weight."""
    folders = {"base": save_model(tmp_path / "base", num_hidden_layers=4)}
    folders["a"] = save_model(tmp_path / "a", seed=1, num_hidden_layers=4)
    weight = Parameter(grouping=Gradient(gradient=3), values={"a": ANCHORS})
    recipe = recipe_of("task_arithmetic", ("a",)).model_copy(
        update={"parameters": {"weight": weight}}
    )
    write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    assert read_recipe(tmp_path / "out" / "recipe.json") == recipe
    base, parent, merged = (load_file(f / SINGLE) for f in (*folders.values(), tmp_path / "out"))
    for block, value in enumerate([0.2, 0.6, 0.8 - 0.4 / 3, 0.4]):
        name = f"model.layers.{block}.mlp.up_proj.weight"
        assert torch.allclose(
            merged[name], base[name] + value * (parent[name] - base[name]), atol=1e-6
        )


def test_a_gradient_without_all_its_anchors_is_no_recipe() -> None:
    """As for any other grouping."""
    weight = Parameter(grouping=Gradient(gradient=3), values={"a": {"anchor.0": 1.0}})
    recipe = recipe_of("linear", ("a",)).model_copy(update={"parameters": {"weight": weight}})
    with pytest.raises(RecipeError, match=r"anchor\.2"):
        Settings(recipe, TENSORS, TEXT)


def test_a_gradient_is_a_list_in_mergekit() -> None:
    """One for each model; read back, every tensor has the value that it had."""
    other = {name: value / 2 for name, value in ANCHORS.items()}
    recipe = exported_recipe(
        "task_arithmetic",
        parameters={
            "weight": Parameter(grouping=Gradient(gradient=3), values={"a": ANCHORS, "b": other})
        },
    )
    document = written(recipe)
    assert "slices" not in document
    assert [model["parameters"]["weight"] for model in document["models"]] == [
        [0.2, 0.8, 0.4],
        [0.1, 0.4, 0.2],
    ]
    here, there = Settings(recipe, TENSORS, TEXT), Settings(read_back(recipe), TENSORS, TEXT)
    for tensor in TENSORS:
        assert here.per_parent(tensor)["weight"] == pytest.approx(
            there.per_parent(tensor)["weight"]
        )


def test_a_gradient_for_all_models_is_written_once() -> None:
    """A parameter that belongs to the merge, not to a model (slerp's t)."""
    recipe = exported_recipe(
        "slerp",
        "a",
        parameters={"t": Parameter(grouping=Gradient(gradient=3), values={"a": ANCHORS})},
    )
    assert written(recipe)["parameters"]["t"] == [0.2, 0.8, 0.4]


def test_a_gradient_beside_blocks_becomes_slices() -> None:
    """Where another parameter has a value for each block."""
    blocks = {"embeddings": 0.1, "block.0": 0.2, "block.1": 0.3, "block.2": 0.4, "head": 0.5}
    recipe = exported_recipe(
        "ties",
        "a",
        parameters={
            "weight": Parameter(
                grouping=Gradient(gradient=2), values={"a": {"anchor.0": 1.0, "anchor.1": 0.0}}
            ),
            "density": Parameter(grouping="block", values={"a": blocks}),
        },
    )
    assert len(written(recipe)["slices"]) == 3
    here, there = Settings(recipe, TENSORS, TEXT), Settings(read_back(recipe), TENSORS, TEXT)
    for tensor in TENSORS:
        assert here.per_parent(tensor) == there.per_parent(tensor)


@pytest.mark.parametrize(
    ("anchors", "t", "expected"),
    [
        ([0.4], 0.7, 0.4),
        ([0.0, 1.0], 0.25, 0.25),
        ([0.0, 0.5, 0.3, 0.7, 1.0], 0.5, 0.3),
        ([1.0, 0.7, 0.1], 0.75, 0.4),
        ([0.0, 0.3, 0.7, 1.0], 1.0, 1.0),
        ([0.2, 0.9], 0.0, 0.2),
    ],
)
def test_gradient_interpolates_between_evenly_spread_anchors(
    anchors: list[float], t: float, expected: float
) -> None:
    """Anchor k of n stands at k / (n - 1), with straight lines in between."""
    assert interpolated(list(anchors), t) == pytest.approx(expected)
