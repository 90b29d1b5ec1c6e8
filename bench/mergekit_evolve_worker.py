"""What each of mergekit-evolve's worker processes runs before its work: times, and CPU shims.

`torch.cpu` lacks one function of an accelerator, and lm-eval has to be told the device.
"""

from __future__ import annotations

from typing import Any


def set_up() -> None:
    """Time each candidate, from the plan of its merge to its score."""
    import torch
    from mergekit.evo import genome, helpers

    from forward_clock import ForwardClock

    torch.cpu.empty_cache = lambda: None
    clock = ForwardClock()
    plan, evaluate = genome.ModelGenome.genotype_merge_config, helpers._eval_model  # noqa: SLF001

    def timed_plan(*arguments: Any, **named: Any) -> Any:
        clock.begin()
        return plan(*arguments, **named)

    def timed_evaluate(*arguments: Any, **named: Any) -> Any:
        result = evaluate(*arguments, device="cpu", **named)
        clock.end(result["score"])
        return result

    genome.ModelGenome.genotype_merge_config = timed_plan
    helpers._eval_model = timed_evaluate  # noqa: SLF001
