"""Telling faults of the machine from faults of a candidate."""

from __future__ import annotations

import errno

import torch

_NUMBERS = {errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EDQUOT, errno.ENOMEM}
_WORDS = (
    "CUDA error",  # device-side assert, illegal memory access, launch failure, …
    "CUDA driver",
    "CUDA out of memory",
    "No CUDA GPUs are available",
    "Found no NVIDIA driver",
    "HIP error",
    "CUBLAS",
    "CUDNN",
    "NCCL",
    "can't allocate",
)


def is_machine_fault(error: BaseException) -> bool:
    """Whether an exception speaks of the machine and not of the candidate."""
    if isinstance(error, MemoryError | ConnectionError | TimeoutError | torch.OutOfMemoryError):
        return True
    if type(error).__name__ == "EngineDeadError":  # vLLM's; its package is not installed everywhere
        return True
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
