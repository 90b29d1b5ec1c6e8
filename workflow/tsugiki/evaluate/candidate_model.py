"""One live model in which candidates are built, one after another, and the device that it is on."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

from tsugiki.config.evaluation import Evaluation
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, Recipe
from tsugiki.errors import InfrastructureError, ParentError
from tsugiki.evaluate.chat import OWN, Chat
from tsugiki.evaluate.image_generator import ImageGenerator, open_generator
from tsugiki.evaluate.language_model import LanguageModel, generation_config
from tsugiki.evaluate.picture_model import PictureModel
from tsugiki.evaluate.processors import open_processor
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.models import OpenModels, fits_on_device
from tsugiki.models.facts import kind_in
from tsugiki.models.headers import prefix_of
from tsugiki.models.kinds.kind import Names

LiveModel = LanguageModel | ImageGenerator


class CandidateModel:
    """Holds the parents once, and one model that takes each candidate's weights in turn.

    A GPU holds the parents too, if they fit into its memory, and merges them where the method gives the
    same bits there. Otherwise the processor merges, and the weights are copied tensor by tensor.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        evaluation: Evaluation,
        *,
        job: int = 0,
        names: Mapping[str, Names] | None = None,
        decompositions: Mapping[str, Path] | None = None,
        trusted: frozenset[str] = frozenset(),
        chat: Chat = OWN,
    ) -> None:
        """Open no model yet.

        `decompositions` are files of decompositions of task vectors, by their keys; `trusted` names the models
        whose own modelling code may run.
        """
        self._chat = chat
        self._folders = dict(folders)
        self._names = names
        self._decompositions = decompositions
        self._digests = dict(digests)
        self._evaluation = evaluation
        self._trusted = trusted
        self._device = choose_device(evaluation.device, job)
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        self._merger: InPlaceMerger | None = None
        self._held: set[str] = set()
        self._dataflow: LiveDataflow | None = None
        self._tokenizers: dict[str, Any] = {}
        self._live: dict[tuple[str, str], LiveModel] = {}

    @cached_property
    def _draws(self) -> bool:
        """Whether its models make pictures."""
        return any(kind_in(folder).output == "images" for folder in self._folders.values())

    @property
    def device(self) -> torch.device:
        """Where candidates are evaluated."""
        return self._device

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the answers of a model, besides its weights.

        On a processor, torch shares out the sums of a forward pass among its threads. One thread is not
        named: identities of recorded runs name none.
        """
        shared = self._device.type == "cpu" and self._evaluation.threads > 1
        return {
            "batch_size": self._evaluation.batch_size,
            "device": self._device.type,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            **({"diffusers": version("diffusers")} if self._draws else {}),
            **({"threads": self._evaluation.threads} if shared else {}),
        }

    @property
    def hardware(self) -> str:
        """The GPU's name, or `cpu`."""
        gpu = self._device.type == "cuda"
        return torch.cuda.get_device_name(self._device) if gpu else self._device.type

    def group(self, recipe: AnyRecipe) -> str:
        """All are one: another live model costs no more than reading a parent again."""
        del recipe
        return ""

    def build(self, recipe: AnyRecipe) -> tuple[LiveModel, str]:
        """Make a recipe's model in memory; returns it with the digest of its weights."""
        if isinstance(recipe, DataflowRecipe):
            self._let_go()
            self._merger = None
            if self._dataflow is None:
                self._dataflow = LiveDataflow(
                    OpenModels(self._folders, self._digests), self._device
                )
            assembled, weights = self._dataflow.assemble(recipe)
            # as a loader of the written model has it, which gets the owner's files
            owner = self._folders[recipe.owner]
            assembled.generation_config = generation_config(owner, assembled.config)
            return self._wrapped(assembled, recipe.owner), weights
        self._dataflow = None
        live = self._model(recipe)
        merger, threads = self._parents(recipe), self._evaluation.threads
        return live, merger.load_into(recipe, live.weights, threads=threads)

    def read(self, recipe: AnyRecipe, folder: Path, weights: str) -> tuple[LiveModel, str]:
        """Take the weights of a merged model on disk into memory.

        Raises:
            InfrastructureError: the folder is not whole.
        """
        if isinstance(recipe, DataflowRecipe):
            self._let_go()
            model = self._pretrained(folder, recipe).to(self._device)
            return self._wrapped(model, recipe.owner), weights
        model = self._model(recipe)
        parents = self._parents(recipe)
        live = parents.live_weights(recipe.owner, model.weights)
        missing = {planned.stored for planned in parents.plan(recipe.owner).tensors}
        try:
            for file in sorted(folder.rglob("*.safetensors")):
                prefix = prefix_of(file.relative_to(folder).as_posix())
                with safetensors.safe_open(file, framework="pt") as content, torch.no_grad():
                    for name in content.keys():  # noqa: SIM118 - not a mapping
                        live.put(prefix + name, content.get_tensor(name))
                        missing.remove(prefix + name)
        except (OSError, safetensors.SafetensorError, KeyError, RuntimeError) as error:
            raise not_whole(folder, str(error)) from error
        if missing:
            raise not_whole(folder, f"no tensor {min(missing)}")
        with torch.no_grad():
            live.finish()
        return model, weights

    def _parents(self, recipe: Recipe) -> InPlaceMerger:
        """Models of a recipe, and perhaps others; not all models of a run fit together."""
        names = _models_of(recipe)
        if self._merger is None or not names <= self._held:
            folders = {name: self._folders[name] for name in self._folders if name in names}
            self._merger, self._held = None, names  # which may hold models on the GPU
            self._merger = InPlaceMerger(
                folders, self._digests, names=self._names, decompositions=self._decompositions
            )
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
                free, _ = torch.cuda.mem_get_info(self._device)
                if fits_on_device(self._merger.bytes_on_device, free):
                    self._merger.hold_on(self._device)
        return self._merger

    def _model(self, recipe: Recipe) -> LiveModel:
        key = (recipe.owner, recipe.dtype)
        if key not in self._live:
            self._let_go()
            self._live[key] = self._generator(recipe) if self._draws else self._reader(recipe)
        return self._live[key]

    def _reader(self, recipe: Recipe) -> LanguageModel:
        model = self._pretrained(self._folders[recipe.owner], recipe).to(self._device)
        return self._wrapped(model, recipe.owner)

    def _generator(self, recipe: Recipe) -> ImageGenerator:
        plan = self._parents(recipe).plan(recipe.owner)
        merged = {one.stored.partition(".")[0] for one in plan.tensors if one.merged}
        folder, dtype = self._folders[recipe.owner], getattr(torch, recipe.dtype)
        return open_generator(folder, merged, dtype, self._device)

    def _let_go(self) -> None:
        """Give up the last model, whose memory the next one may need."""
        self._live.clear()
        if self._device.type == "cuda":
            gc.collect()  # lm-eval's models refer to themselves

    def _pretrained(self, folder: Path, recipe: AnyRecipe) -> Any:
        model, info = (
            kind_in(folder)
            .loader()
            .from_pretrained(
                folder,
                dtype=getattr(torch, recipe.dtype),
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=recipe.owner in self._trusted,
            )
        )
        if info["missing_keys"]:
            raise ParentError(
                "tensors are missing from a parent",
                where=str(folder),
                got=", ".join(sorted(info["missing_keys"])[:5]),
                fix="fetch or convert the model again",
            )
        return model.eval().requires_grad_(requires_grad=False)

    def _wrapped(self, model: Any, owner: str) -> LanguageModel:
        """A model with the tokenizer of one of the parents."""
        if owner not in self._tokenizers:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                self._folders[owner],
                local_files_only=True,
                trust_remote_code=owner in self._trusted,
            )
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            self._chat.apply(tokenizer, self._evaluation)
            self._tokenizers[owner] = tokenizer
        folder, tokenizer = self._folders[owner], self._tokenizers[owner]
        settings: dict[str, Any] = {
            "batch_size": self._evaluation.batch_size,
            "ends": self._chat.ends,
            "chat_template_args": self._evaluation.chat_template_args,
            "thinking": self._evaluation.thinking,
        }
        if not kind_in(folder).sees:
            return LanguageModel(model, tokenizer, **settings)
        opened = partial(open_processor, folder, tokenizer, trust=owner in self._trusted)
        return PictureModel(model, tokenizer, processor=opened, **settings)


def _models_of(recipe: Recipe) -> set[str]:
    return {ref.name for ref in recipe.models} | {recipe.owner}


def not_whole(folder: Path, got: str) -> InfrastructureError:
    """A materialized model lacks a part."""
    return InfrastructureError(
        "a merged model on disk is not whole",
        where=str(folder),
        got=got,
        fix="the job is tried again; if this persists, remove the generation's weights folders",
    )


def choose_device(setting: str, job: int) -> torch.device:
    """The device of a job: jobs on one machine spread over its visible GPUs.

    Raises:
        InfrastructureError: the job was given a GPU that does not work, and its processor would take
            for ever, and round differently; or it is to use one and has none.
    """
    works = torch.cuda.is_available()
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not works and (setting == "cuda" or (setting == "auto" and given[:1].isdigit())):
        raise InfrastructureError(
            "this job is to use a GPU, and torch finds none that it can use",
            where=f"evaluation.device: {setting}, on {os.uname().nodename}",
            got=f"CUDA_VISIBLE_DEVICES={given}",
            fix="the job is tried again; ask for a GPU (docs/hpc.md), keep it from this node if the "
            "node is broken, install the build of torch for its driver, or set `device: cpu`",
        )
    if setting == "auto":
        setting = "cuda" if works else "cpu"
    if setting == "cuda":
        return torch.device("cuda", job % max(torch.cuda.device_count(), 1))
    return torch.device(setting)
