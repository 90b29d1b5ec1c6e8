"""The iterators that vLLM takes a candidate's weights from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import MakeRun
from tests.evaluate.vllm_backend.stand_in import stored_names
from tests.parents.checkpoints import write_llama
from tests.runs_for_tests import TinyRun
from tsugiki.contracts.recipe import ParentRef, Recipe
from tsugiki.errors import InfrastructureError, RecipeError
from tsugiki.evaluate.vllm_backend.weights import MergedWeights, StoredWeights, require_taken
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.write import write_merge


def merger_of(run: TinyRun, models: Path) -> InPlaceMerger:
    """A merger of the run's models."""
    return InPlaceMerger({name: models / name for name in run.digests}, run.digests)


STEEP = "model.layers.1.mlp.up_proj.weight"
"""A tensor in the middle of the plan."""


def with_steep(run: TinyRun, models: Path, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Folders and digests of the run's models, and of one that float16 cannot hold."""
    write_llama(folder / "steep", seed=3, extra={STEEP: torch.full((32, 16), 1e5)})
    folders = {name: models / name for name in run.digests} | {"steep": folder / "steep"}
    return folders, run.digests | {"steep": "5" * 64}


def steep(run: TinyRun) -> Recipe:
    """A recipe whose merge fails at that tensor."""
    parents = (ParentRef(name="steep", digest="5" * 64),)
    return run.recipe("linear", base=None, weight=1.0, dtype="float16").model_copy(
        update={"parents": parents}
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_tensors_are_those_of_the_merge_on_disk(
    make_run: MakeRun, tiny_models: Path, tmp_path: Path, device: str, threads: int
) -> None:
    """Each once, by its stored name, bit for bit, whatever the default device is."""
    run = make_run()
    recipe = run.recipe("dare_ties", weight=0.7, density=0.5)
    folders = {name: tiny_models / name for name in run.digests}
    written = write_merge(recipe, folders, run.digests, tmp_path / "merged")
    weights = MergedWeights(merger_of(run, tiny_models), recipe, threads)
    with torch.device(device):
        streamed = list(weights)
    require_taken(weights)
    assert weights.digest() == written
    assert sorted(name for name, _ in streamed) == sorted(stored_names(tmp_path / "merged"))
    stored = load_file(tmp_path / "merged" / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in streamed)
    with torch.device(device):
        again = list(StoredWeights(tmp_path / "merged", merger_of(run, tiny_models).plan("base")))
    assert [name for name, _ in again] == [name for name, _ in streamed]
    assert all(torch.equal(tensor, stored[name]) for name, tensor in again)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_merge_that_fails_half_way_still_gives_every_tensor_once(
    make_run: MakeRun, tiny_models: Path, tmp_path: Path, threads: int
) -> None:
    """Layers of vLLM cannot be left half-way; the failure is told afterwards."""
    run = make_run()
    merger = InPlaceMerger(*with_steep(run, tiny_models, tmp_path))
    recipe = steep(run)
    weights = MergedWeights(merger, recipe, threads)
    names = [name for name, _ in weights]
    planned = [tensor.stored for tensor in merger.plan(recipe.owner).tensors]
    assert sorted(names) == sorted(planned)
    assert 0 < names.index(STEEP) < len(names) - 1
    require_taken(weights)
    with pytest.raises(RecipeError, match="not finite"):
        weights.digest()


def test_a_recipe_without_a_valid_merge_is_refused_before_anything_is_replaced(
    make_run: MakeRun, tiny_models: Path
) -> None:
    """A reload that has begun has to be finished."""
    run = make_run()
    with pytest.raises(RecipeError):
        MergedWeights(merger_of(run, tiny_models), run.recipe("ties", weight=0.5, density=7.0))


def test_tensors_that_are_left_over_are_noticed(make_run: MakeRun, tiny_models: Path) -> None:
    """Else the last candidate's would stay in the model."""
    run = make_run()
    weights = MergedWeights(merger_of(run, tiny_models), run.recipe(weight=0.5))
    next(weights)
    with pytest.raises(InfrastructureError, match="all weights"):
        require_taken(weights)


def test_a_folder_that_is_not_whole_is_a_fault_of_the_machine(
    make_run: MakeRun, tiny_models: Path, tmp_path: Path
) -> None:
    """It is told before anything is replaced."""
    run = make_run()
    tensors = load_file(tiny_models / "a" / "model.safetensors")
    tensors.pop("model.norm.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InfrastructureError, match=r"model\.norm\.weight"):
        StoredWeights(tmp_path, merger_of(run, tiny_models).plan("base"))
