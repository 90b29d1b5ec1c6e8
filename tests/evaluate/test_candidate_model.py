"""The live model in which candidates are built."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import MakeRun
from tests.evaluate.vllm_backend.stand_in import stand_in_for_vllm
from tests.evaluate.vllm_backend.test_candidates import on_vllm
from tests.runs_for_tests import TinyRun
from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.backends import open_backend
from tsugiki.evaluate.candidate_model import CandidateModel, choose_device
from tsugiki.merge import in_place
from tsugiki.merge.decompose import write_decompositions
from tsugiki.merge.write import write_merge
from tsugiki.parents.run_models import RunModels


def model_of(run: TinyRun, models: Path, *, backwards: bool = False) -> CandidateModel:
    """A live model; the parents may be given in another order."""
    names = sorted(run.digests, reverse=backwards)
    folders = {name: models / name for name in names}
    return CandidateModel(folders, run.digests, run.config.evaluation)


@pytest.mark.parametrize("backend", ["transformers", "vllm"])
def test_candidates_are_merged_from_kept_decompositions(
    make_run: MakeRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """By either backend: with nothing in the files, the candidate is another one."""
    stand_in_for_vllm(monkeypatch)
    run = make_run()
    config = on_vllm(run) if backend == "vllm" else run.config
    folders = {name: tiny_models / name for name in run.digests}
    cache = run.files.root / "decompositions"
    recipe = run.recipe("svd_task_arithmetic", weight=2.0)
    made = write_decompositions(recipe, folders, run.digests, cache, log=lambda _: None)
    files = {key: cache / one.folder / one.file.name for key, one in made.items()}
    for file in files.values():
        save_file({name: torch.zeros_like(one) for name, one in load_file(file).items()}, file)
    candidates = open_backend(RunModels(folders, run.digests, files), config, job=0)
    _, digest = candidates.build(recipe)
    without = write_merge(recipe, folders, run.digests, cache / "without")
    assert digest != without
    assert digest == write_merge(recipe, folders, run.digests, cache / "with", decompositions=files)


def test_code_of_a_model_runs_where_its_parent_is_trusted(
    make_run: MakeRun, tiny_models: Path
) -> None:
    """Its own class is loaded, as `trust_remote_code` says; without it transformers does not load the model."""
    code = (
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class Own(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    run = make_run()
    folder = run.files.root / "own"
    shutil.copytree(tiny_models / "base", folder)
    (folder / "modeling_own.py").write_text(code)
    config = json.loads((folder / "config.json").read_bytes())
    classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
    changed = {"auto_map": classes, "model_type": "own", "architectures": ["Own"]}
    (folder / "config.json").write_text(json.dumps(config | changed))
    folders = {name: tiny_models / name for name in run.digests} | {"base": folder}
    base = run.config.parents["base"]
    trusting = run.config.model_copy(
        update={
            "parents": {
                **run.config.parents,
                "base": base.model_copy(update={"trust_remote_code": True}),
            }
        }
    )
    assert trusting.trusted >= {"base"}
    assert run.config.trusted == frozenset()
    recipe = run.recipe(weight=0.5)
    for settings in (trusting, run.config):
        candidates = open_backend(RunModels(folders, run.digests), settings, job=0)
        assert isinstance(candidates, CandidateModel)
        with nullcontext() if settings is trusting else pytest.raises(ValueError, match="trust"):
            live = candidates._pretrained(folder, recipe)
            assert type(live).__name__ == "Own"


def test_threads_of_a_processor_are_part_of_the_identity(
    make_run: MakeRun, tiny_models: Path
) -> None:
    """They change last bits. One thread, the default, is not named: recorded identities name none."""
    run = make_run()
    identities = []
    for threads in (1, 2):
        evaluation = run.config.evaluation.model_copy(update={"threads": threads})
        folders = {name: tiny_models / name for name in run.digests}
        identities.append(CandidateModel(folders, run.digests, evaluation).identity)
    one, two = identities
    assert set(one) == {"batch_size", "device", "torch", "transformers"}
    assert two == {**one, "threads": 2}


def test_the_order_of_the_parents_changes_nothing(make_run: MakeRun, tiny_models: Path) -> None:
    """The same recipe digest, and the same weights."""
    run = make_run()
    recipes = [
        run.recipe("dare_ties", parents=parents, weight=0.7, density=0.5)
        for parents in (("a", "b"), ("b", "a"))
    ]
    assert recipes[0].digest == recipes[1].digest
    weights = [
        model_of(run, tiny_models, backwards=backwards).build(recipe)[1]
        for recipe, backwards in zip(recipes, (False, True), strict=True)
    ]
    assert weights[0] == weights[1]


def test_building_in_memory_and_reading_from_disk_give_the_same_weights(
    make_run: MakeRun, tiny_models: Path, tmp_path: Path
) -> None:
    """Bit for bit, over what another candidate has left there."""
    run = make_run()
    recipe = run.recipe("dare_ties", weight=0.7, density=0.5)
    live = model_of(run, tiny_models)
    built, weights = live.build(recipe)
    before = {name: values.clone() for name, values in built.model.state_dict().items()}
    folders = {name: tiny_models / name for name in run.digests}
    written = write_merge(recipe, folders, run.digests, tmp_path / "merged")
    assert written == weights
    live.build(run.recipe(weight=1.5))
    read, kept = live.read(recipe, tmp_path / "merged", written)
    assert kept == weights
    after = read.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_each_number_format_has_a_live_model_of_its_own(
    make_run: MakeRun, tiny_models: Path
) -> None:
    """A candidate is scored in the format that it is saved in."""
    run = make_run()
    live = model_of(run, tiny_models)
    for dtype in ("float32", "bfloat16", "float32"):
        model, _weights = live.build(run.recipe(weight=0.5, dtype=dtype))
        assert model.model.dtype == getattr(torch, dtype)


def test_tensors_are_merged_by_the_jobs_threads(
    make_run: MakeRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many at a time as `evaluation.threads` says."""
    run = make_run()
    evaluation = run.config.evaluation.model_copy(update={"threads": 3})
    used, ordered = [], in_place.ordered

    def counting(function: Any, items: Any, threads: int) -> Any:
        used.append(threads)
        return ordered(function, items, threads)

    monkeypatch.setattr(in_place, "ordered", counting)
    folders = {name: tiny_models / name for name in run.digests}
    live = CandidateModel(folders, run.digests, evaluation)
    recipe = run.recipe("dare_ties", weight=0.7, density=0.5)
    assert live.build(recipe)[1] == model_of(run, tiny_models).build(recipe)[1]
    assert used == [3, 1]


def test_jobs_spread_over_the_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs on two GPUs take one each; without a GPU, `auto` is the processor."""
    assert choose_device("cpu", 3) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device("auto", job).index for job in range(4)] == [0, 1, 0, 1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert choose_device("auto", 0) == torch.device("cpu")


def test_a_job_that_sees_one_device_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its number: a scheduler shows each job its own GPU only."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert {choose_device("auto", job).index for job in range(4)} == {0}


def test_a_gpu_that_was_given_but_does_not_work_is_a_fault_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node with a broken driver must not score on its processor in silence."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    for setting in ("auto", "cuda"):
        with pytest.raises(InfrastructureError, match="can use"):
            choose_device(setting, 0)
    assert choose_device("cpu", 0) == torch.device("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_device("auto", 0) == torch.device("cpu")
