"""Groups of tasks, and training splits, as sources of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.metrics import aggregate_subtask_metrics
from lm_eval.models.dummy import DummyLM

from tests.runs_for_tests import documents, evaluation_section, write_tasks
from tsugiki.config.evaluation import Evaluation
from tsugiki.contracts.samples import rows_of
from tsugiki.errors import ConfigError
from tsugiki.evaluate.aggregation import Aggregations
from tsugiki.evaluate.corpus_sums import LARGEST, MEAN, SMALLEST, of_tasks
from tsugiki.evaluate.documents import divide
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.score import _measure

GROUP = "group: both\ntask:\n  - words\n  - more\naggregate_metric_list:\n  - metric: even\n    weight_by_size: false\n"
LOAD = """

def more(**kwargs):
    rows = json.loads((HERE / "documents.json").read_text())
    half = [{**row, "prompt": "w1 " + row["prompt"]} for row in rows[:10]]
    return {"test": datasets.Dataset.from_list(half)}


def trained(**kwargs):
    rows = json.loads((HERE / "documents.json").read_text())
    return {
        "test": datasets.Dataset.from_list(rows[:12]),
        "train": datasets.Dataset.from_list(rows[10:]),
    }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tasks `words` (30 documents), `more` (10), their group `both`, and `trained`, with two splits."""
    folder = write_tasks(tmp_path / "tasks")
    with (folder / "tiny.py").open("a") as file:
        file.write(LOAD)
    words = (folder / "words.yaml").read_text()
    more = words.replace("task: words", "task: more").replace("tiny.load", "tiny.more")
    (folder / "more.yaml").write_text(more)
    trained = words.replace("task: words", "task: trained").replace("tiny.load", "tiny.trained")
    (folder / "trained.yaml").write_text(f"{trained}training_split: train\n")
    (folder / "both.yaml").write_text(GROUP)
    return folder


def harness(folder: Path, *objectives: dict[str, Any], **changes: Any) -> Harness:
    """The tasks of some objectives."""
    section = evaluation_section(folder, objectives=list(objectives), **changes)
    return Harness(Evaluation.model_validate(section))


def of_group(aggregate: str | None, metric: str = "even,none", **more: Any) -> dict[str, Any]:
    """An objective."""
    how = {} if aggregate is None else {"aggregate": aggregate}
    return {"name": f"o-{aggregate}".lower(), "task": "both", "metric": metric, **how, **more}


class Answers(DummyLM):  # type: ignore[misc]
    """Answers with the even words of the prompt first, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def generate_until(self, requests: Any, *, disable_tqdm: bool = False) -> list[str]:
        """The prompts themselves."""
        del disable_tqdm
        self.asked += [one.args[0] for one in requests]
        return [one.args[0] for one in requests]


def test_a_groups_values_become_one_as_lm_eval_does_it(folder: Path) -> None:
    """Its own function with and without `weight_by_size`; and the worst, which is the smallest of what is maximised."""
    kinds = ("mean", "weighted", "worst")
    tasks = harness(folder, *(of_group(one) for one in kinds))
    hashes = tasks.documents()["both"].hashes
    assert len(hashes) == len(set(hashes)) == 40
    model = Answers()
    records = tasks.score(model, {"both": range(40)})
    assert len(model.asked) == 40, "once for three objectives"
    rows = rows_of(records, dict.fromkeys(model.asked, 3), prompts=False)
    measured = _measure(rows, tasks.aggregations)
    own: dict[str, list[float]] = {"more": [], "words": []}
    for record in records:
        if record.objective == "o-mean":
            assert record.member is not None
            assert record.value is not None
            own[record.member].append(record.value)
    assert [len(one) for one in own.values()] == [10, 30]
    means = [sum(one) / len(one) for one in own.values()]
    assert means[0] != means[1]
    assert measured["o-mean"].value == pytest.approx(
        aggregate_subtask_metrics(means, [10, 30], weight_by_size=False)
    )
    assert measured["o-weighted"].value == pytest.approx(
        aggregate_subtask_metrics(means, [10, 30], weight_by_size=True)
    )
    assert measured["o-worst"].value == pytest.approx(min(means))
    assert [one.aggregation for one in measured.values()] == [MEAN, None, SMALLEST]
    parts = [row["part"] for row in rows if row["objective"] == "o-weighted"]
    assert parts[0].startswith('["more", ')
    assert parts[-1].startswith('["words", '), "each task's values stay in the records"


def test_the_worst_of_what_is_minimised_is_the_largest(folder: Path) -> None:
    """Length, say; the tokens of a group's answers are told apart by task too."""
    tasks = harness(folder, of_group("worst", "tokens"))
    assert tasks.goals() == {"o-worst": "minimize"}
    records = tasks.score(Answers(), {"both": [0, 10]})
    lengths = {one.response or "": length for one, length in zip(records, (7, 4), strict=True)}
    rows = rows_of(records, lengths, prompts=False)
    assert _measure(rows, tasks.aggregations)["o-worst"].value == 7.0
    found = Aggregations(tasks.evaluation).find("o-worst", LARGEST)
    assert found is not None
    assert found.name == LARGEST


def test_a_task_of_a_group_and_by_itself_is_scored_once(folder: Path) -> None:
    """On the documents that either wants."""
    single = {"name": "words", "task": "words", "metric": "even,none"}
    model = Answers()
    tasks = harness(folder, of_group("mean"), single)
    records = tasks.score(model, {"both": [0, 12, 13], "words": [2, 3, 4]})
    assert len(model.asked) == 4
    rows = documents()
    assert [one.doc_id for one in records if one.objective == "words"] == [2, 3, 4]
    assert [one.target for one in records if one.objective == "words"] == [
        rows[place]["target"] for place in (2, 3, 4)
    ]


@pytest.mark.parametrize(
    ("parts", "mean", "least", "most"),
    [([("a", 1.0), ("a", 0.0), ("b", 1.0)], 0.75, 0.5, 1.0), ([("b", 0.25)], 0.25, 0.25, 0.25)],
)
def test_tasks_without_a_document_take_no_part(
    parts: list[tuple[str, float]], mean: float, least: float, most: float
) -> None:
    """By hand."""
    for name, value in ((MEAN, mean), (SMALLEST, least), (LARGEST, most)):
        assert of_tasks(name)(parts) == value


def test_a_group_without_tasks_or_without_an_aggregate_is_refused(folder: Path) -> None:
    """Each in words."""
    with pytest.raises(ConfigError, match="`both` is not a single task") as caught:
        harness(folder, of_group(None))
    assert caught.value.fix is not None
    assert "aggregate: mean" in caught.value.fix
    (folder / "both.yaml").write_text("group: both\ntask: []\n")
    with pytest.raises(ConfigError):
        harness(folder, of_group("mean"))


def test_the_search_may_have_the_training_split_for_itself(folder: Path) -> None:
    """And validation and test those that the task is tested on; what stands in both is tested on."""
    items = {"search": 8, "validation": 5, "test": 7, "search_split": "training"}
    objective = {"name": "even", "task": "trained", "metric": "even,none"}
    tasks = harness(folder, objective, items=items)
    known = tasks.documents()
    assert len(known["trained"].hashes) == 12 + 20
    assert known["trained"].search_only == set(range(12, 32))
    sizes = tasks.evaluation.items
    sets = divide(known, objectives={"trained"}, sizes=sizes, seed=1).tasks["trained"]
    assert [len(one) for one in (sets.search, sets.validation, sets.test)] == [8, 5, 7]
    assert all(one.id >= 14 for one in sets.search), "the first two of that split are tested on"
    assert all(one.id < 12 for one in (*sets.validation, *sets.test))
    ids = [one.id for one in sets.search]
    records = tasks.score(DummyLM(), {"trained": ids})
    assert [one.target for one in records] == [documents()[place - 2]["target"] for place in ids]
    assert [one.doc_hash for one in records] == [one.hash for one in sets.search]
    larger = sizes.model_copy(update={"search": 19})
    with pytest.raises(ConfigError, match="too few distinct documents") as caught:
        divide(known, objectives={"trained"}, sizes=larger, seed=1)
    assert caught.value.expected == "search = 19"


def test_a_search_on_the_training_split_needs_one_without_solved_examples(folder: Path) -> None:
    """Their answers would be in the prompts."""
    items = {"search": 8, "validation": 5, "test": 7, "search_split": "training"}
    with pytest.raises(ConfigError, match="words has no training split"):
        harness(folder, {"name": "even", "task": "words", "metric": "even,none"}, items=items)
    objective = {"name": "even", "task": "trained", "metric": "even,none"}
    with pytest.raises(ConfigError, match="solved examples from the training split"):
        harness(folder, objective, items=items, num_fewshot=2)


def test_runs_without_groups_or_splits_keep_their_digests(folder: Path) -> None:
    """Nothing of either in what is recorded."""
    section = evaluation_section(folder)
    text = Evaluation.model_validate(section).model_dump_json()
    assert "aggregate" not in text
    assert "search_split" not in text
