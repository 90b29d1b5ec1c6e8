"""Objectives that are no mean of their documents, scored by a real model through lm-eval."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lm_eval
import pyarrow.parquet as pq
import pytest
from lm_eval.models.dummy import DummyLM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from tests.runs_for_tests import (
    TinyRun,
    documents,
    evaluation_section,
    raw_config,
    start_run,
    write_tasks,
)
from tsugiki.audit.phase import check_candidates
from tsugiki.canonical import digest, pretty_json
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.load import parse_config
from tsugiki.contracts.document_sets import DocumentSets
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.outcome import OUTCOME, Measured, Scored
from tsugiki.contracts.population import Generation
from tsugiki.contracts.recipe import Recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import ConfigError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.task_checks import aggregation_fault
from tsugiki.evaluate.preflight import check_tasks
from tsugiki.steps.evolution import write_ranked
from tsugiki.steps.prepare import write_document_sets

DATA = "custom_dataset: !function tiny.load\ntest_split: test\nnum_fewshot: 0\n"
CHOICES = """
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: gold
metric_list:
"""
TASKS = {
    "cloze": """
output_type: loglikelihood
doc_to_text: prompt
doc_to_target: "{{' ' + target}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
""",
    "text": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: prompt
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
    "classes": f"""{CHOICES}
  - {{metric: mcc, aggregation: matthews_corrcoef, higher_is_better: true}}
""",
    "translation": """
output_type: generate_until
doc_to_text: prompt
doc_to_target: prompt
generation_kwargs: {until: ["w60"], do_sample: false, max_gen_toks: 6}
metric_list:
  - {metric: chrf, aggregation: chrf, higher_is_better: true}
""",
    "worst": """
output_type: generate_until
doc_to_text: prompt
doc_to_target: target
generation_kwargs: {until: ["w60"], do_sample: false, max_gen_toks: 6}
process_results: !function tiny.score
metric_list:
  - {metric: even, aggregation: !function tiny.spread, higher_is_better: true}
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
}
ODD = f"""task: odd
{DATA}{CHOICES}
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: likelihood, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: !function tiny.names, higher_is_better: true}}
  - {{metric: exact_match, aggregation: !function tiny.marks, higher_is_better: true}}
"""
SPREAD = """

def spread(values):
    return max(values) - sum(values) / len(values)


def names(values):
    return [str(value) for value in values]


def marks(values):
    return sum([0.0, 0.5][value] for value in values)
"""
OBJECTIVES = {
    "cloze": ("cloze", "perplexity,none"),
    "words": ("text", "word_perplexity,none"),
    "bits": ("text", "bits_per_byte,none"),
    "mcc": ("classes", "mcc,none"),
    "chrf": ("translation", "chrf,none"),
    "worst": ("worst", "even,none"),
}


def objective(name: str, task: str, metric: str, **more: Any) -> dict[str, Any]:
    """One objective of a configuration."""
    return {"name": name, "task": task, "metric": metric, **more}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks of every kind of aggregation."""
    rows = [row | {"gold": n % 3} for n, row in enumerate(documents())]
    folder = write_tasks(tmp_path_factory.mktemp("corpus") / "tasks", rows=rows)
    (folder / "tiny.py").write_text((folder / "tiny.py").read_text() + SPREAD)
    (folder / "odd.yaml").write_text(ODD)
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{DATA}{text}")
    return folder


@pytest.fixture(scope="module")
def scored_run(
    tasks: Path, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyRun, Recipe]:
    """A run whose first generation is a parent alone, scored and ranked."""
    raw = raw_config(tiny_models, tasks, tmp_path_factory.mktemp("results"))
    raw["evaluation"]["objectives"] = [
        objective(name, *of_task) for name, of_task in OBJECTIVES.items()
    ]
    run = start_run(raw)
    recipe = run.recipe("linear", base=None, parents=("a",), weight=1.0)
    run.write_population([recipe])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=lambda _: None)
    write_ranked(run.files, run.config, "ps", 0, log=lambda _: None)
    return run, recipe


def measured(run: TinyRun, recipe: Recipe) -> dict[str, Measured]:
    """What the outcome says."""
    outcome = OUTCOME.validate_json(run.candidate(recipe).outcome.read_bytes())
    assert isinstance(outcome, Scored)
    return outcome.measured


def test_values_are_those_that_lm_eval_reports_for_the_checkpoint(
    scored_run: tuple[TinyRun, Recipe], tiny_models: Path, tasks: Path
) -> None:
    """On the same documents; the mean of what the documents contribute is another number."""
    run, recipe = scored_run
    sets = DocumentSets.model_validate_json(run.files.items.read_bytes())
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tiny_models / "a"), batch_size=4, device="cpu"),
        tasks=list(TASKS),
        samples=sets.ids("search"),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
    )
    found = measured(run, recipe)
    for name, (task, metric) in OBJECTIVES.items():
        expected = results["results"][task][metric]
        assert found[name].value == pytest.approx(expected, rel=1e-5), name
    assert {name: one.aggregation for name, one in found.items()} == {
        "cloze": "perplexity",
        "words": "weighted_perplexity",
        "bits": "bits_per_byte",
        "mcc": "matthews_corrcoef",
        "chrf": "chrf",
        "worst": "!function spread",
    }


def test_items_hold_what_each_document_contributes(scored_run: tuple[TinyRun, Recipe]) -> None:
    """Numbers as values, others as their parts: the values follow from them by their formulas."""
    run, recipe = scored_run
    rows = pq.read_table(run.candidate(recipe).items).to_pylist()
    found = measured(run, recipe)
    lls = [row["value"] for row in rows if row["objective"] == "cloze"]
    assert found["cloze"].value == pytest.approx(math.exp(-sum(lls) / len(lls)))
    of_words = [row for row in rows if row["objective"] == "words"]
    pairs = [json.loads(row["part"]) for row in of_words]
    assert all(row["value"] is None for row in of_words)
    assert [words for _, words in pairs] == [3] * len(pairs)
    total = sum(ll for ll, _ in pairs) / sum(words for _, words in pairs)
    assert found["words"].value == pytest.approx(math.exp(-total))
    evens = [row["value"] for row in rows if row["objective"] == "worst"]
    assert found["worst"].value == pytest.approx(max(evens) - sum(evens) / len(evens))


def test_without_a_goal_the_tasks_own_direction_counts(
    scored_run: tuple[TinyRun, Recipe],
) -> None:
    """A perplexity is minimised; a run that was recorded before keeps the direction it had."""
    run, recipe = scored_run
    value = {name: one.value for name, one in measured(run, recipe).items()}
    outcomes = run.files.phase("ps").generation(0).outcomes
    (ranked,) = Generation.model_validate_json(outcomes.read_bytes()).ranked
    down = value["cloze"] + value["words"] + value["bits"]
    up = value["mcc"] + value["chrf"] + value["worst"]
    assert ranked.fitness == pytest.approx(up - down)
    content = json.loads(run.files.items.read_bytes())
    recorded = run.files.items.read_bytes()
    assert content.pop("goals")["cloze"] == "minimize"
    try:
        run.files.items.write_bytes(pretty_json(content))
        write_ranked(run.files, run.config, "ps", 0, log=lambda _: None)
        (ranked,) = Generation.model_validate_json(outcomes.read_bytes()).ranked
        assert ranked.fitness == pytest.approx(up + down)
    finally:
        run.files.items.write_bytes(recorded)
        write_ranked(run.files, run.config, "ps", 0, log=lambda _: None)


def test_audit_aggregates_again(scored_run: tuple[TinyRun, Recipe]) -> None:
    """A value that does not follow from the items is found, whatever the aggregation."""
    run, recipe = scored_run
    assert list(check_candidates(run.files, "ps", run.config)) == []
    phase = run.files.phase("ps")
    places = (run.candidate(recipe).outcome, phase.generation(0).outcomes)
    before = [path.read_bytes() for path in places]
    try:
        for name in OBJECTIVES:
            for path, content in zip(places, before, strict=True):
                value = json.loads(content)
                outcome = value["ranked"][0]["outcome"] if "ranked" in value else value
                outcome["measured"][name]["value"] += 1.0
                path.write_bytes(pretty_json(value))
            called = measured(run, recipe)[name].aggregation
            found = [str(one) for one in check_candidates(run.files, "ps", run.config)]
            assert any(f"`{name}` has another {called}" in one for one in found), found
    finally:
        for path, content in zip(places, before, strict=True):
            path.write_bytes(content)


def test_only_objectives_that_are_no_mean_are_recorded_in_another_way(
    tiny_tasks: Path, tasks: Path
) -> None:
    """Runs of means keep the identity of their scores, and outcomes the bytes, that they had."""
    mean = Harness(Evaluation.model_validate(evaluation_section(tiny_tasks)))
    assert "aggregations" not in mean.identity()
    stated = evaluation_section(tiny_tasks)
    for one in stated["objectives"]:
        one["goal"] = "maximize"
    spelled = Harness(Evaluation.model_validate(stated)).identity()
    assert digest(spelled) == digest(mean.identity())
    assert Measured(value=0.5, items=2).model_dump(mode="json") == {"value": 0.5, "items": 2}
    cloze = harness(tasks, objective("cloze", "cloze", "perplexity,none"))
    assert cloze.identity()["aggregations"] == {"cloze": "perplexity"}


def harness(folder: Path, *objectives: dict[str, Any]) -> Harness:
    """The tasks of some objectives."""
    return Harness(
        Evaluation.model_validate(evaluation_section(folder, objectives=list(objectives)))
    )


def refuse(folder: Path, stated: dict[str, Any]) -> None:
    """What is asked of an objective before any model is scored by it."""
    found = harness(folder, stated)
    [one] = found.objectives
    if fault := aggregation_fault(one.task, found.tasks[one.task], one):
        raise fault


@pytest.mark.parametrize(
    ("task", "metric", "got"),
    [
        ("odd", "likelihood,none", "there is no mean of"),
        ("odd", "acc_norm,none", "it aggregates to"),
        ("odd", "exact_match,none", "what is recorded of its documents"),
    ],
)
def test_a_metric_without_a_value_over_documents_is_refused(
    tasks: Path, task: str, metric: str, got: str
) -> None:
    """Before any model is scored by it."""
    with pytest.raises(ConfigError, match="has no value over a set of documents") as caught:
        refuse(tasks, objective("it", task, metric))
    assert got in str(caught.value.got)


def test_a_metric_that_nobody_asked_for_fails_no_candidate(tasks: Path) -> None:
    """lm-eval itself cannot aggregate `likelihood`, which stands in the task beside `acc`."""
    records = harness(tasks, objective("it", "odd", "acc,none")).score(
        DummyLM(), {"odd": [0, 1, 2]}
    )
    assert {record.value for record in records} <= {0.0, 1.0}


def broken(text: str) -> str:
    """`bypass` says 999, whatever the documents."""
    return text.replace("aggregation: perplexity", "aggregation: bypass")


def unknown(text: str) -> str:
    """A name that lm-eval does not know."""
    return text.replace("aggregation: perplexity", "aggregation: harmonic")


@pytest.mark.parametrize("change", [broken, unknown])
def test_an_aggregation_that_lm_eval_lacks_is_refused(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    """Or that is none."""
    folder = write_tasks(tmp_path / "tasks")
    (folder / "cloze.yaml").write_text(change(f"task: cloze\n{DATA}{TASKS['cloze']}"))
    with pytest.raises(ConfigError, match="has no value over a set of documents"):
        refuse(folder, objective("it", "cloze", "perplexity,none"))


def test_estimates_of_scores_that_are_no_means_are_refused_by_check(
    tmp_path: Path, tasks: Path
) -> None:
    """A perplexity has no answer that is right or wrong."""
    section = evaluation_section(
        tasks,
        objectives=[objective("cloze", "cloze", "perplexity,none")],
        subsets={"per_generation": 3, "irt": {}},
    )
    raw = raw_config(tmp_path, tasks, tmp_path, evaluation=section)
    config = parse_config(raw, where="test")
    (fault,) = check_tasks(config, parents_sound=False).faults
    assert "`evaluation.subsets.irt` estimates scores document by document" in fault.what
    assert fault.got == "perplexity"
    with pytest.raises(ConfigError, match="estimates scores document by document"):
        write_document_sets(RunFiles(tmp_path / "run"), config)


def test_the_direction_that_a_task_decides_or_contradicts_is_told(tasks: Path) -> None:
    """A line for each; a goal that agrees with the task needs none."""
    perplexity = ("cloze", "perplexity,none")
    found = harness(
        tasks,
        objective("own", *perplexity),
        objective("same", *perplexity, goal="minimize"),
        objective("other", *perplexity, goal="maximize"),
    )
    assert found.goals() == {"own": "minimize", "same": "minimize", "other": "maximize"}
    own, other = found.notes()
    assert own == "objective own: goal minimize, as task cloze states it"
    assert other.startswith("objective other: goal maximize, although task cloze states")


def test_documents_are_told_apart_by_a_column_or_their_place(tasks: Path) -> None:
    """A column that is not there is told with those that are."""

    def keys(column: str) -> Sequence[str] | None:
        section = evaluation_section(tasks, document_keys={"words": column})
        return Harness(Evaluation.model_validate(section)).documents()["words"].keys

    assert keys("#") == [str(place) for place in range(len(documents()))]
    assert keys("gold") == [str(n % 3) for n in range(len(documents()))]
    with pytest.raises(ConfigError, match="task words have no column 'id'") as caught:
        keys("id")
    assert caught.value.expected == "one of choices, gold, prompt, target"


def test_items_from_before_are_read_without_their_parts(
    scored_run: tuple[TinyRun, Recipe], tmp_path: Path
) -> None:
    """A column that a file does not have is no fault of the file."""
    run, recipe = scored_run
    table = pq.read_table(run.candidate(recipe).items)
    pq.write_table(table.drop_columns(["part"]), tmp_path / "items.parquet")
    columns = ["objective", "doc_id", "value", "part"]
    assert read_samples(tmp_path / "items.parquet", columns).column_names == columns[:3]
    assert read_samples(run.candidate(recipe).items, columns).column_names == columns
