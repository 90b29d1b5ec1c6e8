"""Check that the chosen backend is installed, and that it can do what the configuration asks."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet

from tsugiki.config.baselines import FrankenmergeBaseline
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.file_objectives import ChoicesObjective, CorpusObjective
from tsugiki.config.lm_eval_tasks import local_tasks
from tsugiki.config.run import RunConfig

VLLM_VERSIONS = ">=0.25,<0.34"
"""The versions whose interface `evaluate/vllm_backend` was written for; as in pyproject.toml."""


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
        if isinstance(baseline, FrankenmergeBaseline):
            yield (
                f"`baselines[{index}]`: stacks have another number of layers, which vLLM cannot "
                "change; set `evaluation.backend: transformers`, or leave this baseline out"
            )
    tasks = local_tasks(evaluation.task_folders)
    for name in sorted({one.task for one in [*evaluation.objectives, *evaluation.monitors]}):
        if name in tasks and tasks[name].max_tokens == 0:
            yield f"task {name!r} generates no answers: `evaluation.backend: vllm` cannot score it"


def installed_vllm() -> str | None:
    """Version of vLLM, without importing it; None if it is not installed."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return None


def vllm_faults(evaluation: Evaluation) -> Iterator[str]:
    """What is wrong with the installed vLLM, and what it cannot score."""
    for one in evaluation.functions:
        yield (
            f"objective {one.name!r} is a Python function, which is given a model of transformers; set "
            "`evaluation.backend: transformers`"
        )
    for other in evaluation.files:
        if isinstance(other, CorpusObjective | ChoicesObjective):
            yield (
                f"objective {other.name!r} is of log-likelihoods, which `evaluation.backend: vllm` does not "
                "give; set `backend: transformers`"
            )
    found = installed_vllm()
    # a build for processors is another distribution, or has `cpu` in its version
    if found is None or "cpu" in found or found not in SpecifierSet(VLLM_VERSIONS):
        yield (
            f"`evaluation.backend`: vLLM {VLLM_VERSIONS}, built for GPUs, is needed, and "
            + ("is not installed" if found is None else f"{found} is installed")
            + "; install it into an environment of its own (docs/hpc.md), or set "
            "`backend: transformers`"
        )
    if evaluation.device == "cpu":
        yield (
            "`evaluation.device`: vLLM computes on GPUs only; set `device: cuda`, or set "
            "`backend: transformers`"
        )
