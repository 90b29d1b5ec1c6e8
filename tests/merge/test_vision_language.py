"""Merging the language model of a vision-language model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from tests.merge.models_for_tests import digests_of, recipe_of, save_model
from tests.merge.vision_models import save_llava, save_qwen2_vl
from tsugiki.contracts.recipe import Recipe, with_names
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import SINGLE
from tsugiki.steps.export_mergekit import export_recipe

Folders = dict[str, Path]
START = "language_model."
METHODS = {"linear": {}, "ties": {"density": 0.5}, "dare_ties": {"density": 0.5}}


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A text model, two more like it, and two LLaVAs with language models of the same shape."""
    root = tmp_path_factory.mktemp("family")
    base = save_model(root / "base")
    return {
        "base": base,
        "text": save_model(root / "text", seed=1, like=base),
        "eyes": save_llava(root / "eyes", seed=2),
        "other": save_llava(root / "other", seed=3),
    }


def write(recipe: Recipe, folders: Folders, out: Path) -> dict[str, torch.Tensor]:
    """Merge, and read the weights."""
    write_merge(recipe, folders, digests_of(folders), out)
    return load_file(out / SINGLE)


def language_model_alone(folder: Path, out: Path) -> Path:
    """The language model of a LLaVA as a text model, written by transformers."""
    whole = AutoModelForImageTextToText.from_pretrained(folder)
    text = AutoModelForCausalLM.from_config(whole.config.text_config)
    text.model.load_state_dict(whole.model.language_model.state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    text.save_pretrained(out)
    return out


@pytest.mark.parametrize("method", METHODS)
def test_the_language_model_is_merged_as_a_text_model_and_all_else_is_copied(
    family: Folders, tmp_path: Path, method: str
) -> None:
    """The paper's case: text model and LLaVA. Nothing is dropped, and no image weight changes."""
    needs_base = method != "linear"
    recipe = recipe_of(
        method,
        ("text", "eyes"),
        base="base" if needs_base else None,
        values={"weight": (0.3, 0.6), **METHODS[method]},
        owner="eyes",
    )
    merged = write(recipe, family, tmp_path / "out")
    alone = language_model_alone(family["eyes"], tmp_path / "alone")
    as_text = recipe.model_copy(update={"owner": "text"})
    expected = write(as_text, family | {"eyes": alone}, tmp_path / "text")
    owner = load_file(family["eyes"] / SINGLE)
    assert merged.keys() == owner.keys()
    language = {name for name in merged if name.startswith(START)}
    assert {name.removeprefix(START) for name in language} == expected.keys()
    for name, values in merged.items():
        same = expected[name.removeprefix(START)] if name in language else owner[name]
        assert torch.equal(values, same), name
    assert len(merged) - len(language) > 10


def test_linear_is_the_formula(family: Folders, tmp_path: Path) -> None:
    """0.25 of one and 0.75 of the other, in one tensor of the language model."""
    recipe = recipe_of(
        "linear", ("text", "eyes"), base=None, values={"weight": (0.25, 0.75)}, owner="eyes"
    )
    merged = write(recipe, family, tmp_path / "out")
    name = "model.layers.1.mlp.up_proj.weight"
    one = load_file(family["text"] / SINGLE)[name]
    two = load_file(family["eyes"] / SINGLE)[START + name]
    assert torch.allclose(merged[START + name], 0.25 * one + 0.75 * two, atol=1e-6)


def test_transformers_loads_the_whole_model(family: Folders, tmp_path: Path) -> None:
    """With every weight in its place, and the image settings of the owner."""
    recipe = recipe_of("linear", ("text", "eyes"), base=None, owner="eyes", dtype="bfloat16")
    write_merge(recipe, family, digests_of(family), tmp_path / "out")
    loaded, report = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "out", dtype="auto", output_loading_info=True
    )
    assert not any(report.values())
    assert loaded.dtype == torch.bfloat16
    assert type(loaded).__name__ == "LlavaForConditionalGeneration"
    logits = loaded(torch.tensor([[2, 3, 4]])).logits
    assert bool(torch.isfinite(logits).all())
    for file in ("preprocessor_config.json", "tokenizer.json"):
        assert (tmp_path / "out" / file).read_bytes() == (family["eyes"] / file).read_bytes()


def test_of_two_vision_language_models_the_owner_gives_the_eyes(
    family: Folders, tmp_path: Path
) -> None:
    """Towers are not averaged: the owner's projector would not fit a mixture."""
    for owner in ("eyes", "other"):
        recipe = recipe_of("linear", ("eyes", "other"), base=None, owner=owner)
        merged = write(recipe, family, tmp_path / owner)
        whole = load_file(family[owner] / SINGLE)
        assert merged.keys() == whole.keys()
        changed = {name for name, values in merged.items() if not torch.equal(values, whole[name])}
        language = {name for name in merged if name.startswith(START)}
        assert changed == {name for name in language if "norm" not in name}  # norms are all ones


def test_names_can_say_that_all_of_two_models_is_merged(family: Folders, tmp_path: Path) -> None:
    """An expression that every tensor matches keeps all names, and leaves nothing out."""
    recipe = recipe_of("linear", ("eyes", "other"), base=None, owner="eyes")
    whole = {"(.+)": r"\1"}
    recipe = with_names(recipe, {"eyes": whole, "other": whole})
    merged = write(recipe, family, tmp_path / "out")
    one, two = (load_file(family[name] / SINGLE) for name in ("eyes", "other"))
    for name, values in merged.items():
        assert torch.allclose(values, (one[name] + two[name]) / 2, atol=1e-6), name


def test_a_text_model_can_own_the_merge(family: Folders, tmp_path: Path) -> None:
    """Then the result is a text model, and no tower is taken along."""
    recipe = recipe_of("linear", ("text", "eyes"), base=None, owner="text")
    merged = write(recipe, family, tmp_path / "out")
    assert merged.keys() == load_file(family["text"] / SINGLE).keys()
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")


def test_the_live_model_is_what_is_written(family: Folders, tmp_path: Path) -> None:
    """Bit for bit, over another candidate's weights, with the same digest."""
    recipe = recipe_of(
        "task_arithmetic", ("text", "eyes"), values={"weight": (0.2, 0.7)}, owner="eyes"
    )
    digest = write_merge(recipe, family, digests_of(family), tmp_path / "out")
    merger = InPlaceMerger(family, digests_of(family))
    live = AutoModelForImageTextToText.from_pretrained(family["eyes"], dtype=torch.float32)
    merger.load_into(recipe_of("linear", ("text", "eyes"), base=None, owner="eyes"), live)
    assert merger.load_into(recipe, live) == digest
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for name, values in loaded.state_dict().items():
        assert torch.equal(values, live.state_dict()[name]), name


def test_qwen2_vl_is_merged_with_qwen2(tmp_path: Path) -> None:
    """Its language model is stored under the names that it has by itself."""
    folders = {
        "eyes": save_qwen2_vl(tmp_path / "eyes", seed=1),
        "text": save_model(tmp_path / "text", kind="qwen2", seed=2),
    }
    recipe = recipe_of("linear", ("eyes", "text"), base=None, owner="eyes")
    merged = write(recipe, folders, tmp_path / "out")
    eyes, text = (load_file(folder / SINGLE) for folder in folders.values())
    assert merged.keys() == eyes.keys()
    for name, values in merged.items():
        expected = values if name not in text else (eyes[name] + text[name]) / 2
        assert torch.allclose(values, expected, atol=1e-6)
        assert name in text or torch.equal(values, eyes[name])
    live = AutoModelForImageTextToText.from_pretrained(folders["eyes"], dtype=torch.float32)
    merger = InPlaceMerger(folders, digests_of(folders))
    assert merger.load_into(recipe, live) == write_merge(
        recipe, folders, digests_of(folders), tmp_path / "again"
    )


def test_another_language_model_inside_is_refused(family: Folders, tmp_path: Path) -> None:
    """Every tensor that differs is listed, before any work."""
    wide = save_llava(tmp_path / "wide", intermediate_size=32)
    recipe = recipe_of("linear", ("text", "wide"), base=None, owner="wide")
    folders = {"text": family["text"], "wide": wide}
    with pytest.raises(ParentError, match="differ in intermediate_size"):
        write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_towers_under_their_old_names_are_copied_and_loaded(
    family: Folders, tmp_path: Path
) -> None:
    """As LLaVA 1.5 is published: one more prefix, and positions that transformers computes."""
    folder = Path(shutil.copytree(family["eyes"], tmp_path / "eyes"))
    tower = "vision_tower."
    tensors = {
        name.replace(tower, f"{tower}vision_model."): values
        for name, values in load_file(folder / SINGLE).items()
    }
    positions = f"{tower}vision_model.embeddings.position_ids"
    tensors[positions] = torch.arange(5)
    save_file(tensors, folder / SINGLE)
    folders = family | {"eyes": folder}
    recipe = recipe_of("linear", ("text", "eyes"), base=None, owner="eyes")
    merged = write(recipe, folders, tmp_path / "out")
    assert merged.keys() == tensors.keys()
    assert torch.equal(merged[positions], torch.arange(5))
    live = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    InPlaceMerger(folders, digests_of(folders)).load_into(recipe, live)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for name, values in loaded.state_dict().items():
        assert torch.equal(values, live.state_dict()[name]), name


def test_mergekit_is_not_handed_what_it_would_lose(family: Folders) -> None:
    """It drops the tower or the language model, and ends well."""
    recipe = recipe_of("linear", ("text", "eyes"), base=None, owner="eyes")
    places = {name: str(folder) for name, folder in family.items()}
    with pytest.raises(RecipeError, match="language model inside another model"):
        export_recipe(recipe, places)
    named = with_names(recipe_of("linear", ("base", "text"), base=None), {"text": {"(.+)": r"\1"}})
    with pytest.raises(RecipeError, match="goes by stored names"):
        export_recipe(named, places)
