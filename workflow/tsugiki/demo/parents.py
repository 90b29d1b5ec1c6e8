"""The demo's three models as checkpoints, trained once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tsugiki.demo.kept import kept, reporter
from tsugiki.demo.specification import SHAPE, TRAINING, ModelName, Training, key

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
    base = ensure_trained(start, seed, cache, trainings, log=log) if start else None

    def write(into: Path) -> None:
        _train_into(into, name, seed, trainings[name], base, log)

    return kept(folder, write)


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

    report = reporter(f"demo {name} (seed {seed})", training.steps, log, every=REPORT_EVERY)
    model = LlamaForCausalLM.from_pretrained(start) if start else build_model(SHAPE, seed)
    train(model, training, purpose=f"{name}-{seed}", progress=report)
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    (folder / "README.md").write_text(_card(name, seed, training), encoding="utf-8")


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
