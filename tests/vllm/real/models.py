"""Small runs over models that vLLM can hold: its attention takes heads of 32 numbers or more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.evaluate.test_batch import with_evaluation
from tests.parents.checkpoints import write_llama
from tests.runs_for_tests import (
    PARENTS,
    TinyRun,
    evaluation_section,
    raw_config,
    start_run,
    write_tasks,
)
from tsugiki.config.run import RunConfig

WORDS = [{"name": "even", "task": "words", "metric": "even,none"}]
HIDDEN, KEYS = 64, 32
SHAPE = {
    "hidden_size": HIDDEN,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 96,
}


def write_model(folder: Path, seed: int, *, extra: Any = None, **changes: Any) -> Path:
    """A llama with such heads; with `attention_bias=True`, it has those, too."""
    biases = {}
    if changes.get("attention_bias"):
        generator = torch.Generator().manual_seed(seed)
        widths = {"q": HIDDEN, "k": KEYS, "v": KEYS, "o": HIDDEN}
        biases = {
            f"model.layers.{layer}.self_attn.{name}_proj.bias": torch.randn(
                width, generator=generator
            )
            for layer in range(2)
            for name, width in widths.items()
        }
    return write_llama(folder, seed=seed, extra=biases | (extra or {}), **(SHAPE | changes))


def run_of(
    folder: Path,
    *,
    also: Sequence[str] = (),
    rows: Sequence[dict[str, Any]] | None = None,
    **changes: Any,
) -> TinyRun:
    """A run of 20 questions over a base and two parents, and others that are there already.

    Args:
        folder: Where everything is.
        also: Names of models in `folder / "models"` that are parents, too.
        rows: Documents of the task; the usual ones if absent.
        changes: Entries of the models' config.json.
    """
    models, tasks = folder / "models", write_tasks(folder / "tasks", rows=rows)
    for seed, name in enumerate(("base", *PARENTS)):
        write_model(models / name, seed, **changes)
    items = {"search": 20, "validation": 3, "test": 4}
    section = evaluation_section(tasks, objectives=WORDS, items=items)
    raw = raw_config(models, tasks, folder / "results", evaluation=section)
    raw["parents"] |= {name: {"path": str(models / name)} for name in also}
    return start_run(raw)


def on_vllm(run: TinyRun, **changes: Any) -> RunConfig:
    """The run's configuration with the other backend."""
    return with_evaluation(run, backend="vllm", device="cuda", **changes)
