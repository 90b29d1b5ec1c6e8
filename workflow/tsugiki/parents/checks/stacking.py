"""Whether a parent's layers can stand in any order, as data-flow space and stacks need it."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.config.run import RunConfig
from tsugiki.config.stack_baseline import StackBaseline
from tsugiki.config.stage import Stage
from tsugiki.merge.dataflow.layers import unknown_tensors
from tsugiki.merge.dataflow.registry import ARCHITECTURES, reason
from tsugiki.parents.fault import Fault, listed
from tsugiki.parents.model import Model


def stacks_layers(config: RunConfig, stage: Stage) -> bool:
    """Whether layers of the stage's parents are stacked, by the stage or by a baseline."""
    by_baseline = any(isinstance(baseline, StackBaseline) for baseline in config.baselines)
    return stage.space.kind == "dataflow" or (stage is config.stages[0] and by_baseline)


def check_stacking(model: Model) -> Iterator[Fault]:
    """The part of each tensor in its layer is known."""
    kind = model.config.get("model_type")
    if kind is None:
        return
    if kind not in ARCHITECTURES:
        yield Fault(
            f"the layers of `{model.name}` cannot be merged in data-flow space",
            f"{model.where}, config.json",
            expected="model_type " + ", ".join(sorted(ARCHITECTURES)),
            got=f"{kind}: {reason(str(kind))}",
            fix="merge it in parameter space, and leave out baselines of the kind `stack`",
        )
    elif unknown := unknown_tensors(model.tensors, ARCHITECTURES[kind]):
        yield Fault(
            f"`{model.name}` has tensors whose part in its layers is not known",
            model.where,
            expected=f"the tensors of a {kind}",
            got=listed(unknown),
            fix="merge it in parameter space, and leave out baselines of the kind `stack`",
        )
