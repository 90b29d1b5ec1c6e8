"""Writing a merged model."""

from __future__ import annotations

import json
import resource
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.merge.models_for_tests import digests_of, recipe_of, save_model, save_tokenizer
from tests.parents.checkpoints import write_llama
from tsugiki.canonical import digest_file
from tsugiki.contracts.recipe import Recipe, read_recipe
from tsugiki.errors import InfrastructureError, ParentError
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.registry import METHODS
from tsugiki.merge.stream import shards
from tsugiki.merge.write import write_merge
from tsugiki.models.kinds.text import LAYOUT, SINGLE

Folders = dict[str, Path]


def write(recipe: Recipe, folders: Folders, out: Path, **options: Any) -> str:
    """Write a merge of these models."""
    return write_merge(recipe, folders, digests_of(folders), out, **options)


def files_of(folder: Path) -> dict[str, str]:
    """Digest of every file in a folder."""
    return {path.name: digest_file(path) for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2"])
def test_transformers_loads_what_the_live_model_was_given(
    tmp_path: Path, kind: str, dtype: str
) -> None:
    """Every weight bit for bit, the same digest, the number format, and no tensor left over."""
    base = save_model(tmp_path / "base", kind=kind)
    folders = {
        "base": base,
        "a": save_model(tmp_path / "a", kind=kind, seed=1, like=base),
        "b": save_model(tmp_path / "b", kind=kind, seed=2, like=base),
    }
    recipe = recipe_of("dare_ties", values={"density": 0.5, "weight": 0.7}, dtype=dtype)
    digest = write(recipe, folders, tmp_path / "out")
    live = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    assert InPlaceMerger(folders, digests_of(folders)).load_into(recipe, live) == digest
    loaded, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", dtype="auto", output_loading_info=True
    )
    assert not any(report.values())
    assert loaded.dtype == getattr(torch, dtype)
    for name, values in loaded.state_dict().items():
        assert torch.equal(values.float(), live.state_dict()[name])


def test_a_tied_head_is_written_once(tied: Folders, tmp_path: Path) -> None:
    """And the loaded model's head is its embeddings."""
    write(recipe_of("linear"), tied, tmp_path / "out")
    assert "lm_head.weight" not in load_file(tmp_path / "out" / SINGLE)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_threads_and_shards_change_no_weight(trio: Folders, tmp_path: Path) -> None:
    """One thread or three, one file or many: the same digest, and the same bytes for a layout."""
    recipe = recipe_of("ties", values={"density": 0.5})
    digests = {
        write(recipe, trio, tmp_path / f"{threads}-{size}", threads=threads, shard_bytes=size)
        for threads in (1, 3)
        for size in (4_000, 10**9)
    }
    assert len(digests) == 1
    assert files_of(tmp_path / "1-4000") == files_of(tmp_path / "3-4000")
    index = json.loads((tmp_path / "1-4000" / LAYOUT.index).read_text())
    assert index["metadata"]["total_size"] == 4 * sum(
        values.numel() for values in load_file(trio["a"] / SINGLE).values()
    )
    one = AutoModelForCausalLM.from_pretrained(tmp_path / "1-4000").state_dict()
    other = AutoModelForCausalLM.from_pretrained(tmp_path / "1-1000000000").state_dict()
    assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_files_are_as_full_as_the_limit_allows() -> None:
    """In order of names; a tensor beyond the limit gets a file of its own."""
    sizes = {"a": 4, "b": 4, "c": 9, "d": 20, "e": 1, "f": 9}
    assert shards(sizes, 10) == [["a", "b"], ["c"], ["d"], ["e", "f"]]


def test_tokenizer_template_and_defaults_come_from_the_named_parent(
    trio: Folders, tmp_path: Path
) -> None:
    """And the recipe lies beside the weights."""
    folder = Path(shutil.copytree(trio["a"], tmp_path / "a"))
    save_tokenizer(folder, template="{{ messages[0].content }}!")
    (folder / "generation_config.json").write_text('{"max_new_tokens": 7}')
    recipe = recipe_of("linear", owner="a", dtype="bfloat16")
    write(recipe, trio | {"a": folder}, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    message = [{"role": "user", "content": "w3"}]
    assert tokenizer.apply_chat_template(message, tokenize=False) == "w3!"
    assert tokenizer("w3 w5").input_ids == [3, 5]
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation == {"max_new_tokens": 7}
    assert read_recipe(tmp_path / "out" / "recipe.json").digest == recipe.digest
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_parent_without_tokenizer_cannot_give_one(trio: Folders, tmp_path: Path) -> None:
    """An error, and no folder."""
    folder = Path(shutil.copytree(trio["a"], tmp_path / "a"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ParentError, match="no tokenizer"):
        write(recipe_of("linear", owner="a"), trio | {"a": folder}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_padded_embeddings_keep_their_rows(tmp_path: Path) -> None:
    """More rows than the tokenizer has words."""
    base = save_model(tmp_path / "base", vocab_size=48)
    folders = {"base": base, "a": save_model(tmp_path / "a", seed=1, like=base, vocab_size=48)}
    write(recipe_of("task_arithmetic", ("a",)), folders, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.get_input_embeddings().weight.shape == (48, 16)


def test_an_empty_tensor_is_written_empty(tmp_path: Path) -> None:
    """As its models store it, and the others beside it as they are without it."""
    empty = "model.layers.0.none"
    folders = {
        name: write_llama(tmp_path / name, seed=seed, extra={empty: torch.zeros(0, 4)})
        for seed, name in enumerate(("base", "a", "b"))
    }
    recipe = recipe_of("ties", values={"density": 0.5})
    write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    merged = load_file(tmp_path / "out" / SINGLE)
    assert merged.pop(empty).shape == (0, 4)
    for name, folder in folders.items():
        write_llama(folder, seed=list(folders).index(name))
    write_merge(recipe, folders, digests_of(folders), tmp_path / "plain")
    plain = load_file(tmp_path / "plain" / SINGLE)
    assert merged.keys() == plain.keys()
    assert all(torch.equal(values, plain[name]) for name, values in merged.items())


def test_an_old_folder_is_replaced_as_a_whole(trio: Folders, tmp_path: Path) -> None:
    """Shards of an earlier model do not stay behind."""
    recipe = recipe_of("linear")
    write(recipe, trio, tmp_path / "out", shard_bytes=4_000)
    write(recipe, trio, tmp_path / "out", replace=True)
    assert (tmp_path / "out" / SINGLE).is_file()
    assert not list((tmp_path / "out").glob("model-*"))
    assert not (tmp_path / "out" / LAYOUT.index).exists()


def test_nothing_is_replaced_unless_asked(trio: Folders, tmp_path: Path) -> None:
    """Not even what comes while the merge is at work."""
    mine = tmp_path / "out" / "mine"

    def come(done: int, _all: int, _bytes: int) -> None:
        if done == 1:
            mine.parent.mkdir()
            mine.touch()

    with pytest.raises(InfrastructureError, match="could not be written"):
        write(recipe_of("linear"), trio, mine.parent, progress=come)
    assert list(tmp_path.rglob("*")) == [mine.parent, mine]


def test_a_failure_half_way_leaves_nothing(trio: Folders, tmp_path: Path) -> None:
    """The last tensor of a parent is broken: the earlier ones were already written."""
    folder = Path(shutil.copytree(trio["b"], tmp_path / "b"))
    tensors = load_file(folder / SINGLE)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, folder / SINGLE)
    for threads in (1, 3):
        with pytest.raises(ParentError, match="not finite"):
            write(
                recipe_of("linear"), trio | {"b": folder}, tmp_path / "o" / "out", threads=threads
            )
        assert list((tmp_path / "o").iterdir()) == []


def test_a_disk_that_refuses_to_write_is_the_machines_fault(trio: Folders, tmp_path: Path) -> None:
    """Files may not grow beyond 4 kB here, as on a full disk; nothing is left behind."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(InfrastructureError, match="could not be written"):
            write(recipe_of("linear"), trio, tmp_path / "o" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "o").iterdir()) == []


def test_a_disk_without_room_is_noticed_before_the_work(
    trio: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is known beforehand."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InfrastructureError, match="no room"):
        write(recipe_of("linear"), trio, tmp_path / "o" / "out")
    assert list((tmp_path / "o").iterdir()) == []


def test_of_two_writers_one_wins(trio: Folders, tmp_path: Path) -> None:
    """The folder is whole, whoever comes last."""
    recipes = [recipe_of("linear", values={"weight": (1, weight)}) for weight in (1, 2)]
    results: list[str] = []

    def work(recipe: Recipe) -> None:
        for _ in range(5):
            results.append(write(recipe, trio, tmp_path / "o" / "out", replace=True))  # noqa: PERF401 (a thread each)

    threads = [threading.Thread(target=work, args=(recipe,)) for recipe in recipes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["out"]
    written = load_file(tmp_path / "o" / "out" / SINGLE)
    recipe = read_recipe(tmp_path / "o" / "out" / "recipe.json")
    for name, values in InPlaceMerger(trio, digests_of(trio)).tensors(recipe):
        assert torch.equal(written[name], values)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_writes_what_it_loads(name: str, trio: Folders, tmp_path: Path) -> None:
    """The two ways to a merged model agree for all methods."""
    method = METHODS[name]
    parents = ("a", "b")[: min(2, method.max_parents or 2)]
    recipe = recipe_of(name, parents, base=None if method.base == "unused" else "base")
    digest = write(recipe, trio, tmp_path / "out", threads=2)
    model = AutoModelForCausalLM.from_pretrained(trio["base"], dtype=torch.float32)
    assert InPlaceMerger(trio, digests_of(trio)).load_into(recipe, model) == digest
