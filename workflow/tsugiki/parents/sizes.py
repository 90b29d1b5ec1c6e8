"""What a run will need: network, disk and memory, from the sizes in headers and listings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tsugiki.config.lm_eval_tasks import local_tasks
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.models.facts import ModelFacts
from tsugiki.models.files import needed
from tsugiki.models.kinds.kind import Kind
from tsugiki.models.sources import ParentFiles
from tsugiki.parents.hub import HubFiles

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number."""

LIBRARIES = 700_000_000
"""Bytes that Python takes with torch, transformers and lm-eval; measured on processors."""
LIBRARIES_ON_GPU = 5_000_000_000
"""Bytes of libraries together with what CUDA keeps in main memory; a generous figure."""
PROMPT = 1000
"""Tokens of a long prompt, assumed."""


@dataclass(frozen=True)
class Memory:
    """What an evaluating job holds in memory at most, in bytes."""

    weights: int = 0
    """All models of a stage, and the merged one."""
    decomposed: int = 0
    """What is kept of their task vectors, for methods that decompose them."""
    merged: int = 0
    """The merged one alone."""
    logits: int = 0
    """Of one batch, where log-likelihoods of all its tokens are asked for."""
    rows: int = 0
    """Prompts in a batch."""
    prompt: int = 0
    """Tokens of each."""
    gpu: bool = False
    """Whether the model that is scored is on a GPU, which it goes to through main memory."""
    paths: bool = False
    """Whether a stage merges paths through layers, which count with as many layers as they may have."""

    @property
    def libraries(self) -> int:
        """Bytes of Python and its libraries."""
        return LIBRARIES_ON_GPU if self.gpu else LIBRARIES

    @property
    def main(self) -> int:
        """Bytes of main memory."""
        return self.weights + self.decomposed + self.libraries + (0 if self.gpu else self.logits)

    @property
    def on_gpu(self) -> int:
        """Bytes of the GPU's memory."""
        return self.merged + self.logits if self.gpu else 0

    def __str__(self) -> str:
        of_prompts = f"log-likelihoods of {self.rows} prompts of {self.prompt} tokens"
        logits = [f"{of_prompts} {shown(self.logits)}"] * bool(self.logits)
        longest = " (a path at its longest)" * self.paths
        counted = [
            f"weights of its models and the merged one{longest} {shown(self.weights)}",
            *[f"decompositions of task vectors {shown(self.decomposed)}"] * bool(self.decomposed),
            f"Python and its libraries {shown(self.libraries)}",
            *(() if self.gpu else logits),
        ]
        text = f"{shown(self.main)} ({', '.join(counted)})"
        if self.gpu:
            on_gpu = ", ".join([f"the merged model{longest} {shown(self.merged)}", *logits])
            text += f"; on the GPU {shown(self.on_gpu)} and keys and values ({on_gpu})"
        return text


def shown(count: int) -> str:
    """Bytes as people read them, in MB or GB (10^6 or 10^9)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def download_bytes(sources: Iterable[ParentFiles]) -> int:
    """Bytes of the needed files on the Hub that the cache lacks; a repository counts once."""
    lacking = {
        (source.listing.repo, source.listing.commit, name): source.sizes[name]
        for source in sources
        if isinstance(source, HubFiles)
        for name in needed(source.sizes)
        if source.cached(name) is None
    }
    return sum(lacking.values())


def disk_bytes(config: RunConfig, models: Mapping[str, ModelFacts]) -> int:
    """Bytes that a run keeps on disk: the best merged models, and decompositions of task vectors.

    Candidates that it writes are counted with the evaluations (steps/estimate.py). A path in data-flow space is
    counted as one model of its owner's size. Models of the demo count nothing.
    """
    sizes = {stage.name: _merged_bytes(config, stage, models) for stage in config.stages}
    merged_later = {name for stage in config.stages for name in stage.members}
    kept = merged_later | {config.stages[-1].name}
    merged = sum(size for name, size in sizes.items() if name in kept)
    return merged + sum(_decomposed_bytes(config, stage, models) for stage in config.stages)


def memory(config: RunConfig, models: Mapping[str, ModelFacts]) -> Memory:
    """What an evaluating job holds in memory at most.

    Logits take three times their size and three bytes: with those of one batch, its log-softmax
    and that of the batch before are held, and three masks while they are checked to be finite.
    Where a task's file says that it generates answers, only the last token's are made.
    """
    merged = {stage.name: _live_bytes(config, stage, models) for stage in config.stages}
    weights = max(
        sum(_stored(config, name, models) for name in stage.members) + merged[stage.name]
        for stage in config.stages
    )
    if not weights:
        return Memory()
    local = local_tasks(config.evaluation.task_folders)
    asked = {one.task for one in config.evaluation.measured}
    likelihoods = any(name not in local or not local[name].max_tokens for name in asked)
    rows, prompt, logits = config.evaluation.batch_size, PROMPT, 0
    for stage in config.stages:
        owner = models.get(config.owner(stage))
        if owner is not None and owner.config and likelihoods:
            longest = owner.core_settings.get("max_position_embeddings") or PROMPT
            prompt = min(prompt, longest)
            each = 3 * WIDTH[stage.space.dtype] + 3
            logits = max(logits, rows * prompt * owner.rows * each)
    return Memory(
        weights=weights,
        decomposed=max(_decomposed_bytes(config, stage, models) for stage in config.stages),
        merged=max(merged.values()),
        logits=logits,
        rows=rows,
        prompt=prompt,
        gpu=config.evaluation.device == "cuda",
        paths=any(stage.space.kind == "dataflow" for stage in config.stages),
    )


def _live_bytes(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> int:
    """Of a merged model in memory: of a path, with the layers of all parents at each repetition."""
    owner = _owner(config, stage, models)
    size = _merged_bytes(config, stage, models)
    if owner is None or stage.space.kind != "dataflow":
        return size
    places = {name: owner.kind.place(name) for name in owner.merged}
    layers = sum(
        owner.merged[name].numel for name, place in places.items() if place and place.in_block
    )
    beyond_its_own = stage.space.repeats * len(stage.parents) - 1
    return size + beyond_its_own * layers * WIDTH[stage.space.dtype]


def _decomposed_bytes(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> int:
    """Of what is kept of a stage's task vectors; an earlier stage's best model is like its owner."""
    if not (isinstance(stage.space, ParameterSpace) and stage.decomposes):
        return 0
    from tsugiki.merge.decompositions import header  # imports torch
    from tsugiki.merge.registry import get_method

    method, options = get_method(stage.space.method), stage.space.options
    earlier = {one.name: _owner(config, one, models) for one in config.stages}
    known = [earlier[name] if name in earlier else models.get(name) for name in stage.parents]
    shapes = [one.shape for model in known if model is not None for one in model.planned.values()]
    kept = (header(method, options, shape) for shape in shapes)
    return sum(one.size for one in kept if one is not None)


def _stored(config: RunConfig, name: str, models: Mapping[str, ModelFacts]) -> int:
    stage = config.stage(name)
    if stage is not None:
        return _merged_bytes(config, stage, models)
    return models[name].stored if name in models else 0


@dataclass(frozen=True)
class MergedTensors:
    """The tensors that a stage merges."""

    kind: Kind
    elements: Mapping[str, int]
    """By name, how many each one has."""


def merged_tensors(config: RunConfig, models: Mapping[str, ModelFacts]) -> dict[str, MergedTensors]:
    """The tensors that are merged, by stage; without stages of unknown parents."""
    known = {
        stage.name: [models[name] for name in config.origins(stage) if name in models]
        for stage in config.stages
    }
    return {
        stage: MergedTensors(
            found[0].kind, {name: tensor.numel for name, tensor in found[0].merged.items()}
        )
        for stage, found in known.items()
        if found
    }


def _merged_bytes(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> int:
    owner = _owner(config, stage, models)
    if owner is None:
        return 0
    return sum(one.numel for one in owner.tensors.values()) * WIDTH[stage.space.dtype]


def _owner(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> ModelFacts | None:
    """The model that a stage's merged ones are like, or another one of its parents if that is not known."""
    names = (config.owner(stage), *config.origins(stage))
    return next((models[name] for name in names if name in models), None)
