"""Programs that answers hold, judged by tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeRun
from tests.evaluate.evaluators.test_from_file import section
from tests.evaluate.evaluators.test_functions import scored
from tests.evaluate.sandboxes import needs_sandbox
from tsugiki.config.evaluation import Evaluation
from tsugiki.contracts.outcome import Scored
from tsugiki.evaluate.evaluators.code import Code
from tsugiki.evaluate.readers import Reader

pytestmark = needs_sandbox

HUMAN_EVAL = {
    "prompt": "def double(x):\n",
    "entry_point": "double",
    "tests": "def check(it):\n    assert it(2) == 4\n    assert it(-1) == -2",
    "solution": "    return 2 * x",
}
LISTED = {
    "prompt": "Write a function double.",
    "tests": ["assert double(1) == 2", "assert double(3) == 6"],
}


def judged(folder: Path, document: Mapping[str, Any], text: str, **changes: Any) -> float | None:
    """The value of a model that gives one answer to one document."""
    (folder / "problems.jsonl").write_text(json.dumps(document))
    objective = {"name": "solved", "code": "problems.jsonl", **changes}
    code = Code(Evaluation.model_validate(section(folder, objective)))
    reader = Reader()
    reader.answer = lambda _request: text
    (record,) = code.score(reader, {str(folder / "problems.jsonl"): [0]})
    return record.value


@pytest.mark.parametrize(
    ("answer", "value"),
    [("    return x + x", 1.0), ("    return x", 0.0), ("", 0.0), ("    return 2 *", 0.0)],
)
def test_a_completion_goes_on_from_its_prompt(tmp_path: Path, answer: str, value: float) -> None:
    """As in HumanEval, whose `check` is called with the entry point."""
    assert judged(tmp_path, HUMAN_EVAL, answer) == value


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Here:\n```python\ndef double(x):\n    return 2 * x\n```\nIt doubles.", 1.0),
        ("```\ndef double(x): return 2 * x", 1.0),
        ("```python\ndef double(x): return x + 1\n```", 0.0),
        ("def double(x): return 2 * x", 0.0),
    ],
)
def test_a_block_is_the_program_of_a_chat(tmp_path: Path, answer: str, value: float) -> None:
    """The first one; no block is no program, and all tests of a list have to pass."""
    assert judged(tmp_path, LISTED, answer, answer="block") == value


def test_documents_are_checked_before_a_run(tmp_path: Path) -> None:
    """A solution that fails its own tests, and tests that nothing passes too."""
    documents = [HUMAN_EVAL | {"solution": "    return x"}, {"prompt": "w1", "tests": "pass"}]
    for document, told in zip(documents, ("its own tests", "empty program"), strict=True):
        (tmp_path / "problems.jsonl").write_text(json.dumps(document))
        section_ = section(tmp_path, {"name": "solved", "code": "problems.jsonl"})
        code = Code(Evaluation.model_validate(section_))
        (fault,) = code.faults(str(tmp_path / "problems.jsonl"), [0], [])
        assert told in str(fault)
    (tmp_path / "problems.jsonl").write_text(json.dumps(HUMAN_EVAL))
    code = Code(Evaluation.model_validate(section_))
    assert list(code.faults(str(tmp_path / "problems.jsonl"), [0], [])) == []


def test_a_tiny_model_that_writes_no_python_scores_nothing(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """Its answers are recorded, with their lengths, and it is no failure."""
    rows = [HUMAN_EVAL | {"prompt": f"w{n} w1"} for n in range(30)]
    rows = [{key: row[key] for key in ("prompt", "entry_point", "tests")} for row in rows]
    (tmp_path / "problems.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    objective = {"name": "solved", "code": "problems.jsonl", "max_tokens": 4}
    outcome, _, _ = scored(make_run(evaluation=section(tmp_path, objective)))
    assert isinstance(outcome, Scored)
    assert outcome.measured["solved"].value == 0.0
    assert 0 < outcome.rates["tokens"] <= 4
