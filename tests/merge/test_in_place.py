"""Merging into a live model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.merge.models_for_tests import digests_of, recipe_of, save_model
from tsugiki.contracts.recipe import Parameter
from tsugiki.errors import LineageError, ParentError, RecipeError
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.registry import METHODS
from tsugiki.models.grouping import groups
from tsugiki.models.kinds.text import LAYOUT, SINGLE, TEXT

Folders = dict[str, Path]


def merger_of(folders: Folders) -> InPlaceMerger:
    """A merger of these models."""
    return InPlaceMerger(folders, digests_of(folders))


def test_weights_are_the_formula_in_every_block(trio: Folders) -> None:
    """Task arithmetic with other weights in each block, against a computation of its own."""
    merger = merger_of(trio)
    names = groups(merger.plan("base").merged, "block", TEXT)
    weights = {
        parent: {group: 0.1 * (number + start) for number, group in enumerate(names)}
        for start, parent in enumerate(("a", "b"))
    }
    recipe = recipe_of("task_arithmetic").model_copy(
        update={"parameters": {"weight": Parameter(grouping="block", values=weights)}}
    )
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    merger.load_into(recipe, model)
    stored = {name: load_file(folder / SINGLE) for name, folder in trio.items()}
    for tensor, group in [
        ("model.embed_tokens.weight", "embeddings"),
        ("model.layers.1.mlp.up_proj.weight", "block.1"),
        ("lm_head.weight", "head"),
    ]:
        base = stored["base"][tensor]
        expected = base.clone()
        for parent in ("a", "b"):
            expected += weights[parent][group] * (stored[parent][tensor] - base)
        assert torch.allclose(model.state_dict()[tensor], expected, atol=1e-6)


def test_a_merge_depends_on_the_recipe_alone(trio: Folders) -> None:
    """Not on earlier recipes."""
    recipes = [
        recipe_of(method, values={"weight": (0.3, 0.8), "density": density})
        for method in ("ties", "dare_ties")
        for density in (0.4, 0.7)
    ]
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    merger = merger_of(trio)
    first = [merger.load_into(recipe, model) for recipe in recipes]
    again = [merger.load_into(recipe, model) for recipe in reversed(recipes)]
    assert first == again[::-1]
    assert first == [merger_of(trio).load_into(recipe, model) for recipe in recipes]
    assert len(set(first)) == 4


def test_the_digest_changes_with_any_value_and_the_number_format(trio: Folders) -> None:
    """Equal digests mean equal weights."""
    merger = merger_of(trio)
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    digests = {
        merger.load_into(recipe_of("linear", values={"weight": (0.5, w)}, dtype=dtype), model)
        for w in (0.5, 0.5000001)
        for dtype in ("float32", "bfloat16")
    }
    assert len(digests) >= 3


@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties", "dare_ties"])
def test_names_and_order_of_parents_change_no_bit(trio: Folders, method: str) -> None:
    """The same files under other names, listed the other way round."""
    weights = {"a": 0.3, "b": 0.9}
    density = {"density": 0.5} if METHODS[method].parameter("density") else {}
    renamed = {"base": trio["base"], "z": trio["a"], "b": trio["b"]}
    digests = digests_of(trio)
    other_digests = {"base": digests["base"], "z": digests["a"], "b": digests["b"]}
    one = recipe_of(method, ("a", "b"), values={"weight": tuple(weights.values()), **density})
    two = recipe_of(
        method, ("b", "z"), values={"weight": (0.9, 0.3), **density}, digests=other_digests
    )
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    first = merger_of(trio).load_into(one, model)
    assert InPlaceMerger(renamed, other_digests).load_into(two, model) == first


def test_shards_change_no_bit(trio: Folders, tmp_path: Path) -> None:
    """The same weights in two files, in another order."""
    folder = Path(shutil.copytree(trio["a"], tmp_path / "a"))
    tensors = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    names = sorted(tensors, key=lambda name: name[::-1])
    places = {}
    for file, part in (("y.safetensors", names[:9]), ("x.safetensors", names[9:])):
        save_file({name: tensors[name] for name in part}, folder / file)
        places.update(dict.fromkeys(part, file))
    (folder / LAYOUT.index).write_text(json.dumps({"weight_map": places}))
    recipe = recipe_of("dare_ties", values={"density": 0.5})
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    whole = merger_of(trio).load_into(recipe, model)
    assert merger_of(trio | {"a": folder}).load_into(recipe, model) == whole


def test_tied_weights_stay_tied(tied: Folders) -> None:
    """The head is the embeddings, before and after."""
    model = AutoModelForCausalLM.from_pretrained(tied["base"], dtype=torch.float32)
    merger_of(tied).load_into(recipe_of("task_arithmetic", values={"weight": 0.5}), model)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    logits = model(torch.tensor([[1, 2, 3]])).logits
    assert bool(torch.isfinite(logits).all())


def test_parents_of_mixed_formats_are_merged_in_float32(trio: Folders, tmp_path: Path) -> None:
    """bfloat16 parents, float32 base, bfloat16 asked for: rounded once, at the end."""
    a = save_model(tmp_path / "a", seed=1, like=trio["base"], dtype=torch.bfloat16)
    b = save_model(tmp_path / "b", seed=2, like=trio["base"], dtype=torch.bfloat16)
    folders = {"base": trio["base"], "a": a, "b": b}
    recipe = recipe_of("task_arithmetic", values={"weight": 0.5}, dtype="bfloat16")
    merged = dict(merger_of(folders).tensors(recipe))
    name = "model.layers.0.mlp.up_proj.weight"
    base, one, two = (load_file(folder / SINGLE)[name].float() for folder in folders.values())
    assert merged[name].dtype == torch.bfloat16
    assert torch.equal(merged[name], (base + ((one - base) * 0.5 + (two - base) * 0.5)).bfloat16())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_parent_that_is_not_finite_is_named_even_at_weight_0(
    trio: Folders, tmp_path: Path, value: float
) -> None:
    """0 * NaN is NaN."""
    folder = Path(shutil.copytree(trio["b"], tmp_path / "b"))
    tensors = load_file(folder / SINGLE)
    tensors["model.norm.weight"][3] = value
    save_file(tensors, folder / SINGLE)
    recipe = recipe_of("dare_ties", values={"weight": (1.0, 0.0), "density": 0.5})
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    with pytest.raises(ParentError) as caught:
        merger_of(trio | {"b": folder}).load_into(recipe, model)
    assert "`b`" in str(caught.value)
    assert "model.norm.weight" in str(caught.value)


def test_a_result_that_is_not_finite_is_the_recipes_fault(trio: Folders, tmp_path: Path) -> None:
    """Values that float16 cannot hold: the tensor is named."""
    folder = Path(shutil.copytree(trio["b"], tmp_path / "b"))
    tensors = load_file(folder / SINGLE)
    tensors["model.norm.weight"][3] = 60_000.0
    save_file(tensors, folder / SINGLE)
    recipe = recipe_of("task_arithmetic", values={"weight": 3.0}, dtype="float16")
    with pytest.raises(RecipeError, match=r"model\.norm\.weight"):
        dict(merger_of(trio | {"b": folder}).tensors(recipe))


def test_another_parent_under_the_same_name_is_refused(trio: Folders) -> None:
    """The recipe names its parents by digest."""
    merger = InPlaceMerger(trio, digests_of(trio) | {"a": "0" * 64})
    with pytest.raises(LineageError, match="`a`"):
        dict(merger.tensors(recipe_of("linear")))
    with pytest.raises(RecipeError, match="`c`"):
        dict(merger.tensors(recipe_of("linear", ("b", "c"))))


def test_a_model_of_another_shape_is_refused(trio: Folders, tied: Folders, tmp_path: Path) -> None:
    """Before any weight is written."""
    recipe = recipe_of("linear")
    larger = AutoModelForCausalLM.from_pretrained(
        save_model(tmp_path / "m", num_hidden_layers=3), dtype=torch.float32
    )
    with pytest.raises(ParentError, match="not in the checkpoints"):
        merger_of(trio).load_into(recipe, larger)
    tied_model = AutoModelForCausalLM.from_pretrained(tied["base"], dtype=torch.float32)
    with pytest.raises(ParentError, match="tied to"):
        merger_of(trio).load_into(recipe, tied_model)
    half = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.bfloat16)
    with pytest.raises(ParentError, match="number format"):
        merger_of(trio).load_into(recipe, half)


def test_the_number_of_threads_is_left_as_it_was(trio: Folders) -> None:
    """Merging uses one thread per operation, evaluation what it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        dict(merger_of(trio).tensors(recipe_of("linear")))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
