"""The declared set of output tensors: known before any work, and checked after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.checks.architecture import check_architecture
from tsugiki.models.checks.components import check_alike
from tsugiki.models.checks.shapes import check_shapes
from tsugiki.models.fault import raise_first
from tsugiki.models.kinds.kind import Kind


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the merged model."""

    name: str
    """What methods, groups and masks know it as."""
    stored: str
    """Its name in the owner's files, and in those of the merged model."""
    shape: tuple[int, ...]
    merged: bool
    """Whether it is merged. If not, it is copied from the owner: whole numbers, which are equal in
    all models, and what is no part of what is merged, such as a vision tower."""


@dataclass(frozen=True)
class TensorPlan:
    """Every tensor of the merged model, by name."""

    tensors: tuple[PlannedTensor, ...]
    kind: Kind
    """The kind of model that it is."""

    @property
    def merged(self) -> list[str]:
        """Names of those that are merged."""
        return [tensor.name for tensor in self.tensors if tensor.merged]


def make_plan(models: Sequence[Checkpoint], owner: str | None = None) -> TensorPlan:
    """Decide what tensors a merge of `models` (parents and base) has.

    Every tensor of every model is either planned, or derived from the configuration, or an output
    head that equals the embeddings it is tied to, or no part of what is merged. Of the last ones, those
    of the owner, the first model if absent, are copied and the others' are left.

    Raises:
        ParentError: the models do not have the same tensors, shapes and settings that decide what
            these mean, differ in whole-number tensors, or store a head apart from the embeddings that
            their configuration ties it to.
    """
    for model in models:
        _require_tied(model)
    reference = models[0].facts
    for other in models[1:]:
        raise_first(check_alike(reference, other.facts))
        raise_first(check_architecture(reference, other.facts))
        raise_first(check_shapes(reference, other.facts))
    first = next((model for model in models if model.name == owner), models[0])
    tensors = []
    for name, header in sorted(first.facts.planned.items()):
        merged = all(model.headers[name].is_float for model in models)
        if not merged:
            _require_equal(models, name)
        tensors.append(PlannedTensor(name, first.facts.names[name], header.shape, merged))
    tensors += [
        PlannedTensor(name, name, header.shape, merged=False)
        for name, header in first.outside.items()
    ]
    return TensorPlan(tuple(tensors), first.kind)


def _require_tied(model: Checkpoint) -> None:
    """A stored head that is tied to the embeddings equals them."""
    head = model.facts.tied_head
    if head is None:
        return
    embeddings = next(name for name in model.headers if model.kind.use(name) == "embeddings")
    if not torch.equal(model.tensor(head), model.tensor(embeddings)):
        raise ParentError(
            f"`{model.name}` ties its output head to its embeddings, but stores a different head",
            where=str(model.folder),
            expected=f"{head} equal to {embeddings}, or left out",
            got="different values, of which a loader would silently keep one",
            fix="set tie_word_embeddings to false in its config.json if the stored head is meant, "
            "or else save it again without the head",
        )


def _require_equal(models: Sequence[Checkpoint], name: str) -> None:
    first = models[0]
    for other in models[1:]:
        if not torch.equal(first.tensor(name), other.tensor(name)):
            raise ParentError(
                "a tensor of whole numbers differs between the models, and cannot be averaged",
                where=f"tensor {name}",
                expected=f"equal values in `{first.name}` and `{other.name}`",
                got=f"{first.headers[name].dtype} and {other.headers[name].dtype}, unequal",
            )
