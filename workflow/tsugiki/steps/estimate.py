"""How much a run will evaluate, and about how long that takes on a GPU: before anything is merged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.lm_eval_tasks import local_tasks
from tsugiki.config.parents import DemoParent
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import FLATNESS, REPEAT
from tsugiki.finalists.baselines import compared_models
from tsugiki.merge.registry import METHODS
from tsugiki.models.grouping import groups
from tsugiki.parents.sizes import WIDTH, MergedTensors, shown
from tsugiki.space.dataflow_space import build_dataflow_genome

PROMPT = (250, 1000)
"""Tokens of a prompt, assumed: few and many."""
ANSWER = 256
"""Most tokens of an answer where the task does not say; lm-eval's default."""
BILLION = 1_000_000_000
CHOICES = 4
"""Prompts that a document of a multiple-choice task is, assumed."""


@dataclass(frozen=True)
class Gpu:
    """What a GPU, or one core of a processor, does at best, by its data sheet."""

    name: str
    flops: Mapping[str, float]
    """Operations per second, dense, by number format."""
    bandwidth: float
    """Bytes per second."""


GPUS = (
    Gpu("H100", {"bfloat16": 989e12, "float16": 989e12, "float32": 67e12}, 3.35e12),
    Gpu("A100", {"bfloat16": 312e12, "float16": 312e12, "float32": 19.5e12}, 2.04e12),
)
CORE = Gpu("one core", dict.fromkeys(WIDTH, 100e9), 10e9)
"""A core of a processor with vectors of 256 bits: 2 · 8 · 2 operations at 3 GHz."""
USED = (0.5, 0.2)
"""Share of both that is reached, assumed: at best and at worst."""


@dataclass(frozen=True)
class Share:
    """A part of the run's evaluations."""

    name: str
    candidates: int
    documents: int
    """Of each task."""
    tasks: tuple[str, ...]
    saved: int = 0
    """Documents of each task that are not put to candidates which are left at a rung, all together."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Sampled answers to each document, by task; one where a task is absent."""

    @property
    def asked(self) -> int:
        """Documents of each task that are put to all its candidates together."""
        return self.candidates * self.documents - self.saved

    @property
    def answers(self) -> int:
        """How often a model is asked."""
        return self.asked * sum(self.repeats.get(task, 1) for task in self.tasks)


def shares(config: RunConfig, tensors: Mapping[str, MergedTensors]) -> list[Share]:
    """What is evaluated, if every stage runs for all its generations.

    `tensors` are what is merged, by stage; a stage is absent where its parents are not known yet.
    """
    items, evaluation = config.evaluation.items, config.evaluation
    searched = tuple(sorted({one.task for one in evaluation.objectives}))
    all_tasks = tuple(sorted({one.task for one in [*evaluation.objectives, *evaluation.monitors]}))
    found = [
        Share(
            stage.name,
            population * generations + _again(config, stage),
            config.search_documents(stage.name),
            searched,
            _saved(evaluation, population) * generations,
        )
        for stage in config.searches
        if (population := _population(config, stage, tensors))
        and (generations := config.most_generations(stage, population))
    ]
    compared, models = compared_models(config)
    finalists = config.finalists.top + config.finalists.mean
    stages = len(config.searches)
    tested = compared + finalists + stages - 1
    flatness, again = config.finalists.flatness, config.evaluation.repeat_check
    every = [
        *found,
        Share("baselines", models, items.search, searched),
        Share("finalists", stages * finalists, items.validation, searched),
        *([Share(FLATNESS, flatness.candidates, items.validation, searched)] if flatness else []),
        Share("test", tested, items.test, all_tasks),
        *([Share(REPEAT, again, items.test, all_tasks)] if again else []),
    ]
    return [replace(share, repeats=evaluation.repeats) for share in every]


def _again(config: RunConfig, stage: Stage) -> int:
    """Candidates that come again at most, to be scored on other documents."""
    subsets = config.subsets_of(stage.name)
    return subsets.leaders * (stage.budget.generations - 1) if subsets is not None else 0


def _saved(evaluation: Evaluation, population: int) -> int:
    """Documents of each task that rungs save at least in a generation."""
    if evaluation.rungs is None:
        return 0
    documents = evaluation.rungs.documents
    come = evaluation.rungs.rule.at_most(population, len(documents))
    more = [later - before for before, later in zip([0, *documents], documents, strict=False)]
    asked = sum(count * new for count, new in zip(come, more, strict=True))
    return population * documents[-1] - asked


def gpu_hours(
    gpu: Gpu, config: RunConfig, parts: list[Share], parameters: int, *, best: bool
) -> float:
    """GPU-hours of all evaluations.

    A prompt of n tokens costs 2 · parameters · n operations. A token of the answer has the weights read
    once for the whole batch, or costs 2 · parameters operations for each of its rows, whichever takes
    longer. `parameters` are the numbers of the merged model; `best` is short prompts, answers of half their
    limit and a well-used GPU, or the opposite.
    """
    used = USED[0] if best else USED[1]
    dtype = config.stages[-1].space.dtype
    operations, bandwidth = used * gpu.flops[dtype], used * gpu.bandwidth
    batch = config.evaluation.batch_size
    limits = answer_limits(config)
    step = max(parameters * WIDTH[dtype] / bandwidth, 2 * parameters * batch / operations) / batch
    prompt = 2 * parameters * PROMPT[0 if best else 1] / operations
    seconds = 0.0
    for part in parts:
        for task in part.tasks:
            limit = limits.get(task, ANSWER)
            answer = limit * step / (2 if best else 1)
            one = answer + prompt if limit else CHOICES * prompt
            seconds += part.asked * part.repeats.get(task, 1) * one
    return seconds / 3600


def answer_limits(config: RunConfig) -> dict[str, int]:
    """Most tokens of an answer, by task, where a local task's file says so; 0 if none are made."""
    local = local_tasks(config.evaluation.task_folders)
    return {name: file.max_tokens for name, file in local.items() if file.max_tokens is not None}


def render(config: RunConfig, tensors: Mapping[str, MergedTensors]) -> str:
    """The estimate as text: evaluations, then GPU-hours; for each billion parameters while no parent's size is known."""
    parts = shares(config, tensors)
    counted = {part.name for part in parts}
    unknown = [one.name for one in config.stages if one.name not in counted | tensors.keys()]
    lines = [
        f"to evaluate, at most: {sum(part.candidates for part in parts):,} models, "
        f"{sum(part.answers for part in parts):,} answers ("
        + ", ".join(f"{part.name} {part.candidates:,} on {part.documents:,}" for part in parts)
        + "".join(f"; {name} is not counted before its parents can be read" for name in unknown)
        + ")"
    ]
    lines += _written(config, tensors, parts)
    parameters = max((sum(one.elements.values()) for one in tensors.values()), default=0)
    if parameters or not any(isinstance(one, DemoParent) for one in config.parents.values()):
        on_processor = config.evaluation.device == "cpu"
        unit, what = ("processor-hours", "core") if on_processor else ("GPU-hours", "GPU")
        size = f"{parameters / BILLION:.2g} billion parameters"
        if not parameters:
            unit = f"{unit} for each billion parameters of a parent"
            size = "no parent could be read"
        hours = "; ".join(
            f"{gpu.name} {_hours(gpu_hours(gpu, config, parts, parameters or BILLION, best=True))}"
            f" to {_hours(gpu_hours(gpu, config, parts, parameters or BILLION, best=False))}"
            for gpu in ((CORE,) if on_processor else GPUS)
        )
        lines.append(
            f"{unit}, a rough estimate: {hours} ({size}, "
            f"batches of {config.evaluation.batch_size}, prompts of {PROMPT[0]} to {PROMPT[1]} "
            f"tokens, {USED[1]:.0%} to {USED[0]:.0%} of the {what} used)"
        )
    return "\n".join(lines)


def _written(
    config: RunConfig, tensors: Mapping[str, MergedTensors], parts: list[Share]
) -> Iterator[str]:
    """What candidates take on disk, where they are written: the searches' generations, and the baselines beside them.

    The models of the final table are written together, too. A path is counted as a model of its owner's size.
    """
    sizes = [
        sum(tensors[stage.name].elements.values()) * WIDTH[stage.space.dtype]
        for stage in config.stages
        if stage.name in tensors
    ]
    if config.evaluation.storage != "disk" or not sizes:
        return
    leaders = config.evaluation.subsets.leaders if config.evaluation.subsets else 0
    counts = {part.name: part.candidates for part in parts}
    drawn = sum(_population(config, stage, tensors) + leaders for stage in config.searches)
    models = max(drawn + counts["baselines"], counts["test"])
    yield (
        f"to write, as `storage` is disk: {models:,} candidates at a time at most, besides the above on disk: "
        f"{shown(models * max(sizes))}"
    )


def note_device(config: RunConfig) -> Iterator[str]:
    """Say where the jobs need a GPU that this machine does not have."""
    import torch

    if config.evaluation.device == "cuda" and not torch.cuda.is_available():
        yield (
            "evaluation.device is cuda, and torch finds no GPU on this machine: right if jobs run "
            "elsewhere, on a cluster's nodes; here they would fail (`device: cpu` or `auto` would not)"
        )


def _population(config: RunConfig, stage: Stage, tensors: Mapping[str, MergedTensors]) -> int:
    """Candidates in a generation; 0 if that follows from parents that are not known yet."""
    if config.is_rival(stage.name):  # whose generations have the price of the last stage's
        return config.evaluation.whole_candidates(_population(config, config.stages[-1], tensors))
    if stage.strategy.population is not None:
        return stage.strategy.population
    genes = _genes(stage, tensors.get(stage.name))
    return 4 + math.floor(3 * math.log(genes)) if genes else 0


def _genes(stage: Stage, tensors: MergedTensors | None) -> int:
    """Genes of a stage; 0 if that follows from tensors that are not known yet. Those of whole models follow from none."""
    if isinstance(stage.space, DataflowSpace):
        if tensors is None:
            return 0
        layers = dict.fromkeys(stage.parents, len(tensors.kind.blocks(tensors.elements)))
        genome = build_dataflow_genome(stage, digests=_unread(stage.parents), layers=layers)
        return len(genome.start)
    specs = METHODS[stage.space.method]
    genes = 0
    for name, gene in stage.space.genes.items():
        spec = specs.parameter(name)
        owners = len(stage.parents) if spec is not None and spec.per_parent else 1
        if gene.grouping == "model":
            genes += owners
        elif tensors is None:
            return 0
        else:
            genes += owners * len(groups(tensors.elements, gene.grouping, tensors.kind))
    return genes


def _unread(names: Iterable[str]) -> dict[str, str]:
    """A digest for each model, where it does not matter which."""
    return dict.fromkeys(names, "0" * 64)


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"
