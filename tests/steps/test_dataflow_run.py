"""A candidate in data-flow space through a run: scored, chosen, saved, reproduced, audited."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.conftest import MakeRun
from tests.runs_for_tests import (
    TinyRun,
    evaluation_section,
    raw_config,
    start_run,
    write_parents,
)
from tests.steps.test_steps import quiet
from tests.tensors import bytes_alive, bytes_of
from tsugiki import atomic
from tsugiki.audit.audit import audit
from tsugiki.canonical import pretty_json
from tsugiki.config.stage import Stage
from tsugiki.contracts.outcome import OUTCOME, Failed, Scored
from tsugiki.contracts.population import Candidate, Population
from tsugiki.contracts.recipe import DataflowRecipe, Hop
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.materialized import materialize
from tsugiki.evolve.select import first
from tsugiki.keyed import generator
from tsugiki.merge.write import write_merge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.parents.sizes import memory
from tsugiki.space.dataflow_space import build_dataflow_genome
from tsugiki.steps.audit import reproduce_best, reselect
from tsugiki.steps.best import record_folding, write_best
from tsugiki.steps.evolution import write_drawn, write_next
from tsugiki.strategies.state import State, read_state


def path_of(run: TinyRun, *hops: tuple[str, int, float], dtype: str = "float32") -> DataflowRecipe:
    """A path through the layers of both parents."""
    return DataflowRecipe(
        parents=(run.ref("a"), run.ref("b")),
        owner="a",
        path=tuple(Hop(parent=parent, layer=layer, scale=scale) for parent, layer, scale in hops),
        dtype=dtype,
    )


def through(run: TinyRun) -> DataflowRecipe:
    """A path of five hops."""
    hops = [("a", 0, 1.0), ("b", 1, 0.8), ("b", 1, 1.0), ("b", 0, -1.3), ("a", 1, 1.1)]
    return path_of(run, *hops)


def finish(run: TinyRun, recipe: DataflowRecipe) -> None:
    """Make a recipe the one finalist, and score it."""
    phase = run.files.phase("finalists")
    atomic.write_bytes(phase.candidate(recipe.digest).recipe, recipe.to_json())
    population = Population(
        run=run.config.name,
        phase="finalists",
        generation=0,
        split="validation",
        previous=None,
        state=None,
        candidates=(
            Candidate(
                id="000-00",
                recipe=recipe.digest,
                genome=(),
                origin={"name": "candidate 000-00", "kind": "finalist"},
            ),
        ),
    )
    content = pretty_json(population.model_dump(mode="json"))
    atomic.write_bytes(phase.generation(0).population, content)
    run.score("finalists")
    write_best(run.files, run.config, run.files.best, threads=1)


def test_the_best_path_is_saved_reproduced_and_audited(make_run: MakeRun, tmp_path: Path) -> None:
    """An ordinary checkpoint with the digest that was scored; a path has all that a run needs."""
    run = make_run()
    recipe = through(run)
    finish(run, recipe)
    outcome = OUTCOME.validate_json(run.candidate(recipe, phase="finalists").outcome.read_bytes())
    assert isinstance(outcome, Scored)
    assert outcome.weights == write_best(run.files, run.config, run.files.best, threads=1)
    model = AutoModelForCausalLM.from_pretrained(run.files.best)
    assert len(model.model.layers) == model.config.num_hidden_layers == 5
    assert "same bytes" in reproduce_best(run.files, run.config, tmp_path / "again")
    assert audit(run.files, run.config) == []


def test_a_genetic_search_that_took_indicators_for_numbers_is_audited_as_it_was(
    make_run: MakeRun,
) -> None:
    """Version 0.1.0 drew indicators from a normal distribution about their probabilities; its states name none."""
    stage = {
        "name": "dfs",
        "parents": ["a", "b"],
        "base": "base",
        "space": {"kind": "dataflow", "repeats": 1, "dtype": "float32"},
        "strategy": {"kind": "genetic", "population": 6},
        "budget": {"generations": 2},
    }
    run = make_run(stages=[stage])
    (searched,), phase = run.config.stages, run.files.phase("dfs")
    space = build_dataflow_genome(searched, digests=run.digests, layers={"a": 2, "b": 2})
    start = np.array(space.start)
    recorded = State("genetic", {"start": start}, {"best": None, "best_generation": 0}).to_bytes()
    drawn = first(run.config, searched, space, recorded=recorded)
    assert drawn.state == recorded
    noise = generator(run.config.seed, "dfs", "ask", 0).normal(size=(6, len(start)))
    noise[0] = 0.0
    candidates = Population.model_validate_json(drawn.population).candidates
    assert [one.genome for one in candidates] == [
        tuple(one) for one in np.clip(start + 0.15 * noise, 0.0, 1.0).tolist()
    ]
    atomic.write_bytes(phase.space, space.to_json())
    write_drawn(phase, 0, drawn)
    run.score("dfs")
    write_next(run.files, run.config, searched, 0)
    assert read_state(phase.generation(1).state).arrays.keys() == {"start", "genomes", "fitness"}
    assert audit(run.files, run.config, reselect=reselect(run.files, run.config)) == []


def test_the_difference_of_folding_is_recorded(make_run: MakeRun) -> None:
    """Beside the model; not for a path without scales."""
    run = make_run()
    finish(run, through(run))
    measured = record_folding(run.files, run.config)
    assert measured is not None
    assert json.loads(run.files.folding.read_bytes()) == measured.model_dump(mode="json")
    assert measured.recipe == through(run).digest
    plain = make_run()
    finish(plain, path_of(plain, ("a", 0, 1.0), ("b", 1, 1.0)))
    assert record_folding(plain.files, plain.config) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_and_disk_give_the_same_outcome(
    dtype: str, make_run: MakeRun, tiny_tasks: Path
) -> None:
    """With `storage: disk` a path is written, loaded and scored: same records, same weights."""
    outcomes = {}
    for storage in ("memory", "disk"):
        run = make_run(evaluation=evaluation_section(tiny_tasks, storage=storage))
        recipe = path_of(run, ("a", 0, 1.0), ("b", 1, 0.8), ("b", 0, -1.3), dtype=dtype)
        run.write_population([recipe, run.recipe(weight=0.5), recipe])
        if storage == "disk":
            materialize(run.files, run.config, "ps", 0, job=0)
        ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=quiet)
        outcomes[storage] = OUTCOME.validate_json(run.candidate(recipe).outcome.read_bytes())
        for folder in run.files.root.rglob("candidates"):
            for path in folder.rglob("outcome.json"):
                path.unlink()
    assert isinstance(outcomes["memory"], Scored)
    assert outcomes["memory"] == outcomes["disk"]


def test_answers_of_a_path_end_where_its_owners_do(tiny_tasks: Path, tmp_path: Path) -> None:
    """Many chat models name the ends of their turns in generation_config.json alone.

    Such paths once ended by config.json: what was scored so is of another evaluation.
    """
    models = write_parents(tmp_path / "models")
    identities = set()
    for ends in (2, [2, 61]):
        (models / "a" / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        run = start_run(raw_config(models, tiny_tasks, tmp_path / f"results-{len(identities)}"))
        recipe = through(run)
        folders = {name: models / name for name in run.digests}
        live, _ = CandidateModel(folders, run.digests, run.config.evaluation).build(recipe)
        assert live.model.generation_config.eos_token_id == [2, *[61] * (ends != 2)]
        run.write_population([recipe])
        ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=quiet)
        outcome = OUTCOME.validate_json(run.candidate(recipe).outcome.read_bytes())
        identities.add(outcome.evaluation)
    assert len(identities) == 2


def test_a_path_that_cannot_be_built_is_a_failed_candidate(make_run: MakeRun) -> None:
    """A layer out of range and a scale of 0; the candidate beside them is scored."""
    run = make_run()
    beyond, zero = path_of(run, ("a", 9, 1.0)), path_of(run, ("a", 0, 1.0), ("b", 0, 0.0))
    run.write_population([beyond, zero, through(run)])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=quiet)
    for recipe, reason in ((beyond, "does not exist"), (zero, "too near 0")):
        outcome = OUTCOME.validate_json(run.candidate(recipe).outcome.read_bytes())
        assert isinstance(outcome, Failed)
        assert outcome.kind == "recipe"
        assert reason in outcome.reason
    good = OUTCOME.validate_json(run.candidate(through(run)).outcome.read_bytes())
    assert isinstance(good, Scored)


def test_paths_and_merges_take_turns_in_one_process(make_run: MakeRun, tiny_models: Path) -> None:
    """Neither leaves anything behind that changes the other."""
    run = make_run()
    folders = {name: tiny_models / name for name in run.digests}
    live = CandidateModel(folders, run.digests, run.config.evaluation)
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    merge, path = run.recipe(weight=0.7), through(run)
    seen: dict[str, list[torch.Tensor]] = {"merge": [], "path": []}
    for _ in range(2):
        for name, recipe in (("merge", merge), ("path", path)):
            with torch.no_grad():
                seen[name].append(live.build(recipe)[0].model(ids).logits)
    for one, other in seen.values():
        assert torch.equal(one, other)


def test_one_path_at_a_time_is_in_memory(
    make_run: MakeRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No parent's layers and no earlier candidate, whenever the collector comes; at most what `tsugiki check` says."""
    run = make_run()
    row = [(parent, layer, 0.9) for parent in ("a", "b") for layer in (0, 1)]
    run.write_population([through(run), path_of(run, *row), path_of(run, *row * 3)])
    build, stored = CandidateModel.build, []

    def counting(self: CandidateModel, recipe: DataflowRecipe) -> Any:
        built = build(self, recipe)
        stored.append(bytes_of(built[0].weights.parameters()))
        computed = bytes_of(built[0].weights.buffers())
        assert bytes_alive() - before == stored[-1] + computed
        return built

    monkeypatch.setattr(CandidateModel, "build", counting)
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    gc.collect()
    gc.disable()
    try:
        before = bytes_alive()
        evaluator.evaluate("ps", 0, log=quiet)
    finally:
        gc.enable()
    space = {"kind": "dataflow", "repeats": 3, "dtype": "float32"}
    stage = Stage(name="dfs", parents=["a", "b"], space=space, budget={"generations": 1})
    config = run.config.model_copy(update={"stages": [stage]})
    models = {name: Checkpoint(name, tiny_models / name).facts for name in run.digests}
    assert memory(config, models).merged == max(stored)
    assert len(stored) == 3


def test_the_owners_identity_path_scores_as_the_owner(make_run: MakeRun, tmp_path: Path) -> None:
    """Through the harness, its records and all; its weights are the owner's."""
    run = make_run()
    own = path_of(run, ("a", 0, 1.0), ("a", 1, 1.0))
    alone = run.recipe("linear", base=None, parents=("a",), weight=1.0)
    run.write_population([own, alone])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=quiet)
    scored = [
        OUTCOME.validate_json(run.candidate(recipe).outcome.read_bytes()) for recipe in (own, alone)
    ]
    assert isinstance(scored[0], Scored)
    assert isinstance(scored[1], Scored)
    assert scored[0].records == scored[1].records
    assert scored[0].weights == scored[1].weights
    folders = {"a": Path(run.config.parents["a"].path)}
    assert write_merge(own, folders, run.digests, tmp_path / "out") == scored[0].weights
