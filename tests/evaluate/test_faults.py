"""Which faults are the machine's."""

from __future__ import annotations

import errno

import pytest
import torch

from tsugiki.evaluate.faults import is_machine_fault

CUDA = [
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "CUDA driver error: unknown error",
    "HIP error: hipErrorNoBinaryForGpu",
    "No CUDA GPUs are available",
    "Found no NVIDIA driver on your system.",
]
"""As torch words them."""


@pytest.mark.parametrize("message", CUDA)
def test_a_fault_of_the_gpu_is_the_machines(message: str) -> None:
    """Whatever the candidate, no score can come of it."""
    assert is_machine_fault(RuntimeError(message))
    assert is_machine_fault(torch.AcceleratorError(message))


def test_memory_that_runs_out_is_the_machines() -> None:
    """On the GPU and beside it; another node may have more."""
    assert is_machine_fault(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_machine_fault(MemoryError())
    assert is_machine_fault(OSError(errno.ENOSPC, "No space left on device"))


def test_a_candidates_own_faults_are_not() -> None:
    """A shape that does not fit, or a file that was never there, is the same on every machine."""
    assert not is_machine_fault(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_machine_fault(ValueError("CUDA error"))
    assert not is_machine_fault(FileNotFoundError(errno.ENOENT, "No such file"))
