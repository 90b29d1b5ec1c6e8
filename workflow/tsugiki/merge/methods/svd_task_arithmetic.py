"""Task arithmetic on singular components: the leading ones of each task vector have a weight of their own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tsugiki.merge.method import MergeInputs, Method, OptionSpec, ParameterSpec, Value


def decompose(change: Tensor, options: Mapping[str, Value]) -> Tensor:
    """The leading singular components of matrices, each by itself.

    Args:
        change: float32, shape (..., m, n), finite, not empty.
        options: `share` says which part of the min(m, n) components leads; at least one does.

    Returns:
        float32, shape (..., k, m + n): of each component its left vector times the singular value, then its
        right vector.
    """
    count = max(1, round(float(options["share"]) * min(change.shape[-2:])))
    u, s, vh = torch.linalg.svd(change, full_matrices=False)
    left = u[..., :count] * s[..., None, :count]
    return torch.cat([left.mT, vh[..., :count, :]], dim=-1)


def merge(inputs: MergeInputs) -> Tensor:
    """Base plus each task vector, its leading singular components by one factor, the rest by another."""
    merged = inputs.tensors.values(None).clone()
    factors = zip(inputs.per_parent["weight"], inputs.per_parent["rest"], strict=True)
    for index, (weight, rest) in enumerate(factors):
        change = inputs.task_vector(index)
        if change.dim() < 2:
            merged.add_(change, alpha=weight)
            continue
        merged.add_(change, alpha=rest)
        if weight != rest and change.numel() and torch.isfinite(change).all():
            found = inputs.tensors.decomposition(index)
            if found is None:
                found = decompose(change, inputs.options)
            rows = change.shape[-2]
            merged.add_(found[..., :rows].mT @ found[..., rows:], alpha=weight - rest)
    return merged


METHOD = Method(
    name="svd_task_arithmetic",
    title="Task arithmetic on singular components",
    paper="Kuroki et al. 2025, Agent Skill Acquisition for Large Language Models via CycleQD, "
    "https://arxiv.org/abs/2410.14735 (its mutation, as parameters)",
    equation="merged = base + sum_i U_i diag(w_i * s_i) V_i^T,  "
    "U_i diag(s_i) V_i^T = parent_i - base,  "
    "w_ij = weight_i for the k largest s_ij, rest_i for the others",
    merge=merge,
    decompose=decompose,
    parameters=(
        ParameterSpec(
            "weight", True, -10.0, 10.0, 1.0, (0.0, 1.5),
            "Factor of the leading singular components of the parent's task vector.",
        ),
        ParameterSpec(
            "rest", True, -10.0, 10.0, 1.0, (0.0, 1.5), "Factor of its other components."
        ),
    ),
    options=(
        OptionSpec("share", 0.1, "Share of the components that lead; at least one does.", 0.0, 1.0),
    ),
)  # fmt: skip
