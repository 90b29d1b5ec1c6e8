"""Starting vLLM's build for processors, inside a process that has other things to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def cache_bytes(share: float) -> int:
    """Bytes for keys and values: a share of the machine's memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(total * share)


def start_on_processor(settings: dict[str, Any]) -> Any:
    """Start vLLM, and have it make a token: what its kernels cannot do comes out only then.

    Nothing is compiled. An engine would start a minute later, and need a compiler for C++.
    """
    from vllm import LLM, SamplingParams

    # some functions vLLM compiles even if it is told not to
    torch.compiler.set_stance("force_eager")
    with _kept():
        engine = LLM(**settings, enforce_eager=True)
    one = SamplingParams(temperature=0.0, max_tokens=1)
    engine.generate([{"prompt_token_ids": [0]}], [one], use_tqdm=False)
    return engine


@contextmanager
def _kept() -> Iterator[None]:
    """Undo what vLLM does to this process beside starting.

    It takes away `torch.set_num_threads`, by which merging keeps to its threads, and names libraries
    that every child process would load.
    """
    threads, preloaded = torch.set_num_threads, os.environ.get("LD_PRELOAD")
    try:
        yield
    finally:
        torch.set_num_threads = threads
        os.environ.pop("LD_PRELOAD", None)
        if preloaded is not None:
            os.environ["LD_PRELOAD"] = preloaded
