"""What runs candidates: transformers, or vLLM."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol

from tsugiki.config.run import RunConfig
from tsugiki.config.validate_backend import vllm_faults
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.errors import ConfigError
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.chat import OWN, Chat
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.pictures import has_pictures
from tsugiki.evaluate.thinking import Thought
from tsugiki.evaluate.vllm_backend.candidates import VllmCandidates
from tsugiki.evaluate.vllm_backend.language_model import SETTINGS
from tsugiki.parents.run_models import RunModels


class Clock(Protocol):
    """Measures seconds of computation, and notices outputs that are NaN or infinite."""

    def reset(self) -> None:
        """Start measuring."""

    def stop(self) -> float:
        """Seconds since `reset`; raises BrokenModelError if some output was NaN or infinite."""


class Model(Protocol):
    """A candidate's model as lm-eval's `evaluate` takes it."""

    clock: Clock
    tokenizer: Any
    cut: set[tuple[str, bool]]
    """Prompts whose start was cut off, since they are longer than the model can read: the text, and whether an
    answer was to be generated, which leaves less room for the prompt."""
    thoughts: dict[Hashable, Thought]
    """The thinking part that each prompt led to, since this was cleared."""


class Candidates(Protocol):
    """Builds models from recipes, one after another; each model replaces the one before."""

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the answers of a model, besides its weights."""

    @property
    def hardware(self) -> str:
        """What models compute with: the name of a GPU, or `cpu`."""

    def group(self, recipe: AnyRecipe) -> str:
        """A key to order candidates by: those with equal keys are cheaper to build one after another."""

    def build(self, recipe: AnyRecipe) -> tuple[Model, str]:
        """Merge a recipe in memory; returns the model and the digest of its weights."""

    def read(self, recipe: AnyRecipe, folder: Path, weights: str) -> tuple[Model, str]:
        """Load a merged model from disk; returns it and the digest of its weights."""


def open_backend(
    models: RunModels,
    config: RunConfig,
    *,
    job: int,
    before: Candidates | None = None,
    chat: Chat = OWN,
) -> Candidates:
    """The backend that a configuration names, over some of its models.

    `before` is the one that this process had until now, if it had one.
    """
    if isinstance(before, VllmCandidates):
        before.hold(models.folders, models.digests, models.decompositions)
        return before
    names, evaluation = config.tensor_names, config.evaluation
    if evaluation.backend == "vllm":
        return VllmCandidates(
            models.folders,
            models.digests,
            evaluation,
            names=names,
            decompositions=models.decompositions,
            chat=chat,
        )
    return CandidateModel(
        models.folders,
        models.digests,
        evaluation,
        job=job,
        names=names,
        decompositions=models.decompositions,
        trusted=config.trusted,
        chat=chat,
    )


def require_backend(evaluators: Evaluators) -> None:
    """Refuse what the backend cannot do, before anything is merged.

    Raises:
        ConfigError: vLLM is not installed, in a version that is known; or a task needs more than
            greedy answers.
    """
    if evaluators.evaluation.backend != "vllm":
        return
    for fault in vllm_faults(evaluators.evaluation):
        raise ConfigError("this configuration cannot be evaluated here", got=fault)
    harnesses = [one for one in evaluators.opened if isinstance(one, Harness)]
    for name, task in harnesses[0].tasks.items() if harnesses else ():
        if task.config.output_type != "generate_until":
            raise ConfigError(
                f"task {name} generates no answers",
                where="evaluation.backend: vllm",
                expected="tasks with `output_type: generate_until`",
                got=str(task.config.output_type),
                fix="set `backend: transformers`, or use another task",
            )
        if has_pictures(task):
            raise ConfigError(
                f"task {name} shows pictures",
                where="evaluation.backend: vllm",
                expected="tasks of text alone",
                got="doc_to_image",
                fix="set `backend: transformers`",
            )
        unknown = sorted(set(task.config.generation_kwargs or {}) - SETTINGS)
        if unknown:
            raise ConfigError(
                f"task {name} sets what the vLLM backend does not know",
                where=f"generation_kwargs of {name}",
                expected=f"no more than {', '.join(sorted(SETTINGS))}",
                got=", ".join(unknown),
                fix="set `backend: transformers`, or use a copy of the task without these settings",
            )
