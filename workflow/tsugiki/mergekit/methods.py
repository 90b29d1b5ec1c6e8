"""What each merge method's parameters are called in mergekit, and what they may be there.

Compared with mergekit 0.1.5 (Goddard et al. 2024, https://arxiv.org/abs/2403.13257).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tsugiki.config.load import nearest
from tsugiki.errors import RecipeError

Fixed = bool | float


@dataclass(frozen=True)
class Counterpart:
    """A method of the same name in mergekit."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """Name there of what can differ between tensors, by the name here."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Name there of what holds for the whole merge, by the name here."""
    fixed: Mapping[str, Fixed] = field(default_factory=dict)
    """What can be chosen there, but only has this value here; it is the default there."""
    idle: frozenset[str] = frozenset()
    """What can be given there and changes no result, or none but its rounding."""

    @property
    def names(self) -> frozenset[str]:
        """Every parameter that may be given there."""
        named = {*self.parameters.values(), *self.options.values(), *self.fixed, *self.idle}
        return frozenset(named - {VECTORS} | (NUSLERP if VECTORS in named else set()))


PER_INPUT = frozenset({"weight", "density", "gamma", "epsilon", "scale"})
"""Parameters that mergekit looks up for each model; the others belong to a slice or the file."""
REQUIRED = frozenset({"weight", "t"})
"""Parameters that mergekit has no default for. All its other defaults are the same as here."""
VECTORS = "vectors"
"""NuSlerp's option, which mergekit spreads over two parameters."""
NUSLERP = frozenset({"nuslerp_flatten", "nuslerp_row_wise"})

_SUM = {"normalize": "normalize", "lambda": "lambda"}
_WEIGHT = {"weight": "weight"}
_SPARSE = _WEIGHT | {"density": "density"}
_INT8 = frozenset({"int8_mask"})

COUNTERPARTS: dict[str, Counterpart] = {
    "linear": Counterpart(_WEIGHT, {"normalize": "normalize"}),
    "task_arithmetic": Counterpart(_WEIGHT, _SUM, {}, _INT8 | {"density", "rescale"}),
    "ties": Counterpart(_SPARSE, _SUM, {"rescale": False}, _INT8),
    "dare_linear": Counterpart(_SPARSE, _SUM, {"rescale": True}, _INT8),
    "dare_ties": Counterpart(_SPARSE, _SUM, {"rescale": True}, _INT8),
    "breadcrumbs": Counterpart(_SPARSE | {"gamma": "gamma"}, _SUM, {"rescale": False}, _INT8),
    "breadcrumbs_ties": Counterpart(_SPARSE | {"gamma": "gamma"}, _SUM, {"rescale": False}, _INT8),
    "della_linear": Counterpart(_SPARSE, _SUM | {"epsilon": "epsilon"}, {"rescale": True}, _INT8),
    "della": Counterpart(_SPARSE, _SUM | {"epsilon": "epsilon"}, {"rescale": True}, _INT8),
    "model_stock": Counterpart({}, {"filter_wise": "filter_wise"}),
    "sce": Counterpart({"select_topk": "select_topk"}, {}, {}, _INT8),
    "slerp": Counterpart({"t": "t"}),
    "nuslerp": Counterpart(_WEIGHT, {VECTORS: VECTORS}),
    "multislerp": Counterpart(_WEIGHT, {}, {"normalize_weights": True}, frozenset({"eps"})),
    "karcher": Counterpart({}, {"iterations": "max_iter", "tolerance": "tol"}),
    "passthrough": Counterpart({"scale": "scale"}),
}


def counterpart(method: str) -> Counterpart:
    """The method of that name in mergekit.

    Raises:
        RecipeError: it has none that is the same as here.
    """
    if method not in COUNTERPARTS:
        raise RecipeError(
            "this merge method cannot be expressed both here and in mergekit",
            got=f"`{method}`",
            fix=nearest(method, COUNTERPARTS),
        )
    return COUNTERPARTS[method]


def to_nuslerp(vectors: str) -> dict[str, bool]:
    """Mergekit's parameters for a value of the option `vectors`.

    `rows` here is mergekit's default without flattening; its `row_wise` is `columns` here.
    """
    return {"nuslerp_flatten": vectors == "tensor", "nuslerp_row_wise": vectors == "columns"}


def from_nuslerp(*, flatten: bool, row_wise: bool) -> str:
    """The option `vectors` for mergekit's parameters."""
    if flatten:
        return "tensor"
    return "columns" if row_wise else "rows"
