"""The demo's three models as checkpoints, trained once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tsugiki import atomic
from tsugiki.demo.specification import SHAPE, TRAINING, ModelName, Training, key
from tsugiki.locked import locked

REPORT_EVERY = 100
"""Steps between two lines of progress."""

ROLES: dict[ModelName, str] = {
    "base": "It reads English and Japanese stories and knows a little maths in both.",
    "japanese": "It reads Japanese better than its base and is weak at maths.",
    "maths": "It solves maths problems in English and has forgotten Japanese.",
}


def ensure_demo_parent(
    name: ModelName, seed: int, cache: Path, *, log: Callable[[str], None] = print
) -> Path:
    """Train one of the demo's models, unless the cache already holds it.

    The folder appears whole or not at all. Processes that ask for the same model at the same time
    train it once: the others wait. An expert's base is ensured first, in a folder of its own.

    Args:
        name: Which model.
        seed: Seed of its initial weights and training text.
        cache: Folder that holds all demo models.
        log: Takes a line of progress now and then.

    Returns:
        The checkpoint's folder, `cache/<name>-seed<seed>-<first 8 digits of the model's key>`.
    """
    return ensure_trained(name, seed, cache, TRAINING, log=log)


def ensure_trained(
    name: ModelName,
    seed: int,
    cache: Path,
    trainings: Mapping[ModelName, Training],
    *,
    log: Callable[[str], None] = print,
) -> Path:
    """`ensure_demo_parent` with other training specifications."""
    folder = cache / f"{name}-seed{seed}-{key(name, seed, trainings)[:8]}"
    if folder.is_dir():
        return folder
    start = trainings[name].start
    start_folder = ensure_trained(start, seed, cache, trainings, log=log) if start else None
    with locked(cache / f".{folder.name}.lock"):
        atomic.sweep(cache)
        if not folder.is_dir():
            _train_into(folder, name, seed, trainings[name], start_folder, log)
    return folder


def _train_into(
    folder: Path,
    name: ModelName,
    seed: int,
    training: Training,
    start: Path | None,
    log: Callable[[str], None],
) -> None:
    # Imported here: a cached model is found without loading torch.
    from transformers import LlamaForCausalLM

    from tsugiki.demo.tokenizer import build_tokenizer
    from tsugiki.demo.training import build_model, train

    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0 or step == training.steps:
            seconds = time.monotonic() - began
            log(
                f"demo {name} (seed {seed}): step {step} of {training.steps}, "
                f"loss {loss:.3f}, {seconds:.0f} s"
            )

    model = LlamaForCausalLM.from_pretrained(start) if start else build_model(SHAPE, seed)
    train(model, training, purpose=f"{name}-{seed}", progress=report)
    with atomic.folder(folder) as temporary:
        model.save_pretrained(temporary)
        build_tokenizer().save_pretrained(temporary)
        (temporary / "README.md").write_text(_card(name, seed, training), encoding="utf-8")


def _card(name: ModelName, seed: int, training: Training) -> str:
    """The model card: what it is, what it was trained on, what it is not good for."""
    kinds = "\n".join(f"- {kind}: {share}" for kind, share in training.mixture.items())
    base = f"base_model: demo-{training.start}\n" if training.start else ""
    return f"""---
license: apache-2.0
language:
- en
- ja
library_name: transformers
{base}tags:
- tsugiki-demo
---
# Demo model `{name}`, seed {seed}

A tiny llama ({SHAPE.blocks} blocks, width {SHAPE.hidden}) that tsugiki trained on this machine for
its demo of model merging. {ROLES[name]}

It knows about a hundred words of made-up stories and is good for nothing else.

Training: {training.steps} steps of {training.batch} documents, from {training.start or "random weights"}.
Kinds of documents and their relative frequency:

{kinds}
"""
