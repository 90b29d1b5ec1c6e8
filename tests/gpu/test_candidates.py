"""Candidates that are merged and scored on a GPU, or merged by the processor and copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.conftest import MakeRun
from tests.gpu.runs_on_gpu import content, evaluate, on, outcome
from tests.runs_for_tests import TinyRun, evaluation_section
from tests.tensors import same
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.recipe import Recipe
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.materialized import materialize
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.registry import METHODS


def recipes(run: TinyRun, **fields: Any) -> list[Recipe]:
    """Merges by three methods, one of them random."""
    return [
        run.recipe("linear", base=None, weight=0.4, **fields),
        run.recipe("ties", weight=0.8, density=0.5, **fields),
        run.recipe("dare_ties", weight=0.7, density=0.5, **fields),
    ]


def answers(run: TinyRun, recipe: Recipe) -> list[str]:
    """Every recorded answer."""
    return [row["response"] for row in pq.read_table(run.candidate(recipe).items).to_pylist()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_gpu_has_the_weights_that_the_processor_would_have(
    make_run: MakeRun, tiny_models: Path, dtype: str, threads: int
) -> None:
    """Bit for bit, and the same digest, whichever candidate was there before."""
    run = make_run()
    folders = {name: tiny_models / name for name in run.digests}
    on_gpu, on_processor = (
        CandidateModel(folders, run.digests, on(device, run, threads=threads).evaluation)
        for device in ("cuda", "cpu")
    )
    for recipe in recipes(run, dtype=dtype):
        built, digest = on_gpu.build(recipe)
        expected, expected_digest = on_processor.build(recipe)
        weights = built.model.state_dict()
        assert {values.device.type for values in weights.values()} == {"cuda"}
        assert same({n: v.cpu() for n, v in weights.items()}, expected.model.state_dict())
        assert digest == expected_digest


def test_answers_are_those_of_the_processor(make_run: MakeRun) -> None:
    """But for the last bits, which decide between equal words; scores are never mixed."""
    run = make_run()
    made = recipes(run)
    on_processor = evaluate(run, on("cpu", run), made)
    expected = [answers(run, recipe) for recipe in made]
    on_gpu = evaluate(run, on("cuda", run), made)
    found = [answers(run, recipe) for recipe in made]
    for one, other in zip(on_gpu, on_processor, strict=True):
        assert isinstance(one, Scored)
        assert isinstance(other, Scored)
        assert one.weights == other.weights
        assert one.evaluation != other.evaluation
    pairs = [
        pair for lists in zip(found, expected, strict=True) for pair in zip(*lists, strict=True)
    ]
    assert sum(one == other for one, other in pairs) >= 0.9 * len(pairs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_a_gpu_that_holds_the_models_gives_the_processors_bits(
    make_run: MakeRun, tiny_models: Path, name: str, dtype: str
) -> None:
    """By every method, with divisions, random masks and thresholds; and where it is only copied to."""
    run = make_run()
    method = METHODS[name]
    parents = ("a", "b")[: method.max_parents or 2]
    values = {
        spec.name: value
        for spec in method.parameters
        if (value := {"weight": 0.7, "density": 0.37}.get(spec.name)) is not None
    }
    recipe = run.recipe(
        name,
        base=None if method.base == "unused" else "base",
        parents=parents,
        options={"normalize": True} if method.option("normalize") else {},
        dtype=dtype,
        **values,
    )
    folders = {model: tiny_models / model for model in run.digests}
    weights, digests = [], []
    for device, held in (("cuda", True), ("cuda", False), ("cpu", False)):
        merger = InPlaceMerger(folders, run.digests)
        if held:
            merger.hold_on(torch.device(device))
        live = CandidateModel(folders, run.digests, on(device, run).evaluation)
        model = live.build(run.recipe(weight=0.1, dtype=dtype))[0].model
        digests.append(merger.load_into(recipe, model, threads=2))
        weights.append({name: values.cpu() for name, values in model.state_dict().items()})
    assert digests[0] == digests[1] == digests[2]
    assert same(weights[0], weights[2])
    assert same(weights[1], weights[2])


def test_models_that_do_not_fit_are_merged_by_the_processor(
    make_run: MakeRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are the same, and so is the digest."""
    run = make_run()
    folders = {name: tiny_models / name for name in run.digests}
    held: list[torch.device] = []
    monkeypatch.setattr(InPlaceMerger, "hold_on", lambda _, device: held.append(device))
    recipe = run.recipe("dare_ties", weight=0.7, density=0.5)
    digests = []
    for free in (1 << 40, 0):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, free))
        live = CandidateModel(folders, run.digests, on("cuda", run).evaluation)
        digests.append(live.build(recipe)[1])
        assert len(held) == 1
    assert digests[0] == digests[1]


@pytest.mark.parametrize("storage", ["disk", "scratch"])
def test_every_storage_gives_the_same_bytes(make_run: MakeRun, storage: str) -> None:
    """A candidate that is read from a file is the one that is merged in memory."""
    run = make_run()
    made = recipes(run)
    evaluate(run, on("cuda", run), made)
    in_memory = [content(run, recipe) for recipe in made]
    config = on("cuda", run, storage=storage)
    if storage == "disk":
        materialize(run.files, config, "ps", 0, 0)
    evaluate(run, config, made)
    assert [content(run, recipe) for recipe in made] == in_memory


def test_logits_that_are_no_numbers_fail_the_candidate(make_run: MakeRun) -> None:
    """They are noticed on the GPU, and the next candidate is scored."""
    run = make_run()
    broken = run.recipe(weight=1e30)
    sound = run.recipe(weight=0.4)
    found = evaluate(run, on("cuda", run), [broken, sound])
    assert isinstance(found[0], Failed)
    assert isinstance(found[1], Scored)


def test_many_candidates_do_not_fill_the_gpu(make_run: MakeRun, tiny_tasks: Path) -> None:
    """A hundred of them after a warm-up of ten: not a byte more."""
    items = {"search": 2, "validation": 1, "test": 1}
    run = make_run(evaluation=evaluation_section(tiny_tasks, items=items, device="cuda"))
    made = [run.recipe("dare_ties", weight=0.01 * n, density=0.5) for n in range(110)]
    run.write_population(made)
    taken: list[int] = []

    def measure(line: str) -> None:
        if line.startswith(("[10/", "[110/")):
            taken.append(torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()

    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=measure)
    assert taken[1] <= taken[0]
    assert all(isinstance(outcome(run, recipe), Scored) for recipe in made)
