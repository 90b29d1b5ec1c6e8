"""Evaluating where there is no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.runs_for_tests import evaluation_section
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.harness import Harness
from tsugiki.evaluate.offline import SWITCHES, is_offline, stay_offline

TASK = """
task: elsewhere
dataset_path: nobody/these-documents-do-not-exist
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: target
"""


def test_the_users_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """All libraries are kept from the network, unless a variable says that they may."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    stay_offline()
    assert not is_offline()
    assert {os.environ[name] for name in SWITCHES if name != "HF_DATASETS_OFFLINE"} == {"1"}


def test_documents_that_were_not_fetched_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No candidate is blamed; the message says which step fetches them, and where."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (tmp_path / "elsewhere.yaml").write_text(TASK)
    objective = {"name": "one", "task": "elsewhere", "metric": "exact_match,none"}
    section = evaluation_section(tmp_path, objectives=[objective])
    with pytest.raises(InfrastructureError, match="may not use the network") as caught:
        Harness(Evaluation.model_validate(section))
    assert caught.value.where == "elsewhere"
    assert "`items`" in str(caught.value.fix)
    assert "HF_HOME" in str(caught.value.fix)
