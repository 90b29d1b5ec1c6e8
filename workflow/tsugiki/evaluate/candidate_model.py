"""One live model in which candidates are built, one after another, without a file between."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import InfrastructureError, ParentError
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.merge.resident import ResidentMerger, bind
from tsugiki.merge.write import write_merge
from tsugiki.recipe.recipe import Recipe


class CandidateModel:
    """Holds the parents once, and one model that takes each candidate's weights in turn."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        evaluation: Evaluation,
        *,
        job: int = 0,
        trusted: frozenset[str] = frozenset(),
    ) -> None:
        """`trusted` names the parents whose own modelling code may run."""
        self._folders = dict(folders)
        self._digests = dict(digests)
        self._evaluation = evaluation
        self._trusted = trusted
        self._device = choose_device(evaluation.device, job)
        self._merger: ResidentMerger | None = None
        self._live: dict[tuple[str, str], tuple[Any, LanguageModel]] = {}

    @property
    def device(self) -> torch.device:
        """Where candidates are evaluated."""
        return self._device

    def build(self, recipe: Recipe) -> tuple[LanguageModel, str]:
        """Merge a recipe into the live model; returns it with the digest of its weights."""
        model, language_model = self._model(recipe)
        return language_model, self._parents().load_into(recipe, model)

    def build_through_scratch(self, recipe: Recipe) -> tuple[LanguageModel, str]:
        """Merge a recipe to a temporary folder on this machine, read it, and remove it.

        Needs disk for one model, and no memory for the merge.
        """
        with tempfile.TemporaryDirectory(prefix="tsugiki-") as scratch:
            folder = Path(scratch) / "model"
            threads = self._evaluation.threads
            weights = write_merge(recipe, self._folders, self._digests, folder, threads=threads)
            return self.read(recipe, folder, weights)

    def read(self, recipe: Recipe, folder: Path, weights: str) -> tuple[LanguageModel, str]:
        """Take the weights of a merged model on disk into the live model.

        Raises:
            InfrastructureError: the folder is not whole.
        """
        model, language_model = self._model(recipe)
        targets = bind(self._parents().plan, model)
        missing = set(targets)
        try:
            for file in sorted(folder.glob("*.safetensors")):
                with safetensors.safe_open(file, framework="pt") as content, torch.no_grad():
                    for name in content.keys():  # noqa: SIM118 - not a mapping
                        targets[name].copy_(content.get_tensor(name))
                        missing.discard(name)
        except (OSError, safetensors.SafetensorError, KeyError, RuntimeError) as error:
            raise _not_whole(folder, str(error)) from error
        if missing:
            raise _not_whole(folder, f"no tensor {min(missing)}")
        return language_model, weights

    def _parents(self) -> ResidentMerger:
        if self._merger is None:
            self._merger = ResidentMerger(self._folders, self._digests)
        return self._merger

    def _model(self, recipe: Recipe) -> tuple[Any, LanguageModel]:
        key = (recipe.tokenizer, recipe.dtype)
        if key not in self._live:
            self._live.clear()
            self._live[key] = self._load(recipe)
        return self._live[key]

    def _load(self, recipe: Recipe) -> tuple[Any, LanguageModel]:
        folder = self._folders[recipe.tokenizer]
        trust = recipe.tokenizer in self._trusted
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, recipe.dtype),
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=trust,
        )
        if info["missing_keys"]:
            raise ParentError(
                "tensors are missing from a parent",
                where=str(folder),
                got=", ".join(sorted(info["missing_keys"])[:5]),
                fix="fetch or convert the model again",
            )
        model.to(self._device).eval().requires_grad_(requires_grad=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust
        )
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model, LanguageModel(model, tokenizer, batch_size=self._evaluation.batch_size)


def _not_whole(folder: Path, got: str) -> InfrastructureError:
    return InfrastructureError(
        "a merged model on disk is not whole",
        where=str(folder),
        got=got,
        fix="the job is tried again; if this persists, remove the generation's weights folders",
    )


def choose_device(setting: str, job: int) -> torch.device:
    """The device of a job: jobs on one machine spread over its visible GPUs.

    Raises:
        InfrastructureError: the job was given a GPU that does not work; its processor would take
            for ever, and round differently.
    """
    if setting == "auto":
        setting = "cuda" if torch.cuda.is_available() else "cpu"
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if setting == "cpu" and given[:1].isdigit():
            raise InfrastructureError(
                "this job was given a GPU that torch cannot use",
                where=f"CUDA_VISIBLE_DEVICES={given} on {os.uname().nodename}",
                fix="the job is tried again; keep it from this node if the node is broken, install "
                "the build of torch for its driver, or set `evaluation.device: cpu`",
            )
    if setting == "cuda":
        return torch.device("cuda", job % max(torch.cuda.device_count(), 1))
    return torch.device(setting)
