"""A job's shard of a generation, on real models and tasks."""

from __future__ import annotations

import errno
import gc
import json
import resource
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lm_eval
import pyarrow.parquet as pq
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from tests.conftest import MakeRun
from tests.parents.checkpoints import write_llama
from tests.runs_for_tests import (
    PARENTS,
    TinyRun,
    documents,
    evaluation_section,
    raw_config,
    start_run,
    write_parents,
    write_tasks,
)
from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.outcome import OUTCOME, Failed, Scored
from tsugiki.contracts.population import Generation
from tsugiki.contracts.recipe import Parameter, Recipe
from tsugiki.errors import InfrastructureError, LineageError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.materialized import materialize
from tsugiki.steps.evolution import write_ranked
from tsugiki.steps.prepare import write_document_sets

DAY = timedelta(days=1)
EVALUATE = "tsugiki.evaluate.evaluators.harness.evaluate"
"""lm-eval's function, as the harness calls it."""


def evaluate(run: TinyRun, config: RunConfig | None = None, *, phase: str = "ps") -> list[str]:
    """Score the first generation in a new evaluator; return its lines of progress."""
    lines: list[str] = []
    ShardEvaluator(run.files, config or run.config, job=0).evaluate(phase, 0, log=lines.append)
    return lines


def with_evaluation(run: TinyRun, **changes: Any) -> RunConfig:
    """The run's configuration with another section `evaluation`."""
    evaluation = run.config.evaluation.model_copy(update=changes)
    return run.config.model_copy(update={"evaluation": evaluation})


def outcome(run: TinyRun, recipe: Recipe) -> Scored | Failed:
    """The recorded outcome."""
    return OUTCOME.validate_json(run.candidate(recipe).outcome.read_bytes())


def scored(run: TinyRun, recipe: Recipe) -> Scored:
    """The recorded outcome of a recipe that was scored."""
    found = outcome(run, recipe)
    assert isinstance(found, Scored)
    return found


def rows(run: TinyRun, recipe: Recipe, objective: str) -> dict[int, dict[str, Any]]:
    """The recorded items of an objective, by document."""
    table = pq.read_table(run.candidate(recipe).items).to_pylist()
    return {row["doc_id"]: row for row in table if row["objective"] == objective}


def parent(run: TinyRun, name: str) -> Recipe:
    """A parent alone, as a recipe."""
    return run.recipe("linear", base=None, parents=(name,), weight=1.0)


def lm_eval_samples(model: Path, tasks: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """What lm-eval itself makes of a checkpoint: samples by task and document."""
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(model), batch_size=4, device="cpu"),
        tasks=["words", "choice"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    assert results is not None
    return {
        task: {sample["doc_id"]: sample for sample in samples}
        for task, samples in results["samples"].items()
    }


def test_a_parent_that_was_trained_again_is_refused_by_a_process_that_holds_it(
    tiny_tasks: Path, tmp_path: Path
) -> None:
    """No candidate is made of weights that are not those locked."""
    models = write_parents(tmp_path / "models")
    run = start_run(raw_config(models, tiny_tasks, tmp_path / "results"))
    first, second = (run.recipe(weight=weight) for weight in (0.5, 0.7))
    run.write_population([first])
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    evaluator.evaluate("ps", 0, log=print)
    write_llama(models / "a", seed=77)
    run.write_population([second])
    with pytest.raises(LineageError, match=r"parent `a`.*model\.safetensors"):
        evaluator.evaluate("ps", 0, log=print)
    assert run.candidate(first).outcome.is_file()
    assert not run.candidate(second).outcome.exists()


def test_a_parent_as_a_recipe_scores_as_lm_eval_scores_its_checkpoint(
    make_run: MakeRun, tiny_models: Path, tiny_tasks: Path
) -> None:
    """The same answer and the same value on every item: published scores can be reproduced."""
    run = make_run()
    recipes = {name: parent(run, name) for name in PARENTS}
    run.write_population(list(recipes.values()))
    evaluate(run)
    for name, recipe in recipes.items():
        samples = lm_eval_samples(tiny_models / name, tiny_tasks)
        for objective, task, metric in (("even", "words", "even"), ("choice", "choice", "acc")):
            found = rows(run, recipe, objective)
            assert len(found) == run.config.evaluation.items.search
            assert {id_: row["value"] for id_, row in found.items()} == {
                id_: samples[task][id_][metric] for id_ in found
            }
            mean = sum(row["value"] for row in found.values()) / len(found)
            assert scored(run, recipe).measured[objective].value == mean
        words = rows(run, recipe, "even")
        assert {id_: row["response"] for id_, row in words.items()} == {
            id_: samples["words"][id_]["resps"][0][0] for id_ in words
        }


def test_candidates_in_one_process_get_their_own_scores(make_run: MakeRun) -> None:
    """No score, answer or weight of one candidate comes back with another."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.1, 0.9, 1.4)]
    run.write_population(recipes)
    evaluate(run)
    together = [scored(run, recipe) for recipe in recipes]
    assert len({one.weights for one in together}) == len({one.records for one in together}) == 3
    for recipe, before in zip(reversed(recipes), reversed(together), strict=True):
        run.candidate(recipe).outcome.unlink()
        run.write_population([recipe])
        evaluate(run)
        assert scored(run, recipe) == before


def test_a_candidate_evaluated_twice_gives_the_same_bytes(make_run: MakeRun) -> None:
    """outcome.json and items.parquet do not depend on what was evaluated between."""
    run = make_run()
    recipe = run.recipe("dare_ties", weight=0.7, density=0.5)
    run.write_population([recipe])
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    files = run.candidate(recipe)
    evaluator.evaluate("ps", 0, log=lambda _line: None)
    before = files.outcome.read_bytes(), files.items.read_bytes()
    run.write_population([run.recipe(weight=1.2)], phase="other")
    evaluator.evaluate("other", 0, log=lambda _line: None)
    files.outcome.unlink()
    files.items.unlink()
    evaluator.evaluate("ps", 0, log=lambda _line: None)
    assert (files.outcome.read_bytes(), files.items.read_bytes()) == before


def test_files_have_fixed_names(make_run: MakeRun) -> None:
    """Names depend on the recipe alone, not on model, task or time."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    evaluate(run)
    folder = run.candidate(recipe).root
    assert folder.name == f"cand-{recipe.digest[:12]}"
    names = {path.name for path in folder.iterdir()}
    assert names == {"recipe.json", "outcome.json", "items.parquet", "cost.json"}
    cost = json.loads(run.candidate(recipe).cost.read_bytes())
    assert set(cost) == {
        "seconds_merge", "seconds_forward", "seconds_total", "tokens",
        "host", "device", "started", "finished", "generation",
    }  # fmt: skip


def test_a_model_with_nan_logits_fails_and_does_not_win(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """An argmax over NaN is the first choice, so that lm-eval gives such a model full marks."""
    models = tmp_path / "models"
    models.mkdir()
    for name in ("base", *PARENTS):
        (models / name).symlink_to(tiny_models / name)
    huge = {
        f"model.layers.{layer}.mlp.{part}_proj.weight": torch.full((32, 16), 3e38)
        for layer in range(2)
        for part in ("gate", "up")
    }
    write_llama(models / "huge", seed=3, extra=huge)
    choice = lm_eval_samples(models / "huge", tiny_tasks)["choice"]
    assert all(sample["acc"] == 1.0 for sample in choice.values())

    raw = raw_config(models, tiny_tasks, tmp_path / "results")
    raw["parents"]["huge"] = {"path": str(models / "huge")}
    run = start_run(raw)
    broken, sound = parent(run, "huge"), parent(run, "a")
    run.write_population([broken, sound])
    evaluate(run)
    found = outcome(run, broken)
    assert isinstance(found, Failed)
    assert found.kind == "model"
    assert "not finite" in found.reason
    assert isinstance(outcome(run, sound), Scored)
    assert not run.candidate(broken).items.exists()


def test_one_invalid_candidate_of_four_leaves_the_others_alone(make_run: MakeRun) -> None:
    """A recipe whose weights cancel under normalisation fails; the others are scored."""
    run = make_run()
    cancelling = run.recipe("linear", base=None, owner="a").model_copy(
        update={
            "parameters": {"weight": Parameter(values={"a": {"model": 0.5}, "b": {"model": -0.5}})}
        }
    )
    others = [run.recipe(weight=weight) for weight in (0.2, 0.4, 0.6)]
    run.write_population([others[0], cancelling, *others[1:]])
    lines = evaluate(run)
    found = outcome(run, cancelling)
    assert isinstance(found, Failed)
    assert found.kind == "recipe"
    assert "failed (recipe)" in lines[1]
    assert all(isinstance(outcome(run, recipe), Scored) for recipe in others)


def test_a_recipe_of_other_parents_is_a_fault_of_the_files(make_run: MakeRun) -> None:
    """A parent whose digest differs is never held against the candidate."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    other = recipe.parents[0].model_copy(update={"digest": "0" * 64})
    recipe = recipe.model_copy(update={"parents": (other, recipe.parents[1])})
    run.write_population([recipe])
    with pytest.raises(LineageError, match="not the one"):
        evaluate(run)
    assert not run.candidate(recipe).outcome.exists()


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
        TimeoutError("the file server does not answer"),
    ],
    ids=["cuda", "gpu-memory", "cpu-memory", "disk", "memory", "time-out"],
)
def test_faults_of_the_machine_are_never_an_outcome(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """They are raised for the job to be tried again, and nothing is recorded."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])

    def fail(**_arguments: Any) -> None:
        raise fault

    monkeypatch.setattr(EVALUATE, fail)
    with pytest.raises(InfrastructureError, match="machine failed") as caught:
        evaluate(run)
    assert type(fault).__name__ in str(caught.value.got)
    assert [path.name for path in run.candidate(recipe).root.iterdir()] == ["recipe.json"]
    assert not run.files.phase("ps").generation(0).evaluated(0).exists()


def test_an_error_in_a_task_is_a_failure_with_its_reason(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric that raises on one model's answers does not end the run."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])

    def fail(**_arguments: Any) -> None:
        raise ZeroDivisionError("no answers to divide by")

    monkeypatch.setattr(EVALUATE, fail)
    evaluate(run)
    found = outcome(run, recipe)
    assert isinstance(found, Failed)
    assert (found.kind, found.reason) == (
        "evaluation",
        "ZeroDivisionError: no answers to divide by",
    )


def test_results_without_a_task_are_a_failure_and_not_zero(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that lm-eval drops is missed."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    real = lm_eval.evaluator.evaluate

    def forget(**arguments: Any) -> Any:
        results = real(**arguments)
        del results["results"]["choice"]
        return results

    monkeypatch.setattr(EVALUATE, forget)
    evaluate(run)
    found = outcome(run, recipe)
    assert isinstance(found, Failed)
    assert "lack task choice" in found.reason


def test_equal_candidates_are_evaluated_once_and_have_two_rows(make_run: MakeRun) -> None:
    """Two genomes may decode to one recipe."""
    run = make_run()
    recipe, other = run.recipe(weight=0.5), run.recipe(weight=0.6)
    run.write_population([recipe, other, recipe])
    assert len(evaluate(run)) == 2
    write_ranked(run.files, run.config, "ps", 0, log=lambda _line: None)
    written = run.files.phase("ps").generation(0).outcomes.read_bytes()
    entry = Generation.model_validate_json(written)
    assert [ranked.id for ranked in entry.ranked] == ["000-00", "000-01", "000-02"]
    assert entry.ranked[0].outcome == entry.ranked[2].outcome


@pytest.mark.parametrize("storage", ["disk", "scratch"])
def test_every_storage_gives_the_same_bytes(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    """A candidate scored from a temporary checkpoint is the one scored in memory."""
    scratch = tmp_path / "node-disk"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    run = make_run()
    cancelling = run.recipe("linear", base=None, owner="a").model_copy(
        update={
            "parameters": {"weight": Parameter(values={"a": {"model": 0.5}, "b": {"model": -0.5}})}
        }
    )
    recipes = [run.recipe("dare_ties", weight=0.7, density=0.4), cancelling]
    run.write_population(recipes)
    evaluate(run)
    in_memory = [run.candidate(recipe).outcome.read_bytes() for recipe in recipes]
    for recipe in recipes:
        run.candidate(recipe).outcome.unlink()
    on_disk = with_evaluation(run, storage=storage)
    if storage == "disk":
        materialize(run.files, on_disk, "ps", 0, 0)
    evaluate(run, on_disk)
    assert [run.candidate(recipe).outcome.read_bytes() for recipe in recipes] == in_memory
    assert list(scratch.iterdir()) == []


def test_a_damaged_temporary_checkpoint_is_a_fault_of_the_machine(make_run: MakeRun) -> None:
    """Cut short by a full disk, say; the job is tried again."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    on_disk = with_evaluation(run, storage="disk")
    with pytest.raises(InfrastructureError, match="not materialized"):
        evaluate(run, on_disk)
    materialize(run.files, on_disk, "ps", 0, 0)
    written = run.files.phase("ps").generation(0).weights(0)
    file = next(written.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InfrastructureError, match="not whole"):
        evaluate(run, on_disk)
    assert not run.candidate(recipe).outcome.exists()


def test_a_candidates_line_comes_when_its_outcome_is_on_the_disk(make_run: MakeRun) -> None:
    """A line says what a kill cannot take away."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.0, 0.1, 0.2)]
    run.write_population(recipes)
    seen = []

    def log(line: str) -> None:
        recipe = recipes[len(seen)]
        assert recipe.digest[:12] in line
        assert outcome(run, recipe)
        seen.append(recipe)

    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=log)
    assert seen == recipes


def test_an_outcome_that_cannot_be_written_ends_the_job(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even that of the last candidate; the share is not done then."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.0, 0.1)]
    run.write_population(recipes)

    def full(path: Path, data: bytes, **settings: Any) -> None:
        if path == run.candidate(recipes[-1]).outcome:
            raise OSError(errno.ENOSPC, "No space left on device")
        atomic.write_bytes(path, data, **settings)

    with monkeypatch.context() as patched:
        patched.setattr("tsugiki.evaluate.batch.atomic", SimpleNamespace(write_bytes=full))
        with pytest.raises(OSError, match="No space left"):
            evaluate(run)
    assert outcome(run, recipes[0])
    assert not run.files.phase("ps").generation(0).evaluated(0).exists()
    evaluate(run)
    assert run.files.phase("ps").generation(0).evaluated(0).exists()


def test_an_interrupted_share_goes_on_where_it_ended(make_run: MakeRun) -> None:
    """What is scored is kept; the job's file appears only when all is done."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.2, 0.4, 0.6)]
    run.write_population(recipes)
    done = run.files.phase("ps").generation(0).evaluated(0)
    answers = iter([True, False])
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    evaluator.evaluate("ps", 0, log=lambda _line: None, should_continue=lambda: next(answers))
    assert not done.exists()
    assert [run.candidate(recipe).outcome.exists() for recipe in recipes] == [True, False, False]
    cost = run.candidate(recipes[0]).cost.read_bytes()
    evaluator.evaluate("ps", 0, log=lambda _line: None)
    assert run.candidate(recipes[0]).cost.read_bytes() == cost
    assert set(json.loads(done.read_bytes())["outcomes"]) == {one.digest for one in recipes}


@pytest.mark.parametrize("damaged", ["outcome", "items"])
def test_only_a_damaged_candidate_is_scored_again(make_run: MakeRun, damaged: str) -> None:
    """A file that ends half-way is noticed; its sibling is left alone."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.2, 0.4)]
    run.write_population(recipes)
    evaluate(run)
    files = [run.candidate(recipe) for recipe in recipes]
    before = [file.outcome.read_bytes() for file in files]
    costs = [file.cost.read_bytes() for file in files]
    path: Path = getattr(files[0], damaged)
    path.write_bytes(path.read_bytes()[:-40])
    evaluate(run)
    assert [file.outcome.read_bytes() for file in files] == before
    assert files[0].cost.read_bytes() != costs[0]
    assert files[1].cost.read_bytes() == costs[1]


def test_another_evaluation_scores_again_and_other_jobs_do_not(make_run: MakeRun) -> None:
    """Batch size and, on a processor, threads change last bits; how work is shared out does not."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    evaluate(run)
    cost = run.candidate(recipe).cost.read_bytes()
    evaluate(run, with_evaluation(run, jobs=2, storage="scratch"))
    assert run.candidate(recipe).cost.read_bytes() == cost
    for change in ({"threads": 2}, {"batch_size": 2}):
        before = run.candidate(recipe).cost.read_bytes()
        evaluate(run, with_evaluation(run, **change))
        assert run.candidate(recipe).cost.read_bytes() != before


def test_a_run_whose_identities_name_no_threads_goes_on(make_run: MakeRun) -> None:
    """Those that version 0.1.0 began, whose items were divided task by task."""
    run = make_run()
    items = read_document_sets(run.files.items).model_copy(update={"version": 1})
    run.files.items.write_bytes(items.to_json())
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    evaluate(run)
    cost = run.candidate(recipe).cost.read_bytes()
    evaluate(run, with_evaluation(run, threads=2))
    assert run.candidate(recipe).cost.read_bytes() == cost


def test_prompts_are_kept_for_the_held_out_items_only(make_run: MakeRun) -> None:
    """The report shows examples from the test; the search would only repeat its prompts."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    for phase, kept in (("ps", False), ("test", True)):
        run.write_population([recipe], phase=phase)
        evaluate(run, phase=phase)
        table = pq.read_table(run.candidate(recipe, phase=phase).items).to_pylist()
        assert all((row["prompt"] is not None) == kept for row in table)


def test_rates_and_tokens_count_each_generated_answer_once(
    make_run: MakeRun, tiny_tasks: Path
) -> None:
    """Multiple choice generates nothing, and two metrics may judge the same answer."""
    objectives = [
        {"name": "even", "task": "words", "metric": "even,none"},
        {"name": "exact", "task": "words", "metric": "exact_match,none"},
        {"name": "choice", "task": "choice", "metric": "acc,none"},
    ]
    run = make_run(evaluation=evaluation_section(tiny_tasks, objectives=objectives))
    recipe = parent(run, "a")
    run.write_population([recipe])
    evaluate(run)
    answers = list(rows(run, recipe, "even").values())
    tokens = [len(row["response"].split()) for row in answers]
    rates = scored(run, recipe).rates
    assert rates["tokens"] == sum(tokens) / len(tokens)
    assert rates["truncated"] == sum(count >= 6 for count in tokens) / len(tokens)
    assert rates["empty"] == sum(count == 0 for count in tokens) / len(tokens)
    assert rates["parsed"] == 1.0 - rates["empty"]
    assert json.loads(run.candidate(recipe).cost.read_bytes())["tokens"] == sum(tokens)


def test_a_models_own_generation_settings_do_not_leak(
    make_run: MakeRun, tiny_tasks: Path, tmp_path: Path
) -> None:
    """A repetition penalty in generation_config.json would change greedy answers."""
    plain = make_run(name="plain")
    models = tmp_path / "models"
    for seed, name in enumerate(("base", *PARENTS)):
        write_llama(models / name, seed=seed)
        settings = {"repetition_penalty": 5.0, "do_sample": True, "temperature": 2.0}
        (models / name / "generation_config.json").write_text(json.dumps(settings))
    penalised = start_run(raw_config(models, tiny_tasks, tmp_path / "results", name="penalised"))
    found = []
    for run in (plain, penalised):
        recipe = parent(run, "a")
        run.write_population([recipe])
        evaluate(run)
        found.append([row["response"] for row in rows(run, recipe, "even").values()])
    assert found[0] == found[1]


def test_many_candidates_do_not_grow_the_process(make_run: MakeRun, tiny_tasks: Path) -> None:
    """Two hundred candidates in one process, after a warm-up of ten."""
    items = {"search": 2, "validation": 1, "test": 1}
    run = make_run(evaluation=evaluation_section(tiny_tasks, items=items))
    run.write_population(
        [run.recipe("dare_ties", weight=0.005 * n, density=0.5) for n in range(210)]
    )
    objects: list[int] = []
    pages: list[int] = []

    def measure(line: str) -> None:
        if line.startswith(("[10/", "[210/")):
            gc.collect()
            objects.append(len(gc.get_objects()))
            pages.append(int(Path("/proc/self/statm").read_text().split()[1]))

    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=measure)
    assert objects[1] - objects[0] < 200 * 3  # one model alone is hundreds of objects
    assert (pages[1] - pages[0]) * resource.getpagesize() < 20_000_000


def chatting_run(folder: Path, tasks: Path, templates: dict[str, str], **changes: Any) -> TinyRun:
    """A run with models of its own, whose prompts are wrapped in their chat templates."""
    write_parents(folder / "models")
    for name, template in templates.items():
        (folder / "models" / name / "chat_template.jinja").write_text(template)
    section = evaluation_section(tasks, apply_chat_template=True, **changes)
    return start_run(raw_config(folder / "models", tasks, folder / "results", evaluation=section))


def prompts(run: TinyRun, recipe: Recipe) -> dict[int, str]:
    """The prompts of the task `words` that were put to a model on the test documents."""
    table = pq.read_table(run.candidate(recipe, phase="test").items).to_pylist()
    return {row["doc_id"]: row["prompt"] for row in table if row["objective"] == "even"}


DATED = "on {{ strftime_now('%d %b %Y') }} {{ messages[0].content }} "


def test_chat_templates_write_the_date_of_the_run(tmp_path: Path, tiny_tasks: Path) -> None:
    """A run that goes on tomorrow compares scores of the same prompts."""
    run = chatting_run(tmp_path, tiny_tasks, {"base": DATED}, date="2026-03-07")
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe], phase="test")
    evaluate(run, phase="test")
    found = prompts(run, recipe)
    expected = {index: f"on 07 Mar 2026 {documents()[index]['prompt']} " for index in found}
    assert found
    assert found == expected


def test_the_runs_date_is_that_of_the_first_division(tmp_path: Path, tiny_tasks: Path) -> None:
    """Dividing again, on another day, keeps it; the configuration may name another."""
    run = chatting_run(tmp_path, tiny_tasks, {"base": DATED})
    sets = json.loads(run.files.items.read_bytes())
    assert sets["date"] in {str(datetime.now(UTC).date()), str(datetime.now(UTC).date() - DAY)}
    run.files.items.write_text(json.dumps({**sets, "date": "2025-12-31"}))
    write_document_sets(run.files, run.config)
    assert json.loads(run.files.items.read_bytes())["date"] == "2025-12-31"
    write_document_sets(run.files, with_evaluation(run, date=date(2026, 3, 7)))
    assert json.loads(run.files.items.read_bytes())["date"] == "2026-03-07"


def test_a_run_without_chat_templates_records_no_date(make_run: MakeRun) -> None:
    """Its files are the same on every day."""
    assert "date" not in json.loads(make_run().files.items.read_bytes())


def test_another_date_is_another_evaluation_where_a_template_writes_it(
    tmp_path: Path, tiny_tasks: Path
) -> None:
    """Elsewhere nothing is scored again: a template of a parent that gives no tokenizer included."""
    for place, templates, again in (
        ("read", {"base": DATED, "a": "{{ messages }}"}, True),
        ("unread", {"base": "{{ messages[0].content }} ", "a": DATED}, False),
    ):
        run = chatting_run(tmp_path / place, tiny_tasks, templates, date="2026-03-07")
        recipe = run.recipe(weight=0.5)
        run.write_population([recipe])
        evaluate(run)
        before = scored(run, recipe)
        write_document_sets(run.files, with_evaluation(run, date=date(2026, 3, 8)))
        evaluate(run)
        assert (scored(run, recipe).evaluation != before.evaluation) is again


def test_each_model_gets_prompts_by_its_own_chat_template(tmp_path: Path, tiny_tasks: Path) -> None:
    """Parents are compared in one process, and prompts are rendered once only for each of them."""
    templates = {name: name + " {{ messages[0].content }} " for name in PARENTS}
    run = chatting_run(tmp_path, tiny_tasks, {"base": "{{ messages }}", **templates})
    recipes = {name: parent(run, name) for name in PARENTS}
    run.write_population(list(recipes.values()), phase="test")
    evaluate(run, phase="test")
    for name, recipe in recipes.items():
        found = prompts(run, recipe)
        assert found == {index: f"{name} {documents()[index]['prompt']} " for index in found}


def test_prompts_that_lost_their_start_are_counted(tmp_path: Path, make_run: MakeRun) -> None:
    """The models read 128 tokens: prompt and answer of 6, or prompt and choice of 1.

    The first token of a choice is predicted from what is before it, the last one is not read.
    """
    rows = documents()
    for index, length in ((0, 122), *((one, (123, 128, 129)[one % 3]) for one in range(1, 13))):
        rows[index]["prompt"] = " ".join(["w5"] * length)
    run = make_run(evaluation=evaluation_section(write_tasks(tmp_path / "tasks", rows=rows)))
    used = json.loads(run.files.items.read_bytes())["tasks"]
    ids = {task: {one["id"] for one in sets["search"]} for task, sets in used.items()}
    cut = len(ids["words"] & set(range(1, 13))) + len(ids["choice"] & {2, 5, 8, 11})
    assert cut
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    lines = evaluate(run)
    assert scored(run, recipe).rates["cut"] == cut / 16
    assert f"{cut / 16:.0%} of the prompts cut" in lines[0]


def test_where_no_prompt_is_cut_nothing_is_said_of_it(make_run: MakeRun) -> None:
    """Records are what they were before such prompts were counted."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    assert "cut" not in evaluate(run)[0]
    assert "cut" not in scored(run, recipe).rates
