"""Candidates are built in the memory of the live model, by as many threads as are given."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.merge.models_for_tests import digests_of, recipe_of, save_model, save_tokenizer
from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import RecipeError
from tsugiki.merge import blockwise, live, weighted
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.registry import METHODS
from tsugiki.merge.write import write_merge

Folders = dict[str, Path]
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def merger_of(folders: Folders) -> InPlaceMerger:
    """A merger of these models."""
    return InPlaceMerger(folders, digests_of(folders))


def live_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A model whose weights are all NaN, so that one which is not written shows."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(torch.nan)
    return model  # type: ignore[no-any-return]


def written(recipe: Recipe, folders: Folders, out: Path) -> tuple[str, dict[str, Tensor]]:
    """Digest and weights of the same merge on disk."""
    digest = write_merge(recipe, folders, digests_of(folders), out)
    loaded = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    return digest, loaded.state_dict()


def spied(loop: Callable[..., bool], places: list[tuple[int, int]]) -> Callable[..., bool]:
    """A loop that notes from where to where in memory it writes."""

    def spying(*arguments: Any) -> bool:
        out = arguments[-1]
        places.append((out.ctypes.data, out.ctypes.data + out.nbytes))
        return loop(*arguments)

    return spying


@pytest.mark.parametrize("dtype", list(FORMATS))
def test_the_loop_writes_into_the_models_own_memory(
    trio: Folders, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte of it, and nowhere else; parameters stay where they were."""
    places: list[tuple[int, int]] = []
    loop = weighted.sums.weighted_sum
    monkeypatch.setattr(weighted.sums, "weighted_sum", spied(loop, places))
    model = live_model(trio["base"], FORMATS[dtype])
    before = {values.data_ptr(): values.data_ptr() + values.nbytes for values in model.parameters()}
    merger_of(trio).load_into(recipe_of("linear", dtype=dtype), model)
    assert dict(places) == before
    assert [values.data_ptr() for values in model.parameters()] == list(before)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("alive", list(FORMATS))
@pytest.mark.parametrize("method", list(METHODS))
def test_the_live_model_is_the_one_on_disk_for_any_number_of_threads(
    trio: Folders, tmp_path: Path, method: str, alive: str, threads: int
) -> None:
    """For every method: the digest, and every weight, in the recipe's format or in float32."""
    parents = ("a", "b") if (METHODS[method].max_parents or 2) > 1 else ("a",)
    values = {
        spec.name: value
        for spec in METHODS[method].parameters
        if (value := {"weight": 0.7, "density": 0.4, "t": 0.3}.get(spec.name)) is not None
    }
    base = None if METHODS[method].base == "unused" else "base"
    recipe = recipe_of(method, parents, base=base, values=values, dtype="bfloat16", owner="base")
    digest, weights = written(recipe, trio, tmp_path / "out")
    model = live_model(trio["base"], FORMATS[alive])
    assert merger_of(trio).load_into(recipe, model, threads=threads) == digest
    for name, merged in model.state_dict().items():
        assert merged.dtype == FORMATS[alive]
        assert torch.equal(merged, weights[name].to(merged.dtype)), name


@pytest.fixture
def large(tmp_path: Path) -> Folders:
    """A base, and a model some of whose weights are beyond bfloat16's range when doubled."""
    base = save_model(tmp_path / "base", dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.up_proj.weight[:, :3] = 3e38
    model.save_pretrained(tmp_path / "a")
    save_tokenizer(tmp_path / "a")
    return {"base": base, "a": tmp_path / "a"}


def times(factor: float) -> Recipe:
    """The model `a`, multiplied."""
    recipe = recipe_of("linear", ("a",), base=None, values={"weight": factor}, dtype="bfloat16")
    return recipe.model_copy(update={"options": {"normalize": False}})


@pytest.mark.parametrize("alive", list(FORMATS))
@pytest.mark.parametrize("threads", [1, 3])
def test_a_result_that_is_not_finite_is_told_the_same_from_memory_and_disk(
    large: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, alive: str
) -> None:
    """The first such tensor is named, and all its elements are counted, whatever the pieces."""
    monkeypatch.setattr(blockwise, "PIECE", 64)
    with pytest.raises(RecipeError) as on_disk:
        write_merge(times(2.0), large, digests_of(large), tmp_path / "out", threads=threads)
    model = live_model(large["base"], FORMATS[alive])
    with pytest.raises(RecipeError) as in_memory:
        merger_of(large).load_into(times(2.0), model, threads=threads)
    assert str(in_memory.value) == str(on_disk.value)
    assert "model.layers.0.mlp.up_proj.weight" in str(in_memory.value)
    assert f"{24 * 3} NaN or infinite" in str(in_memory.value)


def test_the_next_candidate_is_whole_after_one_that_was_not_finite(large: Folders) -> None:
    """What was half written is written over."""
    merger = merger_of(large)
    model = live_model(large["base"], torch.bfloat16)
    digest = merger.load_into(times(0.5), model)
    weights = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(RecipeError, match="not finite"):
        merger.load_into(times(2.0), model, threads=2)
    assert merger.load_into(times(0.5), model, threads=2) == digest
    for name, values in model.state_dict().items():
        assert torch.equal(values, weights[name])


def test_a_weight_that_lies_in_memory_in_another_order_is_copied(
    trio: Folders, tmp_path: Path
) -> None:
    """A transposed weight is given its elements by place, not by memory."""
    recipe = recipe_of("ties", values={"density": 0.5}, dtype="bfloat16")
    digest, weights = written(recipe, trio, tmp_path / "out")
    model = live_model(trio["base"], torch.bfloat16)
    layer = model.model.layers[0].mlp
    turned = layer.up_proj.weight.detach().T.contiguous().T
    layer.up_proj.weight = nn.Parameter(turned)
    assert merger_of(trio).load_into(recipe, model) == digest
    assert torch.equal(turned, weights["model.layers.0.mlp.up_proj.weight"])


def test_where_tensors_go_is_found_once_until_the_model_is_moved(
    trio: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight that was replaced is noticed, and its successor written."""
    calls = []
    found = live.bind

    def counting(*given: Any) -> dict[str, Tensor]:
        calls.append(given)
        return found(*given)

    monkeypatch.setattr(live, "bind", counting)
    merger, recipe = merger_of(trio), recipe_of("linear", dtype="bfloat16")
    model = live_model(trio["base"], torch.bfloat16)
    digests = [merger.load_into(recipe, model) for _ in range(3)]
    assert len(calls) == 1
    head = model.lm_head.weight
    model.lm_head.weight = nn.Parameter(torch.full_like(head, torch.nan))
    assert merger.load_into(recipe, model) == digests[0]
    assert torch.equal(model.lm_head.weight, head)
    assert len(calls) == 2


def test_a_model_that_nobody_uses_is_not_kept(trio: Folders) -> None:
    """Neither it nor the memory of its weights."""
    merger = merger_of(trio)
    model = live_model(trio["base"], torch.float32)
    merger.load_into(recipe_of("linear"), model)
    gone = weakref.ref(model), weakref.ref(model.lm_head.weight.untyped_storage())
    del model
    gc.collect()
    assert [kept() for kept in gone] == [None, None]
