"""Which device a job computes with."""

from __future__ import annotations

import os

import torch

from tsugiki.errors import InfrastructureError


def choose_device(setting: str, job: int) -> torch.device:
    """The device of a job: jobs on one machine spread over its visible GPUs.

    Raises:
        InfrastructureError: the job was given a GPU that does not work, and its processor would take
            for ever, and round differently; or it is to use one and has none.
    """
    works = torch.cuda.is_available()
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not works and (setting == "cuda" or (setting == "auto" and given[:1].isdigit())):
        raise InfrastructureError(
            "this job is to use a GPU, and torch finds none that it can use",
            where=f"evaluation.device: {setting}, on {os.uname().nodename}",
            got=f"CUDA_VISIBLE_DEVICES={given}",
            fix="the job is tried again; ask for a GPU (docs/hpc.md), keep it from this node if the "
            "node is broken, install the build of torch for its driver, or set `device: cpu`",
        )
    if setting == "auto":
        setting = "cuda" if works else "cpu"
    if setting == "cuda":
        return torch.device("cuda", job % max(torch.cuda.device_count(), 1))
    return torch.device(setting)


def hardware_name(device: torch.device) -> str:
    """The name of a GPU, or the kind of a device that has none."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
