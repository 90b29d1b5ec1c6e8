"""The next candidate is merged beside the model at work; here both are in main memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tests.tensors import same
from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import RecipeError
from tsugiki.evaluate import candidate_model
from tsugiki.evaluate.ahead import Ahead, InPlace, twin
from tsugiki.evaluate.batch import Evaluator
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.merge.live import LiveWeights
from tsugiki.merge.resident import ResidentMerger
from tsugiki.steps.start import write_first

CPU = torch.device("cpu")


@pytest.fixture
def merger(make_run: MakeRun, tiny_models: Path) -> ResidentMerger:
    """Holds the tiny parents."""
    run = make_run()
    return ResidentMerger({name: tiny_models / name for name in run.digests}, run.digests)


def models(run: TinyRun, folder: Path) -> CandidateModel:
    """Makes candidates of the tiny parents."""
    folders = {name: folder / name for name in run.digests}
    return CandidateModel(folders, run.digests, run.config.evaluation)


@pytest.fixture
def ahead(make_run: MakeRun, tiny_models: Path) -> Ahead:
    """Merges beside a live model."""
    run = make_run()
    live, _ = models(run, tiny_models).build(run.recipe(weight=0.0))
    return Ahead(live.model, CPU, threads=2)


def weights(model: Any) -> dict[str, torch.Tensor]:
    """A copy of a model's weights."""
    return {name: values.clone() for name, values in model.state_dict().items()}


def test_what_was_begun_is_what_would_have_been_merged(
    make_run: MakeRun, tiny_models: Path, ahead: Ahead, merger: ResidentMerger
) -> None:
    """The same weights and digest, begun or not."""
    run = make_run()
    for begun in (True, False):
        recipe = run.recipe("dare_ties", weight=0.7 + begun, density=0.5)
        if begun:
            ahead.begin(merger, recipe)
        digest = ahead.finish(merger, recipe)
        built, expected = models(run, tiny_models).build(recipe)
        assert digest == expected
        assert same(weights(ahead.live), weights(built.model))


def test_the_model_at_work_keeps_its_weights_until_it_is_done(
    make_run: MakeRun, ahead: Ahead, merger: ResidentMerger
) -> None:
    """Another recipe is merged meanwhile, to its end."""
    run = make_run()
    ahead.finish(merger, run.recipe(weight=0.3))
    before = weights(ahead.live)
    following = run.recipe(weight=0.9)
    ahead.begin(merger, following)
    assert ahead._begun is not None
    ahead._begun[1].result()
    assert same(before, weights(ahead.live))
    ahead.finish(merger, following)
    assert not same(before, weights(ahead.live))


def test_a_recipe_that_is_not_wanted_any_more_leaves_nothing(
    make_run: MakeRun, ahead: Ahead, merger: ResidentMerger
) -> None:
    """As when a job's share ends between two candidates; nor do its faults."""
    run = make_run()
    wanted = run.recipe(weight=0.3)
    expected = ahead.finish(merger, wanted)
    before = weights(ahead.live)
    for dropped in (run.recipe(weight=0.9), broken(run)):
        ahead.begin(merger, dropped)
        assert ahead.finish(merger, wanted) == expected
        assert same(before, weights(ahead.live))


def test_a_fault_is_that_of_its_own_recipe(
    make_run: MakeRun, ahead: Ahead, merger: ResidentMerger
) -> None:
    """It is raised when the recipe's turn comes, and the next one is whole."""
    run = make_run()
    good = run.recipe(weight=0.3)
    expected = ahead.finish(merger, good)
    ahead.begin(merger, broken(run))
    with pytest.raises(RecipeError):
        ahead.finish(merger, broken(run))
    assert ahead.finish(merger, good) == expected


def test_a_merge_that_changes_the_process_waits_for_its_turn(
    make_run: MakeRun, ahead: Ahead, merger: ResidentMerger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where transformers must load the model anew, it sets number formats for all threads."""
    run = make_run()
    recipe = run.recipe(weight=0.3)
    expected = ahead.finish(merger, recipe)
    monkeypatch.setattr(LiveWeights, "in_place", False)
    ahead.begin(merger, recipe)
    assert ahead._begun is None
    assert ahead.finish(merger, recipe) == expected


def test_what_the_live_model_has_computed_for_itself_stays(
    make_run: MakeRun, ahead: Ahead, merger: ResidentMerger
) -> None:
    """Only weights of the checkpoint are copied, not buffers such as a cache of positions."""
    run = make_run()
    ahead.finish(merger, run.recipe(weight=0.3))
    ahead.live.register_buffer("seen", torch.ones(3), persistent=False)
    ahead._model.register_buffer("seen", torch.zeros(5), persistent=False)
    ahead.finish(merger, run.recipe(weight=0.9))
    assert torch.equal(ahead.live.seen, torch.ones(3))


def test_a_recipe_of_models_that_are_not_open_is_not_begun(
    make_run: MakeRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open them may fail, and that would be the wrong candidate's fault."""
    run = make_run()
    live = models(run, tiny_models)
    begun: list[str] = []
    monkeypatch.setattr(
        InPlace, "begin", lambda _self, _merger, recipe: begun.append(recipe.digest)
    )
    one = run.recipe("linear", base=None, parents=("a",), weight=1.0)
    both = run.recipe("linear", base=None, parents=("a", "b"), weight=0.5)
    live.build(both)
    live.begin(one)
    assert begun == [one.digest]
    other = models(run, tiny_models)
    other.begin(one)
    other.build(one)
    other.begin(both)
    assert begun == [one.digest]


def broken(run: TinyRun) -> Recipe:
    """A recipe whose result is not finite."""
    return run.recipe(weight=3e38)


def test_a_twin_has_a_memory_of_its_own_and_the_same_ties(
    make_run: MakeRun, tiny_models: Path
) -> None:
    """Without a second copy in main memory on the way."""
    run = make_run()
    model = models(run, tiny_models).build(run.recipe(weight=0.3))[0].model
    model.lm_head.weight = model.get_input_embeddings().weight
    copied = twin(model, CPU)
    assert type(copied) is type(model)
    assert copied.get_output_embeddings().weight is copied.get_input_embeddings().weight
    assert same(weights(model), weights(copied))
    memory = {values.data_ptr() for values in model.parameters()}
    assert memory.isdisjoint(values.data_ptr() for values in copied.parameters())
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(model(tokens).logits, copied(tokens).logits)


def test_a_job_on_a_gpu_gives_the_bytes_of_one_that_merges_in_place(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each but the first is merged by another thread, while the one before is scored."""
    runs = [make_run(), make_run(name="on-gpu")]
    merged_by: list[str] = []
    load_into = ResidentMerger.load_into

    def noting(self: ResidentMerger, *arguments: Any, **options: Any) -> str:
        merged_by.append(threading.current_thread().name)
        return load_into(self, *arguments, **options)

    for run, on_gpu in zip(runs, (False, True), strict=True):
        write_first(run.files, run.config, run.config.stages[0])
        if on_gpu:
            monkeypatch.setattr(candidate_model, "InPlace", lambda m, t: Ahead(m, CPU, t))
            monkeypatch.setattr(ResidentMerger, "load_into", noting)
        Evaluator(run.files, run.config, job=0).evaluate("ps", 0, say=lambda _line: None)
    assert len(merged_by) > 2
    assert merged_by[0] == threading.main_thread().name
    assert all(name.startswith("merge-ahead") for name in merged_by[1:])
    first, second = ([*run.files.root.rglob("outcome.json")] for run in runs)
    assert len(first) == len(second) == len(merged_by)
    contents = [sorted(path.read_bytes() for path in paths) for paths in (first, second)]
    assert contents[0] == contents[1]
