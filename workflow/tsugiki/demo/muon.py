"""Muon: momentum, orthogonalised by a Newton-Schulz iteration, for matrices inside a network.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. torch's
own Muon iterates in bfloat16, which CPUs without such instructions run many times slower than the
float32 used here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values to about 1."""
ITERATIONS = 5
EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    Args:
        matrices: Parameters with two dimensions.
        lr: Learning rate: about the spectral norm of a step for a square matrix.
        momentum: Share of the old momentum that is kept.
        weight_decay: Share of a weight that is removed per unit of learning rate.
    """

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step. Matrices of one shape are orthogonalised together."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._step_together(parameters, group)

    def _step_together(self, parameters: list[torch.nn.Parameter], group: dict[str, Any]) -> None:
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            gradient = parameter.grad
            assert gradient is not None
            momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
            updates.append(gradient.lerp(momentum, group["momentum"]))
        rows, columns = parameters[0].shape
        scale = group["lr"] * max(1.0, rows / columns) ** 0.5
        for parameter, update in zip(parameters, orthogonalised(torch.stack(updates)), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.sub_(update, alpha=scale)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Bring the singular values of each matrix to about 1 (between 0.7 and 1.2).

    Args:
        matrices: float32 of shape (matrices, rows, columns).

    Returns:
        A new tensor of the same shape.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
