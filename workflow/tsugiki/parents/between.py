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
from tsugiki.models.checks import architecture, components, numbers, shapes, tokenizers
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault
from tsugiki.models.grouping import groups
from tsugiki.models.kinds.layers import OWNERS


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
            yield from architecture.check_stacking(model)
    for name in config.origins(stage):
        if name in models and name != config.owner(stage):
            yield from tokenizers.check_scored(models[name])
    if merged:
        yield from _check_starts(stage, merged[0])
    owner = models.get(config.owner(stage))
    if owner is not None and owner.kind.output == "images":
        yield from _check_drawing(config, owner)
    if owner is not None:
        template = config.evaluation.apply_chat_template and not _lender(config, models)
        place = f"`tokenizer` in the space of stage `{stage.name}`"
        yield from tokenizers.check_owner(owner, place, apply_chat_template=template)
        yield from tokenizers.check_loading(owner)
        if stage.space.kind == "parameter" and stage.space.tokenizer is None:
            yield from components.check_kept(merged, owner, f"stage `{stage.name}`", "tokenizer")


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


def template_lender(config: RunConfig, templates: Mapping[str, str | None]) -> str | None:
    """The parent, or the file, whose chat template all models of a run have in place of their owner's.

    As configured; else the first parent that has one, where the owner of some stage's tokenizer has none. None
    if each model has its owner's.

    Args:
        config: The run.
        templates: Those of its parents that are at hand, by name; None for a parent without one.
    """
    evaluation = config.evaluation
    if not evaluation.apply_chat_template or evaluation.chat_template is not None:
        return evaluation.chat_template
    owners = {config.owner(stage) for stage in config.stages}
    if all(templates.get(name, "") is not None for name in owners):
        return None
    return next((name for name in config.parents if templates.get(name) is not None), None)


def _lender(config: RunConfig, models: Mapping[str, ModelFacts]) -> str | None:
    return template_lender(config, {name: one.template for name, one in models.items()})


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
    """Models that are merged tensor by tensor fit together, as far as they could be read."""
    for other in models[1:]:
        if models[0].kind.layout.parts and not (models[0].whole and other.whole):
            continue  # told of the one: what lacks a component differs from others in that
        if unlike := list(components.check_alike(models[0], other)):
            yield from unlike
            continue
        yield from architecture.check_architecture(models[0], other, accepted)
        yield from shapes.check_shapes(models[0], other)
        yield from tokenizers.check_tokenizers(models[0], other)


def check_path(
    owner: ModelFacts, others: Sequence[ModelFacts], accepted: Collection[str] = ()
) -> Iterator[Fault]:
    """The layers of other models may run with the settings of a path's owner, as far as they could be read.

    Numbers of layers and vocabularies may differ: each layer comes as it is, and rows for tokens are the owner's.
    """
    layers = owner.kind.stackable.get(owner.kind.layers_as_in(owner.config) or "")
    passed = OWNERS.union(layers.per_layer if layers is not None else ())
    for other in others:
        yield from architecture.check_architecture(owner, other, accepted, passed=passed)


def note_stage(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> Iterator[str]:
    """What to know of the models that a stage merges, if that which gives the tokenizer can be read."""
    owner = models.get(config.owner(stage))
    if owner is not None:
        merged = _merged(config, stage, models)
        accepted, lender = config.accept_differences, _lender(config, models)
        yield from note_merged(merged, owner, stage.space.dtype, accepted, lender)


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
        yield from architecture.note_choices(models[0], other, owner.name, accepted)
        yield from tokenizers.note_tokenizers(models[0], other)
        yield from components.note_components(models[0], other, owner.name)
        yield from numbers.note_unequal(models[0], other)
    yield from numbers.note_formats(models, dtype)
    yield from tokenizers.note_templates(models, owner, lender)
    yield from components.note_outside(models, owner)
    for model in models:
        yield from tokenizers.note_splitting(model, owner)


def _merged(config: RunConfig, stage: Stage, models: Mapping[str, ModelFacts]) -> list[ModelFacts]:
    return [models[name] for name in config.origins(stage) if name in models]
