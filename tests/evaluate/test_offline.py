"""Evaluating where there is no network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub.errors import OfflineModeIsEnabled

from tests.runs_for_tests import evaluation_section
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.offline import SWITCHES, is_absent, stay_offline, without_network

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
    assert os.environ["HF_DATASETS_OFFLINE"] == "0"
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


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """An error with its cause."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        (ConnectionError("Couldn't reach 'x' on the Hub (OfflineModeIsEnabled)"), True),
        (raised(RuntimeError("while loading"), TimeoutError()), True),
        (OfflineModeIsEnabled("offline"), True),
        (ValueError("Couldn't find cache for x for config 'main'"), True),
        (FileNotFoundError("Unable to find 'https://example.com/x.jsonl'"), True),
        (FileNotFoundError("Unable to find '/data/x.jsonl'"), False),
        (DatasetNotFoundError("Dataset 'x' doesn't exist on the Hub"), False),
        (json.JSONDecodeError("Expecting value", "", 0), False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), False),
    ],
)
def test_only_what_the_network_lacks_is_worth_another_try(error: Exception, absent: bool) -> None:
    """A fault in a user's file is as bad the next time, without a network too."""
    assert is_absent(error) is absent


def test_libraries_are_kept_from_the_network_for_a_while() -> None:
    """Those that were imported before, too."""
    import datasets.config
    import huggingface_hub

    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    with without_network():
        assert huggingface_hub.is_offline_mode()
        assert datasets.config.HF_HUB_OFFLINE
    assert before == (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE)
