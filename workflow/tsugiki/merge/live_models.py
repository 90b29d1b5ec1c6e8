"""Live models that candidates are merged into, one candidate after another."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from tsugiki.merge.live import LiveWeights
from tsugiki.models.plan import TensorPlan


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
