"""Models held on a device; here it is the processor, which computes the same formulas."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.merge.models_for_tests import digests_of, recipe_of
from tests.tensors import same
from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.engine import Merge
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.models import ROOM, fits_on_device
from tsugiki.merge.registry import METHODS
from tsugiki.merge.selection import nth_largest_by_counting
from tsugiki.models.kinds.text import SINGLE

Folders = dict[str, Path]
CPU = torch.device("cpu")
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
VALUES = {"weight": (0.7, 1.3), "density": (0.4, 0.3), "gamma": 0.05, "t": 0.3, "scale": 0.8}


def merger_of(folders: Folders, *, held: bool = True) -> InPlaceMerger:
    """A merger of these models, which are held on a device."""
    merger = InPlaceMerger(folders, digests_of(folders))
    if held:
        merger.hold_on(CPU)
    return merger


def recipe_for(name: str, dtype: str) -> Recipe:
    """Two parents, or one, with other values for each."""
    method = METHODS[name]
    parents = ("a", "b")[: method.max_parents or 2]
    values = {
        spec.name: value[: len(parents)] if isinstance(value, tuple) else value
        for spec in method.parameters
        if (value := VALUES.get(spec.name)) is not None
    }
    base = None if method.base == "unused" else "base"
    options = {"normalize": True} if method.option("normalize") else {}
    return recipe_of(
        name, parents, base=base, values=values, dtype=dtype, owner="base", options=options
    )


def merged(
    merger: InPlaceMerger, recipe: Recipe, folder: Path, alive: str
) -> tuple[str, dict[str, Tensor]]:
    """Digest and weights of a live model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=FORMATS[alive])
    digest = merger.load_into(recipe, model, threads=3)
    return digest, model.state_dict()


@pytest.mark.parametrize(
    ("dtype", "alive"), [("float32",) * 2, ("bfloat16",) * 2, ("bfloat16", "float32")]
)
@pytest.mark.parametrize("name", METHODS)
def test_a_device_gives_the_bits_and_the_digest_of_the_compiled_loops(
    trio: Folders, name: str, dtype: str, alive: str
) -> None:
    """Whether the method is computed there, or on the processor and copied."""
    recipe = recipe_for(name, dtype)
    expected, weights = merged(merger_of(trio, held=False), recipe, trio["base"], alive)
    merger = merger_of(trio)
    for _ in range(2):
        digest, found = merged(merger, recipe, trio["base"], alive)
        assert digest == expected
        assert same(found, weights)


@pytest.mark.parametrize("name", METHODS)
def test_sums_over_elements_are_left_to_the_processor(
    trio: Folders, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other devices add up in another order; all other methods stay on the device."""
    sums = {
        "slerp",
        "nuslerp",
        "multislerp",
        "karcher",
        "model_stock",
        "sce",
        "svd_task_arithmetic",
    }
    for way in ("on_device", "pieces"):
        if (way == "on_device") == (name in sums):
            monkeypatch.delattr(Merge, way)
    merged(merger_of(trio), recipe_for(name, "float32"), trio["base"], "float32")


def test_what_is_not_finite_is_told_as_by_the_processor(trio: Folders, tmp_path: Path) -> None:
    """In a parent, and in the result; and the next candidate is whole."""
    folder = Path(shutil.copytree(trio["b"], tmp_path / "b"))
    tensors = load_file(folder / SINGLE)
    for value, expected in ((3e38, RecipeError), (torch.nan, ParentError)):
        tensors["model.norm.weight"][3] = value
        save_file(tensors, folder / SINGLE)
        said = []
        for held in (True, False):
            merger = merger_of(trio | {"b": folder}, held=held)
            with pytest.raises(expected, match=r"model\.norm\.weight") as caught:
                merged(
                    merger,
                    recipe_of("task_arithmetic", values={"weight": 3.0}),
                    trio["base"],
                    "float32",
                )
            said.append(str(caught.value))
        assert said[0] == said[1]


@pytest.mark.parametrize("shape", [(), (1,), (7, 9)])
def test_the_nth_largest_is_that_of_sorting(shape: tuple[int, ...]) -> None:
    """With equal numbers, zeros, and the smallest and largest that there are."""
    numbers = torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(0)).float()
    if numbers.numel() > 2:
        numbers.view(-1)[:2] = torch.tensor([1e-45, torch.finfo(torch.float32).max])
    ordered = numbers.flatten().sort(descending=True).values.tolist()
    assert [nth_largest_by_counting(numbers, count + 1) for count in range(len(ordered))] == ordered


def test_models_are_held_if_half_of_what_is_free_is_left() -> None:
    """For keys, values and logits."""
    assert fits_on_device(needed=50, free=100)
    assert not fits_on_device(needed=51, free=100)


def test_the_memory_on_a_device_is_that_of_all_models_and_of_the_largest_tensor(
    trio: Folders,
) -> None:
    """Which is merged with all of its intermediate results there."""
    tensors = [load_file(folder / SINGLE) for folder in trio.values()]
    stored = sum(values.nbytes for model in tensors for values in model.values())
    largest = max(values.numel() for values in tensors[0].values())
    assert merger_of(trio).bytes_on_device == stored + largest * (ROOM + 4 * 3)
