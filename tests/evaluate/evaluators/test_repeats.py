"""Several sampled answers to each document, by lm-eval's filters, and in a run."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lm_eval.evaluator import evaluate
from lm_eval.models.dummy import DummyLM

from tests.conftest import MakeRun
from tests.runs_for_tests import evaluation_section, raw_config, write_tasks
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.contracts.samples import read_samples, rows_of, to_parquet
from tsugiki.errors import ConfigError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.prompts import render_prompts
from tsugiki.evaluate.score import _rates, generated_answers
from tsugiki.steps.estimate import shares

FILTERS = """
filter_list:
  - name: each
    filter:
      - function: regex
        regex_pattern: "(w[0-9]+)"
      - function: take_first
  - name: vote
    filter:
      - function: take_first_k
        k: 4
      - function: regex
        regex_pattern: "(w[0-9]+)"
      - function: majority_vote
      - function: take_first
"""
OBJECTIVES = [
    {"name": "mean", "task": "words", "metric": "even,each"},
    {"name": "vote", "task": "words", "metric": "even,vote"},
    {"name": "length", "task": "words", "metric": "tokens"},
]
EVERY = ("w2", "w2 w4", "w3", "w2", "w5")
"""Answers that are given in turn: first words 2, 2, 3, 2, 5."""


class Scripted(DummyLM):  # type: ignore[misc]
    """Answers each request for a document otherwise."""

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """The answers of `EVERY`, in turn."""
        del disable_tqdm
        return list(itertools.islice(itertools.cycle(EVERY), len(requests)))


def sampling_tasks(folder: Path) -> Path:
    """A task that samples, with a filter that takes one answer, and one that votes."""
    write_tasks(folder, sample=True)
    with (folder / "words.yaml").open("a") as file:
        file.write(FILTERS)
    return folder


def harness(folder: Path, repeats: int = 5, **changes: Any) -> Harness:
    """Its evaluator."""
    settings = {"objectives": OBJECTIVES, "repeats": {"words": repeats}, **changes}
    return Harness(Evaluation.model_validate(evaluation_section(folder, **settings)))


def test_a_metric_of_one_answer_is_the_mean_and_a_vote_is_lm_evals(tmp_path: Path) -> None:
    """First words 2, 2, 3, 2, 5: three of five are even, and 2 wins the vote of the first four."""
    records = harness(sampling_tasks(tmp_path / "tasks")).score(Scripted(), {"words": [3, 8]})
    values = {(one.objective, one.doc_id): one.value for one in records}
    assert values["mean", 3] == values["mean", 8] == pytest.approx(3 / 5)
    vote, _ = Counter(text.split()[0] for text in EVERY[:4]).most_common(1)[0]
    assert values["vote", 3] == float(int(vote[1:]) % 2 == 0)
    assert {one.responses for one in records} == {EVERY}


def test_a_vote_is_what_lm_eval_itself_makes_of_the_answers(tmp_path: Path) -> None:
    """lm-eval's own evaluation of the same task with the same answers."""
    from lm_eval.tasks import TaskManager

    folder = sampling_tasks(tmp_path / "tasks")
    index = TaskManager(include_path=[str(folder)], include_defaults=False)
    loaded = index.load(["words"])["tasks"]
    loaded["words"].set_config("repeats", 5)
    theirs = evaluate(
        Scripted(), {"tasks": loaded, "groups": {}, "group_map": {}}, limit=4, bootstrap_iters=0
    )
    ours = harness(folder).score(Scripted(), {"words": [0, 1, 2, 3]})
    votes = [one.value for one in ours if one.objective == "vote"]
    assert sum(v for v in votes if v is not None) / 4 == theirs["results"]["words"]["even,vote"]


def test_a_record_holds_every_answer_and_their_number(tmp_path: Path) -> None:
    """Tokens of all of them; the length is their mean, and `truncated` what holds for most."""
    records = harness(sampling_tasks(tmp_path / "tasks")).score(Scripted(), {"words": [3]})
    lengths = {text: len(text.split()) for text in EVERY}
    rows = rows_of(records, lengths, prompts=False)
    row = next(row for row in rows if row["objective"] == "length")
    assert json.loads(row["response"]) == list(EVERY)
    assert (row["repeats"], row["tokens"], row["value"]) == (5, 6, 6 / 5)
    assert (row["truncated"], row["empty"]) == (False, False)
    assert _rates(generated_answers(rows))["tokens"] == 6 / 5
    to_parquet(rows)


def test_an_evaluation_names_its_repeats(tmp_path: Path) -> None:
    """Another number is another evaluation; without any, nothing is said of it."""
    folder = sampling_tasks(tmp_path / "tasks")
    found = [harness(folder, repeats).identity() for repeats in (4, 5)]
    assert [one["repeats"] for one in found] == [{"words": 4}, {"words": 5}]
    plain = Evaluation.model_validate(evaluation_section(write_tasks(tmp_path / "plain")))
    assert "repeats" not in Harness(plain).identity()
    assert "repeats" not in plain.model_dump(mode="json")


@pytest.mark.parametrize(
    ("old", "new", "repeats", "fault"),
    [
        ("do_sample: true", "do_sample: false", 5, "words does not sample its answers"),
        ("do_sample: true", "do_sample: true\n  min_p: 0.1", 5, "samples in a way that is not known"),
        ("max_gen_toks", "max_gen_toks", 3, "takes more answers than there are"),
        ("  - metric: even\n    aggregation: mean", "  - metric: even\n    aggregation: median", 5,
         "has no mean over answers"),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_is_refused(
    tmp_path: Path, old: str, new: str, repeats: int, fault: str
) -> None:
    """Before anything is merged."""
    folder = sampling_tasks(tmp_path / "tasks")
    text = (folder / "words.yaml").read_text()
    assert old in text
    (folder / "words.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=fault):
        harness(folder, repeats)


def test_repeats_of_a_task_that_nobody_measures_are_a_mistake(
    tiny_models: Path, tmp_path: Path
) -> None:
    """The name is looked for among the objectives' tasks."""
    tasks = sampling_tasks(tmp_path / "tasks")
    section = evaluation_section(tasks, objectives=OBJECTIVES, repeats={"word": 4})
    raw = raw_config(tiny_models, tasks, tmp_path / "results", evaluation=section)
    with pytest.raises(ConfigError) as caught:
        validate_config(parse_config(raw, where="test"), where="test")
    assert "`evaluation.repeats`: no objective names the lm-eval task 'word'" in str(caught.value)


def test_it_is_shown_before_a_run_and_priced(tiny_models: Path, tmp_path: Path) -> None:
    """`check` says what is made of the answers, `prompts` how many there are, the estimate counts each."""
    tasks = sampling_tasks(tmp_path / "tasks")
    section = evaluation_section(tasks, objectives=OBJECTIVES, repeats={"words": 5})
    config = parse_config(
        raw_config(tiny_models, tasks, tmp_path / "results", evaluation=section), where="test"
    )
    notes = Harness(config.evaluation).notes()
    assert "objective mean: the mean of 5 sampled answers to each document" in notes
    assert "objective vote: the filter `vote` over 5 sampled answers to each document" in notes
    assert "5 sampled answers" in render_prompts(config, 1)
    once = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"repeats": {}})}
    )
    answers = [sum(one.answers for one in shares(of, {})) for of in (once, config)]
    assert answers[1] == 5 * answers[0]


def test_a_candidate_gets_the_same_samples_with_any_number_of_jobs(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """Records of one job and of two are the same bytes; most documents have several answers."""
    tasks = sampling_tasks(tmp_path / "tasks")
    found = []
    for jobs in (1, 2):
        section = evaluation_section(tasks, objectives=OBJECTIVES, repeats={"words": 4}, jobs=jobs)
        run = make_run(name=f"with-{jobs}", evaluation=section)
        recipes = [run.recipe(weight=weight) for weight in (0.2, 0.9)]
        run.write_population(recipes)
        for job in range(jobs):
            ShardEvaluator(run.files, run.config, job=job).evaluate("ps", 0, log=lambda _: None)
        found.append([run.candidate(recipe).items.read_bytes() for recipe in recipes])
        table = read_samples(run.candidate(recipes[0]).items).to_pylist()
    assert found[0] == found[1]
    assert {row["repeats"] for row in table} == {4}
    assert sum(len(set(json.loads(row["response"]))) > 1 for row in table) > len(table) / 2
