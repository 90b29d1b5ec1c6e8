"""What results depend on, and what they do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runs_for_tests import raw_config, write_tasks
from tsugiki.canonical import digest
from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.evaluate.shards import read_split
from tsugiki.steps.plan import Plan

Change = Callable[[dict[str, Any]], object]
KEYS = ("stage", "evaluation", "parents", "baselines", "finalists", "tracking")


def plan_of(raw: dict[str, Any]) -> Plan:
    """The plan of a configuration."""
    config = parse_config(raw, where="test")
    return Plan(RunFiles(Path("results/tiny")), config)


def keys(raw: dict[str, Any]) -> dict[str, str]:
    """All keys of a configuration's plan."""
    plan = plan_of(raw)
    return {
        "stage": plan.stage_key("ps"),
        "evaluation": plan.evaluation_key(),
        "parents": plan.parents_key(),
        "baselines": plan.baselines_key(),
        "finalists": plan.finalists_key(),
        "tracking": plan.tracking_key(),
    }


@pytest.fixture
def raw() -> dict[str, Any]:
    """A configuration."""
    return raw_config(Path("models"), Path("tasks"), Path("results"))


CHANGES: list[tuple[str, Change, set[str]]] = [
    ("generations", lambda raw: raw["stages"][0]["budget"].update(generations=9), set()),
    ("jobs", lambda raw: raw["evaluation"].update(jobs=4), set()),
    ("threads", lambda raw: raw["evaluation"].update(threads=4), set()),
    ("storage", lambda raw: raw["evaluation"].update(storage="disk"), set()),
    ("resident", lambda raw: raw["evaluation"].update(resident=True), set()),
    ("results", lambda raw: raw.update(results="elsewhere"), set()),
    ("stagnation", lambda raw: raw["stages"][0]["budget"].update(stagnation=2), {"stage"}),
    ("strategy", lambda raw: raw["stages"][0]["strategy"].update(sigma=0.3), {"stage"}),
    (
        "surrogate",
        lambda raw: raw["stages"][0].update(surrogate={"oversample": 3}),
        {"stage"},
    ),
    ("batch size", lambda raw: raw["evaluation"].update(batch_size=2), {"evaluation"}),
    ("date, of no prompt", lambda raw: raw["evaluation"].update(date="2026-03-07"), set()),
    ("rungs", lambda raw: raw["evaluation"].update(rungs={"documents": [3, 8]}), {"evaluation"}),
    (
        "subsets",
        lambda raw: raw["evaluation"].update(subsets={"per_generation": 3}),
        {"evaluation"},
    ),
    ("items", lambda raw: raw["evaluation"]["items"].update(search=9), {"evaluation"}),
    (
        "goal as before tasks were asked",
        lambda raw: raw["evaluation"]["objectives"][0].update(goal="maximize"),
        set(),
    ),
    (
        "another goal",
        lambda raw: raw["evaluation"]["objectives"][0].update(goal="minimize"),
        {"evaluation"},
    ),
    (
        "document keys",
        lambda raw: raw["evaluation"].update(document_keys={"words": "target"}),
        {"evaluation"},
    ),
    ("parents", lambda raw: raw["parents"]["a"].update(path="other"), {"parents"}),
    ("baselines", lambda raw: raw.update(baselines=[]), {"baselines"}),
    ("finalists", lambda raw: raw.update(finalists={"top": 3}), {"finalists"}),
    ("tracking", lambda raw: raw.update(tracking={"enabled": False}), {"tracking"}),
    ("seed", lambda raw: raw.update(seed=2), {"stage", "evaluation", "baselines"}),
    (
        "format",
        lambda raw: raw["stages"][0]["space"].update(dtype="bfloat16"),
        {"stage", "baselines"},
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"), [one[1:] for one in CHANGES], ids=[one[0] for one in CHANGES]
)
def test_a_change_makes_new_only_what_depends_on_it(
    raw: dict[str, Any], change: Change, expected: set[str]
) -> None:
    """A longer budget, say, goes on where the run ended."""
    before = keys(raw)
    changed = copy.deepcopy(raw)
    change(changed)
    after = keys(changed)
    assert {name for name in KEYS if before[name] != after[name]} == expected


def test_files_follow_one_another(raw: dict[str, Any]) -> None:
    """Paths are those of the layout; each generation comes from the one before."""
    plan = plan_of(raw | {"evaluation": raw["evaluation"] | {"jobs": 2}})

    class Wildcards:
        """What Snakemake passes to an input function."""

        stage = phase = "ps"
        gen = "002"
        finalists = "finalists"

    folder = "results/tiny/ps/gen-002"
    assert plan.path("population.json").format(phase="ps", gen="002") == f"{folder}/population.json"
    assert plan.before("state.npz")(Wildcards) == "results/tiny/ps/gen-001/state.npz"
    assert plan.evaluated_of(Wildcards) == [f"{folder}/evaluated-{job}.json" for job in (0, 1)]
    outcomes = [f"results/tiny/ps/gen-00{n}/outcomes.json" for n in range(3)]
    assert plan.searched_by(Wildcards) == plan.all_outcomes() == outcomes
    assert plan.state_after(Wildcards) == "results/tiny/ps/gen-003/state.npz"
    assert plan.models_before(Wildcards) == []
    assert plan.modelled(Wildcards) == plan.parents_answers(Wildcards) == []


def test_a_generation_waits_for_what_it_is_drawn_by_besides(raw: dict[str, Any]) -> None:
    """Earlier generations, for a surrogate; what the parents answer, for documents that are left out."""
    raw["stages"][0]["surrogate"] = {"generations": 2}
    raw["evaluation"]["subsets"] = {"per_generation": 3, "informative": True}
    plan = plan_of(raw)
    second, fourth = (SimpleNamespace(stage="ps", gen=gen) for gen in ("001", "003"))
    assert plan.modelled(second) == []
    names = ("population.json", "outcomes.json")
    assert plan.modelled(fourth) == [f"results/tiny/ps/gen-001/{name}" for name in names]
    assert plan.parents_answers(second) == ["results/tiny/baselines/gen-000/outcomes.json"]
    assert plan.parents_answers(fourth) == []


def test_estimates_wait_for_baselines_and_for_the_ten_generations_before(
    raw: dict[str, Any],
) -> None:
    """Of stages alone: finalists and rivals have answered all documents of theirs."""
    raw["evaluation"]["subsets"] = {"per_generation": 3, "irt": {}}
    plan, other = plan_of(raw), plan_of(raw | {"evaluation": raw["evaluation"] | {"subsets": None}})
    first, later, finalists = (
        SimpleNamespace(phase=phase, gen=gen)
        for phase, gen in (("ps", "000"), ("ps", "012"), ("finalists", "000"))
    )
    baselines = "results/tiny/baselines/gen-000/outcomes.json"
    assert plan.estimated_with(first) == [baselines]
    earlier = [f"results/tiny/ps/gen-{number:03d}/outcomes.json" for number in range(2, 12)]
    assert plan.estimated_with(later) == [baselines, *earlier]
    assert plan.estimated_with(finalists) == other.estimated_with(later) == []


def test_other_jobs_are_for_what_is_not_ranked_yet(raw: dict[str, Any], tmp_path: Path) -> None:
    """A ranked generation keeps its own: its files and keys, and with them the documents' key."""
    recipes = [f"{number:064x}" for number in range(5)]
    phase = RunFiles(tmp_path).phase("ps")
    for number in range(2):
        files = phase.generation(number)
        files.root.mkdir(parents=True)
        candidates = [{"recipe": recipe} for recipe in recipes]
        files.population.write_text(json.dumps({"candidates": candidates}))
        for job in range(2):
            mark = {"outcomes": dict.fromkeys(recipes[job::2], "digest")}
            files.evaluated(job).write_text(json.dumps(mark))
    phase.generation(0).outcomes.touch()

    class Wildcards:
        """What Snakemake passes to an input function."""

        phase = "ps"

        def __init__(self, gen: str) -> None:
            self.gen = gen

    def asked(jobs: int) -> list[Any]:
        config = parse_config(raw | {"evaluation": raw["evaluation"] | {"jobs": jobs}}, where="x")
        plan = Plan(RunFiles(tmp_path), config)
        return [
            [plan.items_key(), plan.shard_key(done := Wildcards("000")), plan.evaluated_of(done)],
            [plan.shard_key(begun := Wildcards("001")), len(plan.evaluated_of(begun))],
        ]

    two, four = asked(2), asked(4)
    assert four[0] == two[0]
    assert len(two[0][2]) == 2
    assert (two[1][1], four[1][1]) == (2, 4)
    assert four[1][0] != two[1][0], "the mark of a half is none of a quarter"


def test_jobs_are_told_how_a_ranked_generation_is_split(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """Finalists that are chosen anew are scored by as many jobs as are planned, each by one of them."""
    files = RunFiles(tmp_path)
    before, others = (files.phase(name).generation(0) for name in ("finalists", "baselines"))
    before.root.mkdir(parents=True)
    before.population.write_text(json.dumps({"candidates": [{"recipe": f"{7:064x}"}]}))
    before.evaluated(0).write_text(json.dumps({"outcomes": {f"{7:064x}": "digest"}}))
    before.outcomes.touch()
    assert read_split(files, before, configured=3) == 3, "no workflow has begun"
    config = parse_config(raw | {"evaluation": raw["evaluation"] | {"jobs": 3}}, where="x")
    Plan(files, config).write_splits()
    before.evaluated(0).unlink()  # as before the job that writes it again
    assert read_split(files, before, configured=3) == 1
    assert read_split(files, others, configured=3) == 3
    Plan(files, config).write_splits()
    assert read_split(files, before, configured=3) == 3, "the next workflow plans as many"


def test_tracking_is_one_chain(raw: dict[str, Any]) -> None:
    """MLflow's store has one writer at a time: each mark waits for the one before."""
    plan = plan_of(raw)
    marks = plan.tracked()
    assert len(marks) == len(set(marks)) == 3 + 3

    class Wildcards:
        """What Snakemake passes to an input function."""

        def __init__(self, phase: str, gen: str) -> None:
            self.phase, self.gen = phase, gen

    order = [("ps", "000"), ("ps", "001"), ("ps", "002")]
    order += [(name, "000") for name in plan.finals]
    before = [plan.tracked_before(Wildcards(*one)) for one in order]
    assert before == [[], *([mark] for mark in marks[:-1])]


def test_task_files_are_those_that_people_write(raw: dict[str, Any], tmp_path: Path) -> None:
    """YAML, code and data, in a fixed order; not what Python caches."""
    folder = write_tasks(tmp_path / "tasks")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "tiny.pyc").write_bytes(b"")
    plan = plan_of(raw | {"evaluation": raw["evaluation"] | {"task_paths": [str(folder)]}})
    names = [Path(path).name for path in plan.task_files()]
    assert names == ["choice.yaml", "documents.json", "tiny.py", "words.yaml"]


def test_a_date_counts_where_chat_templates_may_write_it(raw: dict[str, Any]) -> None:
    """Without one, the key is what it was before dates could be set."""
    raw["evaluation"]["apply_chat_template"] = True
    before = plan_of(raw)
    content = before.config.evaluation.with_goals().model_dump(mode="json")
    for name in ("resident", "storage", "backend", "vllm", "threads", "date", "document_keys"):
        content.pop(name)
    assert before.evaluation_key() == digest({"evaluation": content, "seed": 1})[:16]
    raw["evaluation"]["date"] = "2026-03-07"
    assert plan_of(raw).evaluation_key() != before.evaluation_key()


def test_rungs_are_planned_one_after_another_for_stages_alone(raw: dict[str, Any]) -> None:
    """Each rung waits for the decision after the one before; all jobs for one decision."""
    raw["evaluation"].update(rungs={"documents": [2, 5, 8]}, jobs=2)
    plan = plan_of(raw)
    generation = SimpleNamespace(phase="ps", gen="003")
    folder = "results/tiny/ps/gen-003"
    assert plan.promoted(SimpleNamespace(phase="ps", gen="003", rung="0")) == []
    assert plan.promoted(SimpleNamespace(phase="ps", gen="003", rung="1")) == [
        f"{folder}/rung-0.json"
    ]
    assert plan.promoted(generation) == [f"{folder}/rung-1.json"]
    assert plan.evaluated_of(SimpleNamespace(phase="ps", gen="003", rung="1")) == [
        f"{folder}/rung-1/evaluated-0.json",
        f"{folder}/rung-1/evaluated-1.json",
    ]
    assert plan.promoted(SimpleNamespace(phase="finalists", gen="000")) == []
    del raw["evaluation"]["rungs"]
    assert plan_of(raw).promoted(generation) == []


def test_documents_are_divided_again_when_a_function_or_its_documents_change(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """They are inputs of the rule, with the modules beside them; other files are not."""
    for name in ("scores.py", "beside.py", "documents.jsonl", "notes.txt"):
        (tmp_path / name).write_text("import beside\n" if name == "scores.py" else "")
    function = {"name": "it", "function": f"{tmp_path}/scores.py:it"}
    raw["evaluation"]["objectives"] = [function | {"documents": f"{tmp_path}/documents.jsonl"}]
    found = [Path(path).name for path in plan_of(raw).task_files()]
    assert found == ["beside.py", "documents.jsonl", "scores.py"]


def test_task_vectors_are_decomposed_for_methods_that_need_it(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """Before a stage is scored; a stage that was begun without goes on as it is, so that nothing is done again."""
    raw["results"] = str(tmp_path)
    ours = SimpleNamespace(phase="ps", gen="000")
    assert plan_of(raw).decomposed(ours) == []
    weight = {"grouping": "block", "range": [0.0, 1.5]}
    raw["stages"][0]["space"].update(
        method="svd_task_arithmetic", genes={"weight": weight, "rest": weight}, options={}
    )
    plan = Plan(RunFiles(tmp_path / "tiny"), parse_config(raw, where="test"))
    files = plan.files.phase("ps")
    assert plan.decomposed(ours) == [str(files.decomposed)]
    assert plan.decomposed(SimpleNamespace(phase="test", gen="000")) == []
    files.generation(0).root.mkdir(parents=True)
    files.generation(0).outcomes.touch()
    assert plan.decomposed(SimpleNamespace(phase="ps", gen="001")) == []
    files.decomposed.touch()
    assert plan.decomposed(SimpleNamespace(phase="ps", gen="001")) == [str(files.decomposed)]
