"""Where the tensors of a checkpoint are in a live model, and putting them there in place.

Transformers may rename tensors when it loads a model, and fuse several into one: the experts of a
block, say, which are stored one by one, are one parameter in memory. It also knows the way back, by
which it saves a model. Walked with the live model's own weights, the way back leads from each stored
name to the part of a parameter that it is, as long as every step of it is a view.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from tsugiki.errors import ParentError
from tsugiki.models.loading import load_tensors
from tsugiki.models.plan import TensorPlan


class LiveWeights:
    """A live model that takes the tensors of a plan. The model may end before this does.

    Raises:
        ParentError: a planned tensor has no place in the model, two have the same, shapes differ,
            or a weight of the model is not planned.
    """

    def __init__(self, plan: TensorPlan, model: nn.Module) -> None:
        self._model = weakref.ref(model)
        self._weights = _addresses(model)
        self._targets = bind(plan, model)
        memory = {_memory(values) for values in model.state_dict(keep_vars=True).values()}
        self._copied = any(_memory(target) not in memory for target in self._targets.values())
        self._waiting: dict[str, Tensor] = {}

    def dtype(self, stored: str) -> torch.dtype | None:
        """The number format of a tensor's place; None if it has none, as it is not used."""
        return self._targets[stored].dtype if stored in self._targets else None

    def fits(self, model: nn.Module) -> bool:
        """Whether it is this model, and its weights are where they were."""
        return self._model() is model and self._weights == _addresses(model)

    @property
    def in_place(self) -> bool:
        """Whether tensors are written as they come, so that none is kept until the end."""
        return not self._copied

    def place(self, stored: str) -> Tensor | None:
        """The tensor's place, if it may be filled piece by piece, in order; otherwise, `put` it."""
        target = self._targets.get(stored)
        if self._copied or target is None or not target.is_contiguous():
            return None
        return target

    def put(self, stored: str, tensor: Tensor) -> None:
        """Write one tensor, by its stored name."""
        if self._copied:
            self._waiting[stored] = tensor
        elif stored in self._targets:
            self._targets[stored].copy_(tensor)

    def finish(self) -> None:
        """Called when all tensors are there.

        Where the way back is not by views alone, the tensors were kept until now, and are loaded as
        a whole, the way that transformers loads a checkpoint.

        Raises:
            ParentError: transformers found no place for a tensor, or no tensor for a weight.
        """
        if not self._copied:
            return
        model, waiting = self._model(), dict(sorted(self._waiting.items()))
        self._waiting = {}
        assert isinstance(model, PreTrainedModel), "others are never taken apart by a copy"
        fresh = load_tensors(type(model), model.config, waiting, dtype=model.dtype)
        if fresh.missing:
            lost = [f"{name}: not loaded" for name in fresh.missing]
            raise _fault(model, len(self._targets), lost)
        target = model.state_dict()
        for name, values in fresh.model.state_dict().items():
            target[name].copy_(values)


class LiveModels:
    """Finds where the tensors of a plan go in a model, once for as long as the model lives.

    It keeps no model alive, nor the memory of its weights.
    """

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[nn.Module, tuple[TensorPlan, LiveWeights]] = (
            WeakKeyDictionary()
        )

    def weights(self, plan: TensorPlan, model: nn.Module) -> LiveWeights:
        """Where they go.

        They are found anew after another plan, or if a weight of the model has been replaced.

        Raises:
            ParentError: the model has other weights than the plan.
        """
        known, weights = self._found.get(model, (None, None))
        if weights is None or known is not plan or not weights.fits(model):
            weights = LiveWeights(plan, model)
            if weights.in_place:  # a merge that fails leaves nothing in them
                self._found[model] = (plan, weights)
        return weights


def bind(plan: TensorPlan, model: nn.Module) -> dict[str, Tensor]:
    """Which of a live model's weights, or which part of one, each stored tensor is.

    Names may differ by the model's own prefix (`model.`, `transformer.`), as between a checkpoint
    with a head and one without. What is not merged and not in the model is left out: vision towers
    store positions that models compute.

    Raises:
        ParentError: a merged tensor has no place in the model, two have the same, shapes differ, or
            a weight of the model is not planned.
    """
    state = _by_stored_name(model)
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    targets: dict[str, Tensor] = {}
    faults = []
    for planned in plan.tensors:
        stored = planned.stored
        names = (stored, prefix + stored, stored.removeprefix(prefix))
        target = next((state[name] for name in names if name in state), None)
        if target is None:
            if planned.merged:
                faults.append(f"{stored}: not in the model")
        elif tuple(target.shape) != planned.shape:
            faults.append(f"{stored}: {list(planned.shape)} / {list(target.shape)}")
        else:
            targets[stored] = target
    faults += _overlaps(targets, state)
    if faults:
        raise _fault(model, len(plan.tensors), faults)
    return targets


def _addresses(model: nn.Module) -> list[int]:
    """Where a model's weights are, in memory."""
    return [values.data_ptr() for values in chain(model.parameters(), model.buffers())]


def _overlaps(targets: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Weights that two tensors would go to, and those that none goes to."""
    owners: dict[int, str] = {}
    faults = []
    for name, target in targets.items():
        if target.data_ptr() in owners:
            other = owners[target.data_ptr()]
            faults.append(f"{name}: tied to {other} in the model, apart in the files")
        owners[target.data_ptr()] = name
    return faults + [
        f"{name}: not in the checkpoints"
        for name, weight in state.items()
        if weight.data_ptr() not in owners
    ]


class _View(Tensor):
    """A tensor that stays a view where it is only asked to lie in memory in order."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.contiguous:
            return args[0]
        return super().__torch_function__(  # type: ignore[no-untyped-call]
            func, types, args, kwargs or {}
        )


def _by_stored_name(model: nn.Module) -> dict[str, Tensor]:
    if isinstance(model, nn.ModuleDict):  # of components
        return {
            f"{component}.{name}": tensor
            for component, part in model.items()
            for name, tensor in _by_stored_name(part).items()
        }
    state = model.state_dict()
    if not isinstance(model, PreTrainedModel):
        return state
    views = {name: values.as_subclass(_View) for name, values in state.items()}
    stored: dict[str, Tensor] = revert_weight_conversion(model, views)
    return {name: values.as_subclass(Tensor) for name, values in stored.items()}


def _memory(tensor: Tensor) -> int:
    """The memory that a tensor is a view of."""
    return tensor.untyped_storage().data_ptr()


def _fault(model: nn.Module, count: int, faults: list[str]) -> ParentError:
    return ParentError(
        "the live model does not have the weights of the parents",
        where=type(model).__name__,
        expected=f"{count} tensors",
        got="\n    ".join(["", *faults[:20]]),
    )
