"""Preflight: what it asks the Hub for, and what it says a run will need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.parents.checkpoints import (
    CONFIG,
    VOCABULARY,
    llama_tensors,
    read_folder,
    shard,
    write_llama,
)
from tests.runs_for_tests import write_tasks
from tsugiki.config.stage import Stage
from tsugiki.contracts.recipe import ParentRef, Recipe
from tsugiki.merge.decompose import write_decompositions
from tsugiki.parents.preflight import preflight, render
from tsugiki.parents.resolve import lock_parents

from .hub_stand_in import Hub
from .runs import run_of

SIZES = {name: tensor.numel() for name, tensor in llama_tensors(CONFIG).items()}
NUMBERS = sum(SIZES.values())
IN_LAYERS = sum(size for name, size in SIZES.items() if ".layers." in name)


def silent(line: str) -> None:
    """Say nothing."""


def test_the_tiny_checkpoint_is_a_real_one(tmp_path: Path) -> None:
    """The models that these tests break load whole in transformers, nothing missing or left."""
    folder = write_llama(tmp_path / "a")
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model(**tokenizer("w1 w2", return_tensors="pt")).logits.shape == (1, 2, 64)


@pytest.mark.parametrize("sharded", [True, False])
def test_no_weights_are_fetched_from_the_hub(hub: Hub, tmp_path: Path, sharded: bool) -> None:
    """Weights are asked for by ranges that hold their headers, and none is cached."""
    for seed, name in enumerate(("one", "two")):
        folder = write_llama(tmp_path / name, seed=seed)
        hub.repo(f"x/{name}").push(read_folder(shard(folder) if sharded else folder))
    report = preflight(run_of({name: {"hub": f"x/{name}"} for name in ("one", "two")}))
    assert report.faults == []
    weights = [
        request for request in hub.requests if "/cdn/" in request or ".safetensors" in request
    ]
    weights = [request for request in weights if ".index.json" not in request]
    assert len(weights) == 2 * 2 * (2 if sharded else 1)  # each at the Hub, then at its CDN
    assert all(request.endswith("bytes=0-99999") for request in weights)
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.safetensors"))


def test_a_long_header_is_read_in_two_steps(hub: Hub, tmp_path: Path) -> None:
    """A header of more than 100 kB is asked for again, in full."""
    files = read_folder(write_llama(tmp_path / "a", num_hidden_layers=400, hidden_size=4))
    assert int.from_bytes(files["model.safetensors"][:8], "little") > 100_000
    hub.repo("x/a").push(files)
    report = preflight(run_of({"a": {"hub": "x/a"}}))
    assert report.faults == []
    assert report.memory.weights > 0


def test_a_file_that_was_uploaded_truncated_is_found_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    """The header's length is compared with the size that the Hub lists."""
    files = read_folder(write_llama(tmp_path / "a"))
    files["model.safetensors"] = files["model.safetensors"][:-40]
    hub.repo("x/a").push(files)
    [fault] = preflight(run_of({"a": {"hub": "x/a"}})).faults
    assert "truncated" in str(fault)
    assert "x/a" in fault.where


def test_different_shapes_are_found_before_any_weights_are_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    """Both on the Hub, all differences at once."""
    hub.repo("x/a").push(read_folder(write_llama(tmp_path / "a")))
    hub.repo("x/b").push(
        read_folder(write_llama(tmp_path / "b", intermediate_size=48, rope_theta=5e5))
    )
    text = render(preflight(run_of({name: {"hub": f"x/{name}"} for name in "ab"})))
    assert "intermediate_size" in text
    assert "rope_theta" in text
    assert "mlp.gate_proj.weight: [32, 16] / [48, 16]" in text


def test_refusals_of_the_hub_are_faults_among_others(hub: Hub, tmp_path: Path) -> None:
    """A gated, a missing, and a broken parent are reported together."""
    hub.repo("x/gated").refusal = (403, "GatedRepo")
    folder = write_llama(tmp_path / "c")
    (folder / "config.json").unlink()
    report = preflight(
        run_of({"a": {"hub": "x/gated"}, "b": {"hub": "x/missing"}, "c": {"path": str(folder)}})
    )
    text = render(report)
    assert len(report.faults) == 3
    for words in ("gated", "no repository `x/missing`", "no config.json"):
        assert words in text


def test_offline_a_filled_cache_is_checked(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be downloaded, and the cached files are read."""
    hub.repo("x/a").push(read_folder(write_llama(tmp_path / "a")))
    config = run_of({"a": {"hub": "x/a"}})
    lock_parents(config, tmp_path / "lock", log=silent)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    report = preflight(config)
    assert report.faults == []
    assert report.download_bytes == 0
    assert report.memory.weights > 0


@pytest.mark.usefixtures("hub")
def test_offline_an_empty_cache_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where to fetch."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    [fault] = preflight(run_of({"a": {"hub": "x/a"}})).faults
    assert fault.fix is not None
    assert "node with internet" in fault.fix


def test_what_cannot_be_read_is_named_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    """No licence, no size, no difference between models: a folder that is not there tells nothing of these."""
    write_llama(tmp_path / "one")
    config = run_of({name: {"path": str(tmp_path / name)} for name in ("one", "two")})
    run = config.model_copy(update={"accept_differences": ["rope_theta"]})
    report = preflight(run)
    [fault] = report.faults
    assert "the folder of parent `two` does not exist" in str(fault)
    shown = render(report)
    assert "licence of one: unknown" in shown
    assert "licence of two: not known before it can be read" in shown
    assert "licence of the merge: not known before all parents can be read" in shown
    assert "could not be read: two; not counted here" in shown
    assert "accept_differences" not in shown
    nothing = render(preflight(run_of({"two": {"path": str(tmp_path / "two")}})))
    assert "could not be read: two; download, disk and memory are not known yet" in nothing
    assert "0.0 MB" not in nothing


def test_the_locked_commit_is_checked_and_not_the_branch(hub: Hub, tmp_path: Path) -> None:
    """A branch that moved to something broken does not disturb a locked run."""
    files = read_folder(write_llama(tmp_path / "a"))
    hub.repo("x/a").push(files)
    config = run_of({"a": {"hub": "x/a"}})
    lock = lock_parents(config, tmp_path / "lock", log=silent)
    hub.repo("x/a").push(files | {"config.json": b"{"})
    assert preflight(config, lock).faults == []
    assert len(preflight(config).faults) == 1


def test_sizes_are_those_of_files_and_tensors(hub: Hub, tmp_path: Path) -> None:
    """Downloads count what is needed and not cached, once; memory all models and the merged one."""
    files = read_folder(write_llama(tmp_path / "a"))
    hub.repo("x/a").push(files | {"pytorch_model.bin": b"x" * 1000, "README.md": b"x" * 1000})
    config = run_of(
        {name: {"hub": "x/a"} for name in ("one", "two")} | {"base": {"path": str(tmp_path / "a")}},
        base="base",
        dtype="bfloat16",
    )
    report = preflight(config)
    # The small files are in the cache once preflight has read them.
    small = {"config.json", "tokenizer.json", "tokenizer_config.json"}
    assert report.download_bytes == sum(
        len(content) for name, content in files.items() if name not in small
    )
    assert report.memory.weights == 3 * 4 * NUMBERS + 2 * NUMBERS
    assert report.disk_bytes == report.download_bytes + 2 * NUMBERS


def test_decompositions_count_as_large_as_they_are_written(tmp_path: Path) -> None:
    """On disk and in memory; of two parents against their base."""
    folders = {name: write_llama(tmp_path / name, seed=n) for n, name in enumerate("abc")}
    parents = {name: {"path": str(folder)} for name, folder in folders.items()}
    given: dict[str, Any] = {"base": "c", "dtype": "float32"}
    with_it = run_of(parents, **given, method="svd_task_arithmetic", options={"share": 0.4})
    plain = run_of(parents, **given, method="task_arithmetic")
    digests = {name: name * 64 for name in folders}
    a, b, base = (ParentRef(name=name, digest=digest) for name, digest in digests.items())
    recipe = Recipe(
        method="svd_task_arithmetic", options={"share": 0.4}, parents=(a, b), base=base, owner="c"
    )
    made = write_decompositions(recipe, folders, digests, tmp_path / "cache", log=silent)
    files = [load_file(tmp_path / "cache" / one.folder / one.file.name) for one in made.values()]
    written = sum(tensor.nbytes for file in files for tensor in file.values())
    more, less = preflight(with_it), preflight(plain)
    assert more.disk_bytes - less.disk_bytes == written > 0
    assert more.memory.decomposed == more.memory.main - less.memory.main == written
    assert "decompositions of task vectors" in render(more)


def test_the_result_of_a_stage_counts_where_it_is_merged(tmp_path: Path) -> None:
    """On disk beside the run's best; in memory instead of its parents.

    A path counts as one through the layers of both parents, three times over.
    """
    write_llama(tmp_path / "a")
    write_llama(tmp_path / "b", seed=1)
    config = run_of({name: {"path": str(tmp_path / name)} for name in ("a", "b")}, dtype="float32")
    first = config.stages[0]
    second = Stage.model_validate(
        {
            "name": "second",
            "parents": [first.name, "a"],
            "space": {"kind": "dataflow", "dtype": "float32"},
            "budget": {"generations": 1},
        }
    )
    report = preflight(config.model_copy(update={"stages": [first, second]}))
    assert report.faults == []
    assert report.disk_bytes == 2 * 4 * NUMBERS
    longest = 4 * (NUMBERS + 5 * IN_LAYERS)
    assert report.memory.weights == 2 * 4 * NUMBERS + longest
    assert "the merged one (a path at its longest)" in render(report)
    alone = preflight(
        config.model_copy(update={"stages": [second.model_copy(update={"parents": ["a", "b"]})]})
    )
    assert alone.memory.weights == 2 * 4 * NUMBERS + longest


def test_memory_is_what_a_job_was_measured_to_take(tmp_path: Path) -> None:
    """Peaks of `tsugiki evaluate` on two cores, for multiple choice and for answers.

    Three models of 32,000 tokens by 64, batches of 8 prompts of 500 words; peaks of the process,
    in GB, by the kernel's count.
    """
    rows, width = 32_000, 64
    settings = {"vocab_size": rows, "hidden_size": width, "max_position_embeddings": 500}
    write_tasks(tmp_path / "tasks")
    tokens = [*VOCABULARY, *(f"v{index}" for index in range(rows - len(VOCABULARY)))]
    for name in ("base", "a", "b"):
        write_llama(tmp_path / name, tokens=tokens, **settings)
    for task, dtype, peak in (
        ("choice", "float32", 2.668),
        ("choice", "bfloat16", 1.922),
        ("words", "float32", 0.749),
    ):
        config = run_of(
            {name: {"path": str(tmp_path / name)} for name in ("base", "a", "b")},
            base="base",
            method="task_arithmetic",
            dtype=dtype,
        )
        asked = config.evaluation.objectives[0].model_copy(update={"task": task})
        evaluation = config.evaluation.model_copy(
            update={
                "objectives": [asked],
                "task_paths": [str(tmp_path / "tasks")],
                "batch_size": 8,
                "device": "cpu",
            }
        )
        report = preflight(config.model_copy(update={"evaluation": evaluation}))
        assert report.faults == []
        assert report.memory.main / 1e9 == pytest.approx(peak, rel=0.15)
        assert report.memory.weights < 0.1e9
        assert ("log-likelihoods of 8 prompts of 500 tokens" in render(report)) == (
            task == "choice"
        )


def test_models_of_the_demo_are_not_checked() -> None:
    """They are made by the run; nothing is said of their size, or that they are sound."""
    report = preflight(run_of({"one": {"demo": "base"}, "two": {"demo": "maths"}}))
    assert report.faults == []
    assert report.memory.weights == 0
    assert render(report) == (
        "to train, some minutes: one, two (the demo's; not checked, nor counted here)"
    )


def test_defaults_that_are_written_out_are_no_difference(tmp_path: Path) -> None:
    """A setting left out in one configuration and given with its default in the other is equal."""
    write_llama(tmp_path / "a", hidden_act="silu", attention_bias=False)
    write_llama(tmp_path / "b")
    write_llama(tmp_path / "c", hidden_act="gelu")
    parents = {name: {"path": str(tmp_path / name)} for name in "abc"}
    assert preflight(run_of({name: parents[name] for name in "ab"})).faults == []
    [fault] = preflight(run_of({name: parents[name] for name in "bc"})).faults
    assert "hidden_act" in fault.what


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": None, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        {"rope_theta": 5e5},
    ],
)
def test_rope_theta_is_found_wherever_it_is_written(
    tmp_path: Path, rope: dict[str, object]
) -> None:
    """Older and newer configurations put it in different places."""
    write_llama(tmp_path / "a", rope_theta=5e5)
    write_llama(tmp_path / "b", **rope)
    write_llama(tmp_path / "c")
    parents = {name: {"path": str(tmp_path / name)} for name in "abc"}
    assert preflight(run_of({name: parents[name] for name in "ab"})).faults == []
    faults = preflight(run_of({name: parents[name] for name in "bc"})).faults
    assert any("rope_theta" in fault.what for fault in faults)


def test_buffers_that_models_compute_are_no_difference(tmp_path: Path) -> None:
    """Old checkpoints store rotary frequencies; new ones do not."""
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    write_llama(tmp_path / "a", extra=buffer)
    write_llama(tmp_path / "b")
    parents = {name: {"path": str(tmp_path / name)} for name in "ab"}
    assert preflight(run_of(parents)).faults == []


def test_a_whole_file_that_the_index_names_is_no_second_set_of_weights(tmp_path: Path) -> None:
    """Some tools write an index for a single file, too."""
    folder = write_llama(tmp_path / "a")
    names = load_file(folder / "model.safetensors")
    index = {"weight_map": dict.fromkeys(names, "model.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert preflight(run_of({"a": {"path": str(folder)}})).faults == []


def test_groups_that_a_genes_start_names_are_groups_of_the_models_tensors(tmp_path: Path) -> None:
    """Told before anything is merged, with what was probably meant."""
    parents = {name: {"path": str(write_llama(tmp_path / name))} for name in ("one", "two")}
    start = {"one": {"block.0": 0.4, "*": 0.6}, "two": {"block0": 0.5}}
    genes = {"weight": {"range": [0.0, 1.0], "grouping": "block", "start": start}}
    (fault,) = preflight(run_of(parents, genes=genes)).faults
    assert "'block0'" in str(fault)
    assert "`block.0`" in str(fault)
