"""Decompositions of task vectors: the same merges from files, and files that are made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.merge.models_for_tests import digests_of, recipe_of, save_trio
from tsugiki.config.stage import DECOMPOSING
from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import InfrastructureError
from tsugiki.merge.decompose import write_decompositions
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.registry import METHODS
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import SINGLE

Folders = dict[str, Path]
SHARE = 0.3


def recipe_with(weight: tuple[float, float], rest: tuple[float, float], **options: float) -> Recipe:
    """A merge on singular components."""
    recipe = recipe_of("svd_task_arithmetic", values={"weight": weight, "rest": rest})
    return recipe.model_copy(update={"options": {"share": SHARE, **options}})


def decompose(
    folders: Folders, cache: Path, *, share: float = SHARE, threads: int = 1
) -> dict[str, Path]:
    """Keep the decompositions of the parents; the files, by key."""
    recipe = recipe_with((1.0, 1.0), (0.0, 0.0), share=share)
    found = write_decompositions(
        recipe, folders, digests_of(folders), cache, threads=threads, log=lambda _: None
    )
    assert [one.parent for one in found.values()] == ["a", "b"]
    return {key: cache / one.folder / one.file.name for key, one in found.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_merge_has_the_same_bits_from_files(tmp_path: Path, dtype: torch.dtype) -> None:
    """In memory and on disk, with parameters that the decompositions were not made with."""
    trio = save_trio(tmp_path / "models", dtype=dtype)
    kept = decompose(trio, tmp_path / "cache")
    recipe = recipe_with((1.3, 0.2), (0.4, 0.7))
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    alone = InPlaceMerger(trio, digests_of(trio)).load_into(recipe, model)
    merger = InPlaceMerger(trio, digests_of(trio), decompositions=kept)
    assert merger.load_into(recipe, model, threads=2) == alone
    out = tmp_path / "merged"
    assert write_merge(recipe, trio, digests_of(trio), out, decompositions=kept) == alone


def test_a_merge_takes_the_leading_components_from_the_file(trio: Folders, tmp_path: Path) -> None:
    """With nothing in it, the rest alone is merged."""
    kept = decompose(trio, tmp_path)
    for file in kept.values():
        save_file({name: torch.zeros_like(one) for name, one in load_file(file).items()}, file)
    recipe = recipe_with((2.0, 2.0), (0.5, 0.5))
    out = tmp_path / "merged"
    write_merge(recipe, trio, digests_of(trio), out, decompositions=kept)
    name = "model.layers.0.mlp.up_proj.weight"
    base, a, b = (load_file(trio[one] / SINGLE)[name] for one in ("base", "a", "b"))
    expected = base + 0.5 * (a - base) + 0.5 * (b - base)
    assert torch.allclose(load_file(out / SINGLE)[name], expected, atol=1e-6)


def test_what_is_kept_are_the_leading_components(trio: Folders, tmp_path: Path) -> None:
    """Five of sixteen: left vectors times singular values, and right vectors, by the decomposition in float64."""
    files = decompose(trio, tmp_path).values()
    name = "model.layers.1.mlp.down_proj.weight"
    base = load_file(trio["base"] / SINGLE)[name]
    for parent, file in zip(("a", "b"), files, strict=True):
        kept = load_file(file)[name]
        assert kept.shape == (5, 16 + 24)
        u, s, vh = torch.linalg.svd((load_file(trio[parent] / SINGLE)[name] - base).double())
        leading = (u[:, :5] * s[:5]) @ vh[:5]
        assert torch.allclose((kept[:, :16].T @ kept[:, 16:]).double(), leading, atol=1e-5)


def test_files_are_made_once_for_models_and_options(trio: Folders, tmp_path: Path) -> None:
    """Damaged ones are made again; another share has files of its own; the bytes do not depend on threads."""
    files = decompose(trio, tmp_path)
    first, second = files.values()
    written = first.stat().st_mtime_ns
    whole = second.read_bytes()
    second.write_bytes(whole[:-4] + b"flip")
    assert decompose(trio, tmp_path, threads=3) == files
    assert first.stat().st_mtime_ns == written
    assert second.read_bytes() == whole
    others = decompose(trio, tmp_path, share=0.5)
    assert not files.keys() & others.keys()
    assert not set(files.values()) & set(others.values())


def test_a_parent_with_other_weights_is_decomposed_anew(trio: Folders, tmp_path: Path) -> None:
    """The other parent is not."""
    known = decompose(trio, tmp_path)
    digests = digests_of(trio) | {"a": "f" * 64}
    recipe = recipe_with((1.0, 1.0), (0.0, 0.0))
    parents = [ref.model_copy(update={"digest": digests[ref.name]}) for ref in recipe.parents]
    changed = recipe.model_copy(update={"parents": tuple(parents)})
    said: list[str] = []
    found = write_decompositions(changed, trio, digests, tmp_path, log=said.append)
    assert len(found.keys() & known.keys()) == 1
    assert {line.partition(":")[0] for line in said} == {"a"}


def test_a_file_that_is_cut_off_is_named(trio: Folders, tmp_path: Path) -> None:
    """Before anything is merged."""
    kept = decompose(trio, tmp_path)
    file = next(iter(kept.values()))
    file.write_bytes(b"cut")
    recipe = recipe_with((1.0, 1.0), (0.0, 0.0))
    with pytest.raises(InfrastructureError, match="cannot be read") as error:
        write_merge(recipe, trio, digests_of(trio), tmp_path / "out", decompositions=kept)
    assert str(file) in str(error.value)


def test_other_methods_keep_nothing(trio: Folders, tmp_path: Path) -> None:
    """And the plan, which is made without the methods' code, knows which do."""
    digests, cache = digests_of(trio), tmp_path / "cache"
    assert write_decompositions(recipe_of("task_arithmetic"), trio, digests, cache) == {}
    assert not cache.exists()
    assert {method.name for method in METHODS.values() if method.decompose} == DECOMPOSING
