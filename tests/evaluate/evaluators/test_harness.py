"""The door to lm-eval's tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_eval.evaluator import evaluate
from lm_eval.models.dummy import DummyLM

from tests.runs_for_tests import documents, evaluation_section, write_tasks
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.lm_eval_tasks import local_tasks
from tsugiki.contracts.samples import rows_of
from tsugiki.errors import ConfigError, EvaluationError
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.tasks import task_index
from tsugiki.evaluate.score import generated_answers


def harness(folder: Path, **changes: Any) -> Harness:
    """The tasks in a folder."""
    return Harness(Evaluation.model_validate(evaluation_section(folder, **changes)))


def edit(path: Path, old: str, new: str) -> None:
    """Change a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_unknown_metric_key_lists_the_keys(tiny_tasks: Path) -> None:
    """`acc` is not `acc,none`."""
    objective = {"name": "choice", "task": "choice", "metric": "acc"}
    tasks = harness(tiny_tasks, objectives=[objective])
    with pytest.raises(EvaluationError, match="reports no `acc`") as caught:
        tasks.score(DummyLM(), {"choice": [0, 1]})
    assert caught.value.expected == "one of acc,none"


def test_the_length_of_answers_is_a_metric_of_any_task_that_generates_them(
    tiny_tasks: Path,
) -> None:
    """Each row's value is its number of tokens, as the tokenizer counts them; shorter is better unless said."""
    objectives = [
        {"name": "even", "task": "words", "metric": "even,none"},
        {"name": "length", "task": "words", "metric": "tokens"},
    ]
    tasks = harness(tiny_tasks, objectives=objectives)
    assert tasks.goals() == {"even": "maximize", "length": "minimize"}
    records = tasks.score(DummyLM(), {"words": [3, 11]})
    lengths = {record.response or "": place + 2 for place, record in enumerate(records)}
    rows = rows_of(records, lengths, prompts=False)
    counted = [row for row in rows if row["objective"] == "length"]
    assert [row["doc_id"] for row in counted] == [3, 11]
    assert [row["value"] for row in counted] == [lengths[row["response"]] for row in counted]
    assert [row["value"] for row in counted] == [row["tokens"] for row in counted]
    assert len(generated_answers(rows)) == 2, "one answer serves both objectives"


def test_choices_have_no_length(tiny_tasks: Path) -> None:
    """Nothing is generated."""
    objective = {"name": "length", "task": "choice", "metric": "tokens"}
    with pytest.raises(ConfigError, match="choice generates no answers"):
        harness(tiny_tasks, objectives=[objective])


def test_several_metrics_of_a_task_take_one_generation_of_answers(tiny_tasks: Path) -> None:
    """Each prompt is put to the model once, however many objectives and monitors judge its answer."""
    asked: list[str] = []

    class Counting(DummyLM):  # type: ignore[misc]
        def generate_until(self, requests: Any, *, disable_tqdm: bool = False) -> list[str]:
            asked.extend(request.args[0] for request in requests)
            return list(super().generate_until(requests, disable_tqdm=disable_tqdm))

    keys = ("even,none", "exact_match,none", "parsed,none", "tokens")
    named = [{"name": f"o{n}", "task": "words", "metric": key} for n, key in enumerate(keys)]
    records = harness(tiny_tasks, objectives=named[:2], monitors=named[2:]).score(
        Counting(), {"words": [2, 4]}
    )
    assert asked == [documents()[index]["prompt"] for index in (2, 4)]
    assert [one.objective for one in records] == ["o0", "o0", "o1", "o1", "o2", "o2", "o3", "o3"]


def test_an_answer_that_is_missing_is_noticed(
    tiny_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean over fewer documents is another score."""
    real = evaluate

    def forget(**arguments: Any) -> Any:
        results = real(**arguments)
        results["samples"]["words"].pop()
        return results

    monkeypatch.setattr("tsugiki.evaluate.evaluators.harness.evaluate", forget)
    with pytest.raises(EvaluationError, match="task words answered 2 of 3 documents"):
        harness(tiny_tasks).score(DummyLM(), {"words": [3, 11, 20]})


def test_records_carry_the_documents_own_ids(tiny_tasks: Path) -> None:
    """lm-eval numbers a subset from 0."""
    tasks = harness(tiny_tasks)
    records = tasks.score(DummyLM(), {"words": [3, 11, 20], "choice": [5]})
    found = [(record.objective, record.doc_id, record.target) for record in records]
    rows = documents()
    assert found[:3] == [("even", index, rows[index]["target"]) for index in (3, 11, 20)]
    assert found[3][:2] == ("choice", 5)
    hashes = tasks.documents()["words"].hashes
    assert [one.doc_hash for one in records[:3]] == [hashes[n] for n in (3, 11, 20)]
    assert [record.max_tokens for record in records] == [6, 6, 6, None]


def test_only_the_documents_asked_for_are_put_to_the_model(tiny_tasks: Path) -> None:
    """A task without ids is not run at all."""
    asked: list[str] = []

    class Counting(DummyLM):  # type: ignore[misc]
        def generate_until(self, requests: Any, *, disable_tqdm: bool = False) -> list[str]:
            asked.extend(request.args[0] for request in requests)
            return list(super().generate_until(requests, disable_tqdm=disable_tqdm))

    tasks = harness(tiny_tasks)
    tasks.score(Counting(), {"words": [2, 4]})
    tasks.score(Counting(), {"words": [4, 6]})
    rows = documents()
    assert asked == [rows[index]["prompt"] for index in (2, 4, 4, 6)]


def test_the_other_documents_are_not_even_read(tiny_tasks: Path) -> None:
    """Reading one may mean decoding its images."""

    class Documents(list[dict[str, Any]]):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            raise AssertionError("all documents are read")

    tasks = harness(tiny_tasks)
    tasks.tasks["words"].test_docs = lambda: Documents(documents())
    records = tasks.score(DummyLM(), {"words": [2, 4]})
    assert [record.target for record in records] == [documents()[n]["target"] for n in (2, 4)]


def test_solved_examples_are_the_same_at_every_call(tmp_path: Path) -> None:
    """lm-eval draws them from a generator that is seeded by the clock and goes on between calls."""
    folder = write_tasks(tmp_path / "tasks", shots=2)
    examples = json.dumps([{"prompt": f"w{n} w1 w2", "target": f"w{n + 1}"} for n in range(20)])
    with (folder / "words.yaml").open("a") as file:
        file.write(f"fewshot_config:\n  samples: {examples}\n")
    prompts = []
    for tasks in (harness(folder), harness(folder)):
        for _ in range(2):
            records = tasks.score(DummyLM(), {"words": [0, 1, 2]})
            prompts.append([record.prompt for record in records])
        tasks.score(DummyLM(), {"words": [7, 8]})
    assert prompts[0] == prompts[1] == prompts[2] == prompts[3]
    assert len(prompts[0][0].split()) > 3


@pytest.mark.parametrize("split", ["test_split", "validation_split"])
def test_solved_examples_from_the_tested_documents_are_refused(tmp_path: Path, split: str) -> None:
    """lm-eval would show a document with its own answer."""
    folder = write_tasks(tmp_path / "tasks", shots=3)
    edit(folder / "words.yaml", "test_split", split)
    with pytest.raises(ConfigError, match="solved examples") as caught:
        harness(folder)
    assert "fewshot_split" in str(caught.value.fix)


def test_the_number_of_examples_in_the_configuration_is_checked_too(tiny_tasks: Path) -> None:
    """It overrides the task's own."""
    with pytest.raises(ConfigError, match="solved examples"):
        harness(tiny_tasks, num_fewshot=1)


def test_examples_from_another_split_are_welcome(tmp_path: Path) -> None:
    """Training documents are not tested on."""
    folder = write_tasks(tmp_path / "tasks", shots=2)
    edit(folder / "words.yaml", "test_split: test", "test_split: test\ntraining_split: train")
    edit(
        folder / "tiny.py",
        'return {"test":',
        'return {"train": datasets.Dataset.from_list(rows[:4]), "test":',
    )
    assert harness(folder).tasks["words"].config.num_fewshot == 2


def test_a_task_that_samples_is_refused(tmp_path: Path) -> None:
    """A score must not depend on chance."""
    folder = write_tasks(tmp_path / "tasks", sample=True)
    with pytest.raises(ConfigError, match="task words samples its answers"):
        harness(folder)
    edit(folder / "words.yaml", "do_sample: true", "temperature: 0.7")
    with pytest.raises(ConfigError, match="task words samples its answers"):
        harness(folder)


def test_identity_follows_everything_in_a_tasks_folder(tmp_path: Path) -> None:
    """Its YAML, its code, its data; not what Python caches beside them."""
    folder = write_tasks(tmp_path / "tasks")
    first = harness(folder).identity()
    assert harness(folder).identity() == first
    write_tasks(folder, rows=documents(29))
    second = harness(folder).identity()
    edit(folder / "tiny.py", "% 2 == 0", "% 2 == 1")
    third = harness(folder).identity()
    assert first != second != third
    assert (
        harness(folder, objectives=evaluation_section(folder)["objectives"][:1]).identity() != third
    )


@pytest.mark.parametrize("name", ["gsm8k", "mgsm_direct_ja", "mmlu_abstract_algebra"])
def test_a_built_in_task_is_found_in_a_small_index(tiny_tasks: Path, name: str) -> None:
    """The index of all of lm-eval's 14,000 names would be paid for by every process."""
    index = task_index([name, "words"], [str(tiny_tasks)], local_tasks([tiny_tasks]))
    assert {name, "words"} <= set(index.all_tasks)
    assert len(index.all_tasks) < 300
