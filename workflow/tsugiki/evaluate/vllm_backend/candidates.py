"""One vLLM engine in which candidates are built, one after another, without a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from lm_eval.models.utils import resolve_max_length

from tsugiki.config.evaluation import Evaluation
from tsugiki.config.validate_backend import installed_vllm
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, Recipe
from tsugiki.errors import ConfigError, InfrastructureError, LineageError, RecipeError
from tsugiki.evaluate.chat import OWN, Chat
from tsugiki.evaluate.language_model import end_tokens, generation_config
from tsugiki.evaluate.vllm_backend.engine import (
    OF_SCORES,
    engine_key,
    engine_settings,
    gpu_name,
    prepare_environment,
    share_of_memory,
    start_engine,
)
from tsugiki.evaluate.vllm_backend.language_model import VllmLanguageModel
from tsugiki.models.kinds.kind import Names
from tsugiki.models.kinds.registry import kind_of
from tsugiki.models.kinds.text import TEXT


class VllmCandidates:
    """Has one engine, which is started with the first candidate."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        evaluation: Evaluation,
        *,
        names: Mapping[str, Names] | None = None,
        decompositions: Mapping[str, Path] | None = None,
        chat: Chat = OWN,
    ) -> None:
        """The GPU is the one that this process sees (see `see_one_gpu`).

        Raises:
            InfrastructureError: there is none that works.
        """
        prepare_environment()
        self.hardware = gpu_name()
        """The GPU's name."""
        self.hold(folders, digests, decompositions)
        self._names = dict(names or {})
        self._evaluation = evaluation
        self._chat = chat
        self._key: str | None = None
        self._engine: Any = None

    def hold(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        decompositions: Mapping[str, Path] | None = None,
    ) -> None:
        """Merge other models from now on, in the same engine: a process can have only one."""
        self._folders = dict(folders)
        self._digests = dict(digests)
        self._decompositions = dict(decompositions or {})
        self._held: set[str] = set()
        self._models: dict[str, VllmLanguageModel] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the answers of a model, besides its weights.

        The GPU's name is part of it, since vLLM chooses its kernels by that.
        """
        return {
            "backend": "vllm",
            "vllm": installed_vllm(),
            "settings": {
                "memory": share_of_memory(self._evaluation),
                "max_length": self._evaluation.vllm.max_length,
            },
            "variables": {name: os.environ.get(name) for name in OF_SCORES},
            "batch_size": self._evaluation.batch_size,
            "device": self.hardware,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def build(self, recipe: AnyRecipe) -> tuple[VllmLanguageModel, str]:
        """Merge a recipe into the engine's model; returns it with the digest of its weights.

        Raises:
            RecipeError: the recipe describes no valid merge, or a result is not finite.
            ConfigError: vLLM cannot run such models.
        """
        recipe = _in_parameter_space(recipe)
        model = self._opened(recipe)
        answer = self._ask("tsugiki_merge", recipe.to_json().decode())
        if "refused" in answer:
            what, where, expected, got, fix = answer["refused"]
            raise RecipeError(what, where=where, expected=expected, got=got, fix=fix)
        return model, answer["digest"]

    def read(self, recipe: AnyRecipe, folder: Path, weights: str) -> tuple[VllmLanguageModel, str]:
        """Take the weights of a merged model on disk into the engine's model.

        Raises:
            InfrastructureError: the folder is not whole.
        """
        recipe = _in_parameter_space(recipe)
        model = self._opened(recipe)
        self._ask("tsugiki_read", str(folder), recipe.owner)
        return model, weights

    def group(self, recipe: AnyRecipe) -> str:
        """Candidates of a group have an engine in common."""
        return engine_key(self._folders[recipe.owner], recipe.dtype)

    def _opened(self, recipe: Recipe) -> VllmLanguageModel:
        """The engine for a recipe, with the models that it names in its worker."""
        key = self.group(recipe)
        if self._key not in (None, key):
            # vLLM does not free the GPU's memory within a process (its issue 21073)
            raise InfrastructureError(
                "the next candidates need another vLLM engine, and so a process of their own",
                where=f"recipe {recipe.short}",
                fix="the job is tried again, and goes on with them; if it is tried too often, "
                "give the same command again",
            )
        owner = recipe.owner
        if owner not in self._models:
            self._models[owner] = self._model(owner, recipe.dtype)
            self._key = key
        names = {ref.name for ref in recipe.models} | {owner}
        if not names <= self._held:
            models = {
                "folders": {name: str(self._folders[name]) for name in sorted(names)},
                "digests": self._digests,
                "names": self._names,
                "threads": self._evaluation.threads,
                "decompositions": {key: str(file) for key, file in self._decompositions.items()},
            }
            self._ask("tsugiki_open", json.dumps(models))
            self._held = names
        return self._models[owner]

    def _model(self, owner: str, dtype: str) -> VllmLanguageModel:
        folder = self._folders[owner]
        kind = kind_of(json.loads((folder / "config.json").read_bytes()))
        if kind is not TEXT:
            raise ConfigError(
                f"{kind.name}s are not evaluated with vLLM",
                where=str(folder),
                fix="set `evaluation.backend: transformers`",
            )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._chat.apply(tokenizer, self._evaluation)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        longest = resolve_max_length(config, tokenizer)
        max_length = min(self._evaluation.vllm.max_length or longest, longest)
        if self._engine is None:
            settings = engine_settings(folder, dtype, self._evaluation, max_length)
            self._engine = start_engine(settings)
        from vllm import SamplingParams

        return VllmLanguageModel(
            self._engine,
            SamplingParams,
            tokenizer,
            ends=end_tokens(generation_config(folder, config), tokenizer),
            more_ends=self._chat.ends,
            max_length=max_length,
            chat_template_args=self._evaluation.chat_template_args,
            thinking=self._evaluation.thinking,
        )

    def _ask(self, method: str, *arguments: str) -> Any:
        """Call a method of every worker; they must agree.

        Raises:
            LineageError: two workers have merged different weights.
        """
        answers = self._engine.collective_rpc(method, args=arguments)
        if any(answer != answers[0] for answer in answers[1:]):
            raise LineageError(
                "vLLM's workers have merged different weights", got=f"{method}: {answers}"
            )
        return answers[0]


def _in_parameter_space(recipe: AnyRecipe) -> Recipe:
    if isinstance(recipe, DataflowRecipe):
        raise ConfigError(
            "vLLM cannot change a model's number of layers between candidates",
            where=f"recipe {recipe.digest[:12]}, in data-flow space",
            fix="set `evaluation.backend: transformers`",
        )
    return recipe
