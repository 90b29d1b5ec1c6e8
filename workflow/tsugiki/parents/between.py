"""All checks of the models of a stage with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec

from tsugiki.config.baselines import FrankenmergeBaseline
from tsugiki.config.evaluation import FunctionObjective
from tsugiki.config.load import nearest
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace, Stage
from tsugiki.contracts.recipe import SHARED
from tsugiki.models.checks.architecture import check_architecture, note_choices
from tsugiki.models.checks.components import check_alike, note_components
from tsugiki.models.checks.numbers import note_formats, note_unequal
from tsugiki.models.checks.outside import check_kept, note_outside
from tsugiki.models.checks.shapes import check_shapes
from tsugiki.models.checks.stacking import check_stacking
from tsugiki.models.checks.tokenizers import (
    check_loading,
    check_owner,
    check_scored,
    check_tokenizers,
    note_splitting,
    note_templates,
    note_tokenizers,
)
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault
from tsugiki.models.grouping import groups


def stacks_layers(config: RunConfig, stage: Stage) -> bool:
    """Whether layers of the stage's parents are stacked, by the stage or by a baseline."""
    by_baseline = any(isinstance(baseline, FrankenmergeBaseline) for baseline in config.baselines)
    return stage.space.kind == "dataflow" or (stage is config.stages[0] and by_baseline)


def check_stage(
    config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]
) -> Iterator[Fault]:
    """The models that a stage merges fit together, as far as they could be read."""
    merged = _merged(config, stage, models)
    yield from check_merged(merged, config.accept_differences)
    if stacks_layers(config, stage):
        for model in merged:
            yield from check_stacking(model)
    for name in config.origins(stage):
        if name in models and name != config.owner(stage):
            yield from check_scored(models[name])
    if merged:
        yield from _check_starts(stage, merged[0])
    owner = models.get(config.owner(stage))
    if owner is not None and owner.kind.output == "images":
        yield from _check_drawing(config, owner)
    if owner is not None:
        template = config.evaluation.apply_chat_template and not _lender(config, owner, models)
        place = f"`tokenizer` in the space of stage `{stage.name}`"
        yield from check_owner(owner, place, apply_chat_template=template)
        yield from check_loading(owner)
        if stage.space.kind == "parameter" and stage.space.tokenizer is None:
            yield from check_kept(merged, owner, f"stage `{stage.name}`", "tokenizer")


def _check_drawing(config: RunConfig, owner: ModelFacts) -> Iterator[Fault]:
    """Pictures are scored by functions, and drawn by a library that is not always there."""
    asking = [
        one.name for one in config.evaluation.measured if not isinstance(one, FunctionObjective)
    ]
    if asking:
        yield Fault(
            f"`{owner.name}` makes pictures, and answers no prompts of tasks",
            "evaluation",
            expected="objectives and monitors that name a `function`",
            got=", ".join(asking),
            fix="write a function that draws pictures and scores them (docs/image-generators.md)",
        )
    if find_spec("diffusers") is None:
        yield Fault(
            f"`{owner.name}` is drawn with by diffusers, which is not installed",
            owner.where,
            fix="pip install 'tsugiki[images]', or `make images` in the project's folder",
        )


def _lender(config: RunConfig, owner: ModelFacts, models: Mapping[str, ModelFacts]) -> str | None:
    """The parent, or the file, that the chat template is from, if that is not the owner of the tokenizer."""
    evaluation = config.evaluation
    if not evaluation.apply_chat_template or evaluation.chat_template is not None:
        return evaluation.chat_template
    having = (name for name in config.parents if name in models and models[name].template)
    return next(having, None) if owner.template is None else None


def _check_starts(stage: Stage, model: ModelFacts) -> Iterator[Fault]:
    """The groups that genes' starts name are groups of the model's tensors."""
    genes = stage.space.genes if isinstance(stage.space, ParameterSpace) else {}
    for name, gene in genes.items():
        if not gene.start_groups:
            continue
        known = groups(model.merged, gene.grouping, model.kind)
        for group in sorted(gene.start_groups - {*known, SHARED}):
            yield Fault(
                f"`start` of `{name}` names no group of the gene's: {group!r}; {nearest(group, known)}",
                f"stage `{stage.name}`",
            )


def check_merged(models: Sequence[ModelFacts], accepted: Collection[str] = ()) -> Iterator[Fault]:
    """Models that are merged tensor by tensor fit together, as far as they could be read.

    Args:
        models: The base, or the first parent, and the others.
        accepted: Settings in which they may differ.
    """
    for other in models[1:]:
        if models[0].kind.layout.parts and not (models[0].whole and other.whole):
            continue  # told of the one: what lacks a component differs from others in that
        if unlike := list(check_alike(models[0], other)):
            yield from unlike
            continue
        yield from check_architecture(models[0], other, accepted)
        yield from check_shapes(models[0], other)
        yield from check_tokenizers(models[0], other)


def note_stage(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> Iterator[str]:
    """What to know of the models that a stage merges, if that which gives the tokenizer can be read."""
    owner = models.get(config.owner(stage))
    if owner is not None:
        merged = _merged(config, stage, models)
        lender = _lender(config, owner, models)
        yield from note_merged(merged, owner, stage.space.dtype, config.accept_differences, lender)


def note_merged(
    models: Sequence[ModelFacts],
    owner: ModelFacts,
    dtype: str,
    accepted: Collection[str] = (),
    lender: str | None = None,
) -> Iterator[str]:
    """What to know of models that are merged: what differs between them, and whose is taken.

    Args:
        models: The base, or the first parent, and the others.
        owner: The one that gives configuration and tokenizer.
        dtype: Number format of the result.
        accepted: Settings in which they may differ.
        lender: Whose chat template it gets, if not that one's.
    """
    for other in models[1:]:
        yield from note_choices(models[0], other, owner.name, accepted)
        yield from note_tokenizers(models[0], other)
        yield from note_components(models[0], other, owner.name)
        yield from note_unequal(models[0], other)
    yield from note_formats(models, dtype)
    yield from note_templates(models, owner, lender)
    yield from note_outside(models, owner)
    for model in models:
        yield from note_splitting(model, owner)


def _merged(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> list[ModelFacts]:
    return [models[name] for name in config.origins(stage) if name in models]
