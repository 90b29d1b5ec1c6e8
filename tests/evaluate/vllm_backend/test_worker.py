"""Replacing the weights of a model inside vLLM's worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import MakeRun
from tests.evaluate.vllm_backend.stand_in import StandInWorker, stand_in_for_vllm
from tests.evaluate.vllm_backend.test_weights import merger_of, steep, with_steep
from tests.runs_for_tests import TinyRun
from tsugiki.errors import ParentError
from tsugiki.evaluate.vllm_backend.worker import MergingWorker


@pytest.fixture
def run(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> TinyRun:
    """A run, with a stand-in for vLLM."""
    run = make_run()
    stand_in_for_vllm(monkeypatch)
    return run


def worker_of(run: TinyRun, models: Path) -> StandInWorker:
    """A worker that holds the run's models."""
    worker = StandInWorker(str(models / "base"), "float32")
    folders = {name: str(models / name) for name in run.digests}
    models = {
        "folders": folders,
        "digests": run.digests,
        "names": {},
        "threads": 2,
        "decompositions": {},
    }
    worker.tsugiki_open(json.dumps(models))
    return worker


def test_no_method_can_clash_with_one_of_vllm() -> None:
    """An extension whose names its worker has is refused by vLLM."""
    names = {name for name in dir(MergingWorker) if not name.startswith("__")}
    assert names
    assert all(name.startswith("tsugiki_") for name in names)


def test_each_candidate_has_its_own_weights(run: TinyRun, tiny_models: Path) -> None:
    """Bit for bit those of a transformers model that the same recipe is merged into."""
    worker = worker_of(run, tiny_models)
    other = StandInWorker(str(tiny_models / "base"), "float32").model
    for weight in (0.2, 1.3):
        recipe = run.recipe(weight=weight)
        answer = worker.tsugiki_merge(recipe.to_json().decode())
        assert answer == {"digest": merger_of(run, tiny_models).load_into(recipe, other)}
        expected = other.state_dict()
        found = worker.model.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_failed_candidate_leaves_a_worker_that_goes_on(
    run: TinyRun, tiny_models: Path, tmp_path: Path
) -> None:
    """Its reload is whole, and the next candidate's weights are right."""
    folders, digests = with_steep(run, tiny_models, tmp_path)
    worker = StandInWorker(str(tiny_models / "base"), "float16")
    texts = {name: str(folder) for name, folder in folders.items()}
    models = {"folders": texts, "digests": digests, "names": {}, "threads": 2, "decompositions": {}}
    worker.tsugiki_open(json.dumps(models))
    good = run.recipe(weight=0.5, dtype="float16").to_json().decode()
    before = worker.tsugiki_merge(good)
    failed = worker.tsugiki_merge(steep(run).to_json().decode())
    assert "not finite" in failed["refused"][0]
    assert worker.tsugiki_merge(good) == before
    assert len({tuple(sorted(names)) for names in worker.reloads}) == 1


def test_weights_that_nothing_is_put_into_are_noticed(run: TinyRun, tiny_models: Path) -> None:
    """A model that vLLM ties or names in another way must not keep what it began with."""
    worker = worker_of(run, tiny_models)
    worker.skip = "lm_head"
    with pytest.raises(ParentError, match=r"lm_head\.weight"):
        worker.tsugiki_merge(run.recipe(weight=0.5).to_json().decode())


def test_a_model_on_disk_takes_the_same_way(run: TinyRun, tiny_models: Path) -> None:
    """What is read are the parent's weights."""
    worker = worker_of(run, tiny_models)
    worker.tsugiki_read(str(tiny_models / "a"), "base")
    expected = StandInWorker(str(tiny_models / "a"), "float32").model.state_dict()
    found = worker.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
