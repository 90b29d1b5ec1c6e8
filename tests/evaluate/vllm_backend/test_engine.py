"""How vLLM is started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import ConfigError
from tsugiki.evaluate.vllm_backend.engine import (
    engine_settings,
    prepare_environment,
    see_one_gpu,
    start_engine,
)

OBJECTIVE = {"name": "even", "task": "words", "metric": "even,none"}


def evaluation(backend: str = "vllm", **vllm: Any) -> Evaluation:
    """A section with that backend."""
    section = {"objectives": [OBJECTIVE], "backend": backend, "vllm": vllm}
    return Evaluation.model_validate(section)


def starts(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Start a vLLM that fails."""

    def fail(**_settings: Any) -> None:
        raise error

    vllm = ModuleType("vllm")
    vllm.LLM = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    start_engine({"model": "models/a", "dtype": "bfloat16"})


def test_an_engine_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory for the longest text, say."""
    error = ValueError("No available memory for the cache blocks")
    with pytest.raises(ConfigError, match=r"cache blocks(.|\n)*max_length"):
        starts(monkeypatch, error)


def test_a_fault_of_the_gpu_is_none_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is worth another try."""
    with pytest.raises(torch.OutOfMemoryError):
        starts(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))


def test_the_order_of_the_work_is_fixed_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As vLLM itself advises for results that can be had again."""
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)
    prepare_environment()
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    prepare_environment()
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"


@pytest.mark.parametrize(
    ("given", "job", "seen"), [("4,6", 0, "4"), ("4,6", 3, "6"), ("2", 5, "2"), (None, 1, "1")]
)
def test_each_job_sees_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, given: str | None, job: int, seen: str
) -> None:
    """The first one that it sees is taken by vLLM; asking again changes nothing."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    for _ in range(2):
        see_one_gpu(evaluation(), job)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_the_other_backend_chooses_its_gpu_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can use any that it sees."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    see_one_gpu(evaluation("transformers"), 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_memory_is_a_share_of_the_gpu_s(tmp_path: Path) -> None:
    """Nine tenths if nothing else is said."""
    found = [
        engine_settings(tmp_path, "float32", one, 64)["gpu_memory_utilization"]
        for one in (evaluation(memory=0.2), evaluation())
    ]
    assert found == [0.2, 0.9]
