"""What `tsugiki prompts` prints."""

from __future__ import annotations

from typing import Any

from tests.runs_for_tests import PARENTS
from tsugiki.config.load import parse_config
from tsugiki.evaluate.prompts import render_prompts


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
