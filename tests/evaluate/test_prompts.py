"""What `tsugiki prompts` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.evaluators.test_functions import functions
from tests.runs_for_tests import PARENTS
from tsugiki.config.load import parse_config
from tsugiki.errors import ConfigError
from tsugiki.evaluate.prompts import render_prompts
from tsugiki.evaluate.readers import note_chat


def test_each_task_is_shown_as_each_parent_is_asked_it(tiny_config: dict[str, Any]) -> None:
    """Prompt, token ids, end tokens and stop texts; of choices the continuations."""
    shown = render_prompts(parse_config(tiny_config, where="test"), 1)
    for task in ("words", "choice"):
        for parent in ("base", *PARENTS):
            assert f"{task}, {parent}" in shown
    assert "stop texts ['w60'], do_sample False, max_gen_toks 6" in shown
    assert "answers end at the tokens </s> (2)" in shown
    assert "continuation" in shown
    assert "0 of them BOS" in shown


def test_files_and_functions_are_shown_like_tasks(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Once for objectives that ask the same; no judge is asked, and no program run."""
    rows = {
        "texts": {"text": "w1 w2"},
        "quiz": {"question": "w3", "choices": ["w4", "w5 w6"], "answer": 0},
        "problems": {"prompt": "w7", "tests": "assert False"},
        "chats": {"question": "w8", "reference": "w9"},
    }
    files = {name: tmp_path / f"{name}.jsonl" for name in rows}
    for name, row in rows.items():
        files[name].write_text(json.dumps(row))
    judge = {"url": "http://127.0.0.1:9/v1", "model": "m", "version": "1"}
    own = functions(tmp_path, "even", "surprise")["objectives"]
    tiny_config["evaluation"]["objectives"] = [
        {"name": "loss", "corpus": str(files["texts"])},
        {"name": "right", "choices": str(files["quiz"])},
        {"name": "plain", "choices": str(files["quiz"]), "normalization": "none"},
        {"name": "solved", "code": str(files["problems"]), "stop": ["w60"], "max_tokens": 3},
        {"name": "liked", "judged": str(files["chats"]), "judge": judge, "max_tokens": 4},
        *own,
    ]
    shown = render_prompts(parse_config(tiny_config, where="test"), 1)
    (of_base,) = [one for one in shown.split(f"{files['quiz']}, ") if one.startswith("base")]
    of_base = of_base.partition(f"{files['problems']}, ")[0]
    assert "continuation ' w4'" in of_base
    assert "continuation ' w5 w6'" in of_base
    assert of_base.count("document 0: 'w3'") == 2
    assert "document 0: 'w1 w2'" in shown
    assert "a text that is predicted whole" in shown
    assert "stop texts ['w60'], max_gen_toks 3, do_sample False" in shown
    assert "document 0: 'w8'" in shown
    assert "max_gen_toks 6" in shown  # the function `even`
    assert "document 0: 'w0 w0'" in shown


def test_without_a_tokenizer_there_is_no_chat_to_show(tiny_config: dict[str, Any]) -> None:
    """The parents of the test have no chat template."""
    tiny_config["evaluation"]["apply_chat_template"] = True
    with pytest.raises(ConfigError, match="chat template"):
        render_prompts(parse_config(tiny_config, where="test"), 1)


def test_an_adapter_that_brings_a_chat_template_is_asked_by_it(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """And so is its base, which has none; before anything is prepared."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "chat_template.jinja").write_text("[{{ messages[0].content }}] ")
    tiny_config["parents"]["a"] = {"path": str(adapter), "adapter_of": "base"}
    tiny_config["evaluation"]["apply_chat_template"] = True
    config = parse_config(tiny_config, where="test")
    shown = render_prompts(config, 1)
    for name in ("base", "a"):
        assert f"words, {name}\n  answers end at the tokens </s> (2)\n  document 0: '[w" in shown
    (note,) = [one for one in note_chat(config) if "stage `ps`" in one]
    assert "chat template that of a" in note
