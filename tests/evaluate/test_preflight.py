"""Checking a run's tasks before a model is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parents.checkpoints import VOCABULARY, write_tokenizer
from tests.runs_for_tests import documents, raw_config, start_run, write_parents, write_tasks
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.evaluate.documents import divide_for
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.preflight import TaskReport, check_tasks
from tsugiki.steps.prepare import write_document_sets

Edit = Callable[[Path], object]


def replaced(name: str, old: str, new: str) -> Edit:
    """Changes a file of a task's folder."""

    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return edit


def with_data(content: bytes | None) -> Edit:
    """Gives the task `words` a file of documents that `datasets` reads."""

    def edit(folder: Path) -> None:
        if content is not None:
            (folder / "data.jsonl").write_bytes(content)
        source = (
            f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder}/data.jsonl}}}}"
        )
        replaced("words.yaml", "custom_dataset: !function tiny.load", source)(folder)

    return edit


LINE = b'{"prompt": "w1", "target": "w2"}\n'
FILTER = "metric_list:", "filter_list: [{name: none, filter: [{function: nofilter}]}]\nmetric_list:"

FAULTS: dict[str, tuple[Edit, list[str]]] = {
    "filter": (replaced("words.yaml", *FILTER), ["nofilter"]),
    "code does not import": (
        replaced("tiny.py", "import json\n", "import json\nimport no_module\n"),
        ["No module named 'no_module'", "tiny.py, line 3: import no_module"],
    ),
    "code does not parse": (replaced("tiny.py", "def load(", "def ("), ["SyntaxError", "tiny.py"]),
    "JSON read by the task": (
        replaced("documents.json", "[", "[,"),
        ["JSONDecodeError", "tiny.py, line 11", "documents.json"],
    ),
    "no such file": (lambda folder: (folder / "documents.json").unlink(), ["documents.json"]),
    "bytes that are no text": (
        lambda folder: (folder / "documents.json").write_bytes(b'["\xff"]'),
        ["UnicodeDecodeError", "documents.json"],
    ),
    "JSON lines": (with_data(LINE + b'{"prompt": \n'), ["JSON parse error", "data.jsonl"]),
    "no JSON lines": (with_data(None), ["data.jsonl"]),
    "template": (
        replaced("words.yaml", "doc_to_text: prompt", 'doc_to_text: "{{ prompt"'),
        ["TemplateSyntaxError"],
    ),
    "column in a template": (
        replaced("words.yaml", "doc_to_text: prompt", 'doc_to_text: "{{ promt }}"'),
        ["'promt' is undefined"],
    ),
    "column in the code": (
        replaced("tiny.py", 'doc["target"]', 'doc["gold_text"]'),
        ["KeyError: gold_text", "tiny.py, line 20"],
    ),
    "aggregation": (replaced("words.yaml", "aggregation: mean", "aggregation: meen"), ["meen"]),
    "split": (replaced("words.yaml", "test_split: test", "test_split: tast"), ["KeyError: tast"]),
    "key": (replaced("words.yaml", "num_fewshot", "numfewshot"), ["numfewshot"]),
}


def words_only(models: Path, tasks: Path, results: Path, **changes: Any) -> dict[str, Any]:
    """A run with the task `words` alone."""
    raw = raw_config(models, tasks, results)
    objective = {"name": "even", "task": "words", "metric": "even,none"}
    raw["evaluation"] |= {"objectives": [objective], **changes}
    return raw


def checked(raw: dict[str, Any]) -> TaskReport:
    """What the check says of a configuration."""
    return check_tasks(parse_config(raw, where="test"))


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_of_a_task_names_its_file_and_what_is_wrong(
    tmp_path: Path, tiny_models: Path, kind: str
) -> None:
    """It is the user's, and neither the network's nor the candidate's."""
    folder = write_tasks(tmp_path / "tasks")
    edit, words = FAULTS[kind]
    edit(folder)
    report = checked(words_only(tiny_models, folder, tmp_path))
    assert len(report.faults) == 1
    text = str(report.faults[0])
    assert str(folder / "words.yaml") in text
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("kind", ["JSON lines", "column in the code", "template"])
def test_a_run_says_the_same_when_it_starts(tmp_path: Path, tiny_models: Path, kind: str) -> None:
    """One error, and no traceback."""
    folder = write_tasks(tmp_path / "tasks")
    FAULTS[kind][0](folder)
    raw = words_only(tiny_models, folder, tmp_path / "results")
    with pytest.raises(ConfigError, match="task words has a fault") as caught:
        start_run(raw)
    assert str(caught.value) == str(checked(raw).faults[0])


def test_all_faults_are_told_at_once(tmp_path: Path, tiny_models: Path) -> None:
    """One for each task."""
    folder = write_tasks(tmp_path / "tasks")
    FAULTS["code does not import"][0](folder)
    raw = raw_config(tiny_models, folder, tmp_path / "results")
    assert [one.what for one in checked(raw).faults] == [
        "task choice has a fault",
        "task words has a fault",
    ]
    with pytest.raises(ConfigError, match="2 faults in the tasks") as caught:
        start_run(raw)
    assert "choice.yaml" in str(caught.value)
    assert "words.yaml" in str(caught.value)


@pytest.mark.parametrize("key", ["doc_to_text: prompt", "doc_to_target: target"])
def test_the_name_of_a_column_that_is_not_there_is_no_text(
    tmp_path: Path, tiny_models: Path, key: str
) -> None:
    """lm-eval would put the name itself to the model, the same for every document."""
    folder = write_tasks(tmp_path / "tasks")
    replaced("words.yaml", key, key + "s")(folder)
    (fault,) = checked(words_only(tiny_models, folder, tmp_path)).faults
    assert fault.got == key.split()[1] + "s"
    assert str(fault.expected).startswith("one of prompt, target")


def test_a_fault_in_any_document_that_is_used_is_found(tmp_path: Path, tiny_models: Path) -> None:
    """Not only in the first one."""
    rows = documents(19)
    rows[17]["prompt"] = None
    folder = write_tasks(tmp_path / "tasks", rows=rows)
    (fault,) = checked(words_only(tiny_models, folder, tmp_path)).faults
    assert "words.yaml" in str(fault.where)


def test_documents_are_counted_and_equal_ones_once(tmp_path: Path, tiny_models: Path) -> None:
    """20 distinct ones, and 3 of them again."""
    rows = documents(20)
    folder = write_tasks(tmp_path / "tasks", rows=[*rows, *rows[:3]])
    report = checked(words_only(tiny_models, folder, tmp_path))
    assert report.faults == []
    assert report.notes == ["documents: words 20 (3 more equal others, and are left out)"]


def test_item_sets_larger_than_a_task_are_found_before_a_run(
    tmp_path: Path, tiny_models: Path
) -> None:
    """19 are asked for."""
    folder = write_tasks(tmp_path / "tasks", rows=documents(18))
    (fault,) = checked(words_only(tiny_models, folder, tmp_path)).faults
    assert fault.what == "task words has too few distinct documents"


def test_what_needs_the_network_is_said_to_be_unchecked(tmp_path: Path, tiny_models: Path) -> None:
    """It is no fault, and nothing waits for it."""
    folder = write_tasks(tmp_path / "tasks")
    source = "dataset_path: nobody/these-documents-do-not-exist"
    replaced("words.yaml", "custom_dataset: !function tiny.load", source)(folder)
    report = checked(words_only(tiny_models, folder, tmp_path))
    assert report.faults == []
    (note,) = report.notes
    assert note.startswith("not checked")
    assert note.endswith("words")


def chatting(tmp_path: Path, tasks: Path, **templates: str) -> RunConfig:
    """A run whose prompts are wrapped in chat templates, of models of its own."""
    write_parents(tmp_path / "models")
    for name, template in templates.items():
        (tmp_path / "models" / name / "chat_template.jinja").write_text(template)
    raw = words_only(tmp_path / "models", tasks, tmp_path / "results", apply_chat_template=True)
    return parse_config(raw, where="test")


def test_a_chat_template_that_refuses_the_prompts_is_a_fault(
    tmp_path: Path, tiny_tasks: Path
) -> None:
    """Of any parent: each is scored by itself."""
    refusing = "{{ raise_exception('no user may speak') }}"
    plain = "{{ messages[0].content }} "
    report = check_tasks(chatting(tmp_path, tiny_tasks, base=plain, a=plain, b=refusing))
    assert ["no user may speak" in str(fault) for fault in report.faults] == [True]


def test_a_tokenizer_that_cannot_be_read_is_one_fault(tmp_path: Path, tiny_tasks: Path) -> None:
    """Whatever its library raises; not told here where the check of the parents has."""
    write_parents(tmp_path / "models")
    path = tmp_path / "models" / "a" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["w3"] = "3"  # the library's own class of error is Exception
    path.write_text(json.dumps(content))
    raw = words_only(tmp_path / "models", tiny_tasks, tmp_path / "results")
    (fault,) = checked(raw).faults
    assert "the tokenizer of `a` cannot be loaded" in str(fault)
    config = parse_config(raw, where="test")
    assert check_tasks(config, parents_sound=False).faults == []


def test_a_parent_without_a_chat_template_is_a_note(tmp_path: Path, tiny_tasks: Path) -> None:
    """Merged models have the owner's; by itself it fails as a candidate."""
    plain = "{{ messages[0].content }} "
    report = check_tasks(chatting(tmp_path, tiny_tasks, base=plain, a=plain))
    assert report.faults == []
    assert any("b has no chat template: by itself it cannot be" in one for one in report.notes)


def test_prompts_that_no_model_can_read_whole_are_a_note(tmp_path: Path, tiny_models: Path) -> None:
    """lm-eval cuts them at their start: here 130 and 6 tokens for a model of 128."""
    rows = documents(20)
    rows[3]["prompt"] = " ".join(["w1"] * 130)
    folder = write_tasks(tmp_path / "tasks", rows=rows)
    notes = checked(words_only(tiny_models, folder, tmp_path, items=ALL)).notes
    (note,) = [note for note in notes if "cut" in note]
    assert "a 130 + 6 of 128" in note
    rows[3]["prompt"] = " ".join(["w1"] * 122)
    (folder / "documents.json").write_text(json.dumps(rows))
    notes = checked(words_only(tiny_models, folder, tmp_path, items=ALL)).notes
    assert [note for note in notes if "cut" in note] == []


ALL = {"search": 10, "validation": 5, "test": 5}


def test_stop_texts_that_may_stand_within_thinking_are_a_note(
    tmp_path: Path, tiny_tasks: Path
) -> None:
    """The answer would end before it begins."""
    write_parents(tmp_path / "models")
    write_tokenizer(tmp_path / "models" / "a", (*VOCABULARY[:-2], "<think>", "</think>"))
    raw = words_only(tmp_path / "models", tiny_tasks, tmp_path / "results")
    (note,) = [note for note in checked(raw).notes if "thinking" in note]
    assert "task words ends answers at 'w60'" in note
    assert "(a: <think> and </think>)" in note


def test_end_tokens_that_only_a_parent_has_are_a_note(tmp_path: Path, tiny_tasks: Path) -> None:
    """Many chat models have theirs in generation_config.json alone; the owner's are used."""
    write_parents(tmp_path / "models")
    settings = tmp_path / "models" / "a" / "generation_config.json"
    raw = words_only(tmp_path / "models", tiny_tasks, tmp_path / "results")
    for ends, told in (([2, 9], True), (2, False), ([2], False)):
        settings.write_text(json.dumps({"eos_token_id": ends}))
        notes = [note for note in checked(raw).notes if "end at the tokens" in note]
        assert len(notes) == told
        if told:
            assert "of base, </s> (2), and go on after those of a, w6 (9):" in notes[0]


VARIANT = """

def variant(**_):
    rows = [{**one, "style": "terse"} for one in load()["test"]]
    return {"test": datasets.Dataset.from_list(rows[::-1])}
"""


def test_variants_of_one_data_set_are_refused_until_they_have_keys(
    tmp_path: Path, tiny_models: Path
) -> None:
    """By the check and when a run starts; a run that was divided before goes on as it was."""
    folder = write_tasks(tmp_path / "tasks")
    (folder / "tiny.py").write_text((folder / "tiny.py").read_text() + VARIANT)
    replaced("choice.yaml", "!function tiny.load", "!function tiny.variant")(folder)
    raw = raw_config(tiny_models, folder, tmp_path / "results")
    (fault,) = checked(raw).faults
    assert "search documents of choice are in the test set of words" in str(fault)
    assert "`document_keys: {choice: prompt, words: prompt}`" in str(fault)
    with pytest.raises(ConfigError, match="the same documents in different sets"):
        start_run(raw)
    keys = {"choice": "prompt", "words": "prompt"}
    mended = {**raw, "name": "mended", "evaluation": raw["evaluation"] | {"document_keys": keys}}
    assert checked(mended).faults == []
    assert read_document_sets(start_run(mended).files.items).version == 3

    config = parse_config(raw, where="test")
    files = RunFiles(Path(config.results) / config.name)
    evaluators = Evaluators(config.evaluation)
    before = divide_for(config, evaluators.documents(), version=2)
    files.items.parent.mkdir(parents=True, exist_ok=True)
    files.items.write_bytes(before.to_json())
    said: list[str] = []
    write_document_sets(files, config, log=said.append)
    again = read_document_sets(files.items)
    assert (again.version, again.tasks) == (2, before.tasks)
    assert "in the test set of" in said[0]


@pytest.mark.parametrize("what", ["task", "file", "function", "thinking"])
def test_answers_that_alone_are_longer_than_a_model_reads_are_told_before_the_run(
    tiny_config: dict[str, Any], tmp_path: Path, what: str
) -> None:
    """lm-eval would refuse each of them, when a model is asked: of a monitor at the end of the run."""
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(f'{{"prompt": "w{n}", "tests": "assert 0"}}\n' for n in range(30)))
    (tmp_path / "mine.py").write_text(
        "def it(model, documents):\n    return [len(one) for one in model.generate(['w1'] * len(documents))]\n"
        "def documents():\n    return [{'n': n} for n in range(30)]\n"
    )
    section = tiny_config["evaluation"]
    section["monitors"] = {
        "file": [{"name": "solved", "code": str(path), "max_tokens": 128}],
        "function": [{"name": "mine", "function": f"{tmp_path}/mine.py:it"}],
    }.get(what, [])
    if what == "thinking":
        section["thinking"] = {"max_tokens": 122}
    if what == "task":
        folder = write_tasks(tmp_path / "tasks")
        text = (folder / "words.yaml").read_text().replace("toks: 6", "toks: 200")
        (folder / "words.yaml").write_text(text)
        section["task_paths"] = [str(folder)]
    told = [str(one) for one in check_tasks(parse_config(tiny_config, where="test")).faults]
    (fault,) = [one for one in told if "reads in all" in one]
    got = {"task": "200", "file": "128", "function": "256", "thinking": "128 tokens, 122 of them"}
    assert f"got: {got[what]} " in fault
    assert "fewer than 128 tokens" in fault
