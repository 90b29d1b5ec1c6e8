"""A whole small run of an adapter and a model with tokens of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.hostile.adapters import write_adapter
from tests.parents.checkpoints import write_llama
from tests.parents.prepare.models import write_with_added
from tests.runs_for_tests import raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import ParentError
from tsugiki.parents.locate import locate
from tsugiki.steps.audit import reproduce_best, reselect
from tsugiki.steps.best import write_best
from tsugiki.steps.prepare import write_parents


def test_a_run_merges_what_was_prepared(tiny_tasks: Path, tmp_path: Path) -> None:
    """From the lock to the best model, which is rebuilt to the same bytes; the audit agrees."""
    write_llama(tmp_path / "base", seed=0)
    write_adapter(tmp_path / "a", base_model_name_or_path="base")
    write_with_added(tmp_path / "b", ["<chat>"], seed=2, template="T")
    raw = raw_config(tmp_path, tiny_tasks, tmp_path / "results", finalists={"top": 1})
    raw["parents"]["a"]["adapter_of"] = "base"
    raw["vocabulary"] = {"kind": "union", "of": "base"}
    raw["stages"][0]["budget"] = {"generations": 1}
    raw["stages"][0]["space"]["tokenizer"] = "b"
    run = start_run(raw)
    lock = read_lock(run.files.parents)
    assert sorted(locate(run.config, lock)) == ["a", "b", "base"]
    run.search()
    write_best(run.files, run.config, run.files.best, threads=1)

    _, info = AutoModelForCausalLM.from_pretrained(run.files.best, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(run.files.best)
    assert tokenizer("w1 <chat>")["input_ids"] == [4, 64]
    assert tokenizer.chat_template == "T"
    findings = audit(run.files, run.config, reselect=reselect(run.files, run.config))
    assert [one for one in findings if "final.json" not in str(one)] == []
    reproduce_best(run.files, run.config, tmp_path / "again")


def test_parents_that_do_not_fit_end_a_run_at_its_start(tiny_tasks: Path, tmp_path: Path) -> None:
    """Nobody has to call `tsugiki check` to be told."""
    write_llama(tmp_path / "base", seed=0)
    write_llama(tmp_path / "a", seed=1, rope_theta=5e5)
    write_llama(tmp_path / "b", seed=2)
    raw = raw_config(tmp_path, tiny_tasks, tmp_path / "results")
    run = start_run(raw)
    with pytest.raises(ParentError, match="rope_theta"):
        write_parents(run.files, run.config, update=frozenset(), log=lambda _: None)
    accepted = run.config.model_copy(update={"accept_differences": ["rope_theta"]})
    write_parents(run.files, accepted, update=frozenset(), log=lambda _: None)
