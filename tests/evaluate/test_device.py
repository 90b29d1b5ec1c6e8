"""Which device a job computes with."""

from __future__ import annotations

import pytest
import torch

from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.device import choose_device


def test_jobs_spread_over_the_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs on two GPUs take one each; without a GPU, `auto` is the processor."""
    assert choose_device("cpu", 3) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device("auto", job).index for job in range(4)] == [0, 1, 0, 1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert choose_device("auto", 0) == torch.device("cpu")


def test_a_job_that_sees_one_device_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its number: a scheduler shows each job its own GPU only."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert {choose_device("auto", job).index for job in range(4)} == {0}


def test_a_gpu_that_was_given_but_does_not_work_is_a_fault_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node with a broken driver must not score on its processor in silence."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    for setting in ("auto", "cuda"):
        with pytest.raises(InfrastructureError, match="can use"):
            choose_device(setting, 0)
    assert choose_device("cpu", 0) == torch.device("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_device("auto", 0) == torch.device("cpu")
