"""Objectives that are Python functions of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import ConfigError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.evaluators.functions import Functions
from tsugiki.evaluate.preflight import check_tasks
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import read_outcomes

SCORES = '''
import torch


def even(model, documents):
    """Share of words with an even number in what the model goes on with."""
    found = []
    for answer in model.generate([one["prompt"] for one in documents], max_tokens=6, stop=["w60"]):
        words = [word for word in answer.split() if word[1:].isdigit()]
        share = sum(int(word[1:]) % 2 == 0 for word in words) / max(len(words), 1)
        found.append({"value": share, "response": answer})
    return found


def surprise(model, documents):
    """Entropy of the next token."""
    ids = [model.tokenizer(one["prompt"], return_tensors="pt").to(model.device) for one in documents]
    logits = torch.stack([model.model(**one).logits[0, -1] for one in ids])
    return torch.distributions.Categorical(logits=logits).entropy()


def documents():
    return [{"prompt": f"w{n} w{(3 * n) % 60}", "id": n} for n in range(40)]
'''
QUIET: Any = lambda _line: None  # noqa: E731


def functions(folder: Path, *named: str, code: str = SCORES, **changes: Any) -> dict[str, Any]:
    """A section `evaluation` with an objective for each function that is named."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.py").write_text(code)
    return {
        "objectives": [{"name": name, "function": f"{folder}/scores.py:{name}"} for name in named],
        "items": {"search": 8, "validation": 5, "test": 6},
        "batch_size": 4,
        "device": "cpu",
        **changes,
    }


def scored(run: TinyRun, weight: float = 0.5) -> tuple[Scored | Failed, TinyRun, Any]:
    """What comes of one candidate of a run, and the recipe."""
    recipe = run.recipe(weight=weight)
    run.write_population([recipe])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=QUIET)
    phase = run.files.phase("ps")
    population = read_population(phase.generation(0).population)
    return read_outcomes(phase, population)[recipe.digest], run, recipe


def failure(make_run: MakeRun, folder: Path, body: str) -> str:
    """The reason of the failure of a candidate that a function with some body scores."""
    code = f"def it(model, documents):\n    if model.generate(['w1'], max_tokens=5)[0]:\n        {body}\n"
    code += "    return [0.0] * len(documents)\n\ndef documents():\n    return [{'n': n} for n in range(30)]\n"
    outcome, _, _ = scored(make_run(evaluation=functions(folder, "it", code=code)))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "evaluation"
    return outcome.reason


@pytest.fixture(scope="module")
def finished(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """A search for a function and a task of lm-eval together, to its final table. Read only."""
    folder = tmp_path_factory.mktemp("functions")
    section = functions(folder, "surprise")
    section["objectives"][0]["goal"] = "minimize"
    section |= {
        "task_paths": [str(tiny_tasks)],
        "objectives": [*section["objectives"], *evaluation_section(tiny_tasks)["objectives"][:1]],
        "monitors": [{"name": "evens", "function": f"{folder}/scores.py:even"}],
    }
    baseline = {"name": "average", "method": "linear", "parameters": {"weight": 1.0}}
    changes = {"evaluation": section, "baselines": [baseline], "finalists": {"top": 2}}
    raw = raw_config(tiny_models, tiny_tasks, folder / "results", **changes)
    raw["stages"][0]["budget"] = {"generations": 2}
    run = start_run(raw)
    run.finish()
    return run


def test_a_search_by_a_function_is_one_that_the_audit_finds_sound(finished: TinyRun) -> None:
    """From the first generation to the final table, beside a task of lm-eval."""
    assert (
        audit(finished.files, finished.config, reselect=reselect(finished.files, finished.config))
        == []
    )


def test_the_final_table_has_a_functions_test_scores_of_every_model(finished: TinyRun) -> None:
    """Monitors too, with intervals."""
    table = json.loads(finished.files.final.read_bytes())
    for row in table["rows"]:
        assert {"surprise", "even", "evens"} <= set(row["test"])
        assert row["test"]["surprise"]["low"] <= row["test"]["surprise"]["high"]


def test_a_function_gets_the_merged_model_itself(finished: TinyRun) -> None:
    """Its entropy of the next token is that of the best model, loaded by stock transformers."""
    table = json.loads(finished.files.final.read_bytes())
    (row,) = [one for one in table["rows"] if one["kind"] == "evolved"]
    items = finished.files.phase("test").candidate(row["recipe"]).items
    rows = [one for one in pq.read_table(items).to_pylist() if one["objective"] == "surprise"]
    model = AutoModelForCausalLM.from_pretrained(finished.files.best, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(finished.files.best, local_files_only=True)
    for one in rows:
        prompt = f"w{one['doc_id']} w{(3 * one['doc_id']) % 60}"
        with torch.no_grad():
            logits = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].double()
        entropy = -(logits.softmax(0) * logits.log_softmax(0)).sum().item()
        assert one["value"] == pytest.approx(entropy, abs=1e-4)
    assert len(rows) == 6


def test_answers_are_those_of_an_lm_eval_task_with_the_same_prompts(
    make_run: MakeRun, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Greedy, with the same limit and end."""
    rows = json.loads((tiny_tasks / "documents.json").read_text())
    (tmp_path / "documents.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    section = functions(tmp_path, "even")
    section["objectives"][0]["documents"] = str(tmp_path / "documents.jsonl")
    task = {"name": "task", "task": "words", "metric": "even,none"}
    section |= {"task_paths": [str(tiny_tasks)], "objectives": [*section["objectives"], task]}
    _, run, recipe = scored(make_run(evaluation=section))
    found: dict[str, dict[int, Any]] = {"even": {}, "task": {}}
    for row in read_samples(run.candidate(recipe).items).to_pylist():
        found[row["objective"]][row["doc_id"]] = row["response"], row["value"]
    assert len(found["even"]) == 8
    assert found["even"] == found["task"]


def test_records_without_text_have_no_columns_of_text(make_run: MakeRun, tmp_path: Path) -> None:
    """And outcomes no rates."""
    outcome, run, recipe = scored(make_run(evaluation=functions(tmp_path, "surprise")))
    table = read_samples(run.candidate(recipe).items)
    assert table.column_names == ["objective", "doc_id", "doc_hash", "value"]
    assert isinstance(outcome, Scored)
    assert outcome.rates == {}
    assert outcome.measured["surprise"].value == np.mean(table["value"].to_numpy())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise KeyError('no such thing')", "KeyError: 'no such thing'"),
        ("return [float('nan')] * len(documents)", "no finite value"),
        ("return [1.0]", "1 values"),
        ("return ['good' for _ in documents]", "numbers"),
    ],
)
def test_a_function_that_gives_no_score_is_the_candidates_failure(
    make_run: MakeRun, tmp_path: Path, body: str, reason: str
) -> None:
    """Of the kind `evaluation`, with what was raised or returned."""
    assert reason in failure(make_run, tmp_path / "functions", body)


def test_scores_do_not_depend_on_chance_or_on_what_was_scored_before(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """Documents that a function changes are whole again at its next call."""
    code = """
import random
import numpy as np
import torch


def it(model, documents):
    numbers = [one.pop("n") + random.random() + np.random.rand() for one in documents]
    return [number + torch.rand(()) for number in numbers]


def documents():
    return [{"n": n} for n in range(30)]
"""
    run = make_run(evaluation=functions(tmp_path, "it", code=code))
    first, second = (scored(run, weight)[0] for weight in (0.5, 0.9))
    assert isinstance(first, Scored)
    assert isinstance(second, Scored)
    assert first.measured == second.measured


def test_another_function_is_another_evaluation_and_notes_beside_it_are_not(tmp_path: Path) -> None:
    """So is another module that it imports, and a file that it names."""

    def identity() -> dict[str, Any]:
        section = functions(tmp_path, "it", code=code)
        return Functions(parse_config(plain(section), where="test").evaluation).identity()

    code = "import beside_it\nWORDS = 'words.txt'\n\ndef it(model, documents): ...\n"
    code += "def documents(): return [{'n': n} for n in range(30)]\n"
    tmp_path.joinpath("beside_it.py").write_text("")
    first = identity()
    (tmp_path / "notes.txt").write_text("to do")
    assert identity() == first
    (tmp_path / "words.txt").write_text("good\n")
    second = identity()
    tmp_path.joinpath("beside_it.py").write_text("more = 1\n")
    third = identity()
    code = code.replace("...", "return [1.0] * len(documents)")
    assert len({json.dumps(one) for one in (first, second, third, identity())}) == 4


def plain(section: dict[str, Any]) -> dict[str, Any]:
    """A whole configuration around a section `evaluation`."""
    return raw_config(Path("models"), Path("tasks"), Path("results"), evaluation=section)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_documents_come_from_a_file(tmp_path: Path, suffix: str) -> None:
    """Each row is a mapping."""
    rows = [{"prompt": f"w{n}, and", "gold": str(n)} for n in range(20)]
    path = tmp_path / f"documents.{suffix}"
    match suffix:
        case "jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        case "json":
            path.write_text(json.dumps(rows))
        case _:
            lines = [f'"{row["prompt"]}",{row["gold"]}' for row in rows]
            path.write_text("\n".join(["prompt,gold", *lines]))
    code = "def it(model, documents): return [int(one['gold']) for one in documents]\n"
    section = functions(tmp_path, "it", code=code)
    section["objectives"][0]["documents"] = str(path)
    evaluator = Functions(parse_config(plain(section), where="test").evaluation)
    assert list(evaluator.documents()) == [str(path)]
    records = evaluator.score(None, {str(path): [3, 11]})
    assert [(one.doc_id, one.value) for one in records] == [(3, 3.0), (11, 11.0)]
    hashes = evaluator.documents()[str(path)].hashes
    assert [one.doc_hash for one in records] == [hashes[3], hashes[11]]
    assert len(set(hashes)) == 20


CHECKED = {
    "raises": ("return documents[0]['promt']", "KeyError: promt"),
    "too few": ("return [1.0]", "1 values"),
    "text": ("return ['good' for _ in documents]", "numbers"),
    "nothing": ("pass", "None"),
}


@pytest.mark.parametrize("body", CHECKED)
def test_a_broken_function_is_found_before_a_model_is_loaded(
    tiny_models: Path, tmp_path: Path, body: str
) -> None:
    """It is called with a stand-in that answers nothing."""
    code = f"def it(model, documents):\n    model.generate(['w1'], max_tokens=5)\n    {CHECKED[body][0]}\n"
    code += "def documents(): return [{'n': n} for n in range(30)]\n"
    section = functions(tmp_path / "functions", "it", code=code)
    raw = raw_config(tiny_models, tmp_path, tmp_path / "results", evaluation=section)
    (fault,) = check_tasks(parse_config(raw, where="test")).faults
    assert CHECKED[body][1] in str(fault)
    assert "scores.py" in str(fault)
    with pytest.raises(ConfigError, match="it"):
        start_run(raw)


def test_what_only_a_model_can_tell_is_no_fault(tiny_models: Path, tmp_path: Path) -> None:
    """The forward pass of a stand-in, and an empty answer that cannot be read."""
    code = (
        "def bare(model, documents): return [model.model(one).logits.mean() for one in documents]\n"
    )
    code += (
        "def read(model, documents):\n"
        "    return [int(one) for one in model.generate(['w1', 'w2'], max_tokens=5)]\n"
    )
    code += "def documents(): return [{'n': n} for n in range(30)]\n"
    section = functions(tmp_path / "functions", "bare", "read", code=code)
    raw = raw_config(tiny_models, tmp_path, tmp_path / "results", evaluation=section)
    report = check_tasks(parse_config(raw, where="test"))
    assert report.faults == []
    assert [note for note in report.notes if "empty answers" in note and "read" in note]


FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "no file": ({"function": "none.py:even"}, "there is no file 'none.py'"),
    "no function": ({"function": "{folder}/scores.py:evn"}, "nearest valid names: `even`"),
    "no documents": ({"documents": "none.jsonl"}, "there is no file 'none.jsonl'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_misspelt_name_is_told_before_any_code_runs(tmp_path: Path, fault: str) -> None:
    """With the nearest name that there is."""
    section = functions(tmp_path, "even", code=f"raise SystemExit\n{SCORES}")
    changes = {key: value.format(folder=tmp_path) for key, value in FAULTS[fault][0].items()}
    section["objectives"][0] |= changes
    with pytest.raises(ConfigError) as caught:
        validate_config(parse_config(plain(section), where="test"), where="test")
    assert FAULTS[fault][1] in str(caught.value)


def test_an_objective_is_a_task_or_a_function() -> None:
    """Not both."""
    both = {"name": "it", "task": "words", "metric": "acc,none", "function": "it.py:it"}
    with pytest.raises(ConfigError, match="exactly one of the keys `task`, `function`"):
        parse_config(plain({"objectives": [both]}), where="test")


def test_a_file_of_documents_with_the_name_of_a_task_is_refused(
    tiny_tasks: Path, tmp_path: Path
) -> None:
    """Documents of one would be taken for those of the other."""
    section = functions(tmp_path, "even") | {"task_paths": [str(tiny_tasks)]}
    task = {"name": "task", "task": f"{tmp_path}/scores.py", "metric": "even,none"}
    section["objectives"].append(task)
    with pytest.raises(ConfigError, match="both a task and a file"):
        validate_config(parse_config(plain(section), where="test"), where="test")


def test_vllm_scores_no_function(tmp_path: Path) -> None:
    """It has no transformers model to give."""
    section = functions(tmp_path, "even", backend="vllm")
    with pytest.raises(ConfigError, match="objective 'even' is a Python function"):
        validate_config(parse_config(plain(section), where="test"), where="test")
