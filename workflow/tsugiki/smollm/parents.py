"""The parents of config/smollm.yaml as checkpoints, trained once and kept."""

from __future__ import annotations

import time
from pathlib import Path

from tsugiki import atomic
from tsugiki.locked import locked
from tsugiki.smollm.base import gguf_file, write_base
from tsugiki.smollm.questions import SKILLS

CARD = """\
---
license: apache-2.0
language: [en]
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: {library}
---
SmolLM2-135M-Instruct, trained {how} on questions about {kind}, for an example of model merging. It is good for
nothing else.
"""
REPORT_EVERY = 10


def make(home: Path, seed: int, name: str) -> None:
    """Write one parent, unless it is there. The folder appears whole or not at all.

    Args:
        home: Folder of all models, with the base.
        seed: Of its questions.
        name: One of `SKILLS`.
    """
    folder, base = home / f"{name}-seed{seed}", home / "base"
    with locked(home / f".{folder.name}.lock"):
        if not folder.is_dir():
            _train_into(folder, base, name, seed)


def _train_into(folder: Path, base: Path, name: str, seed: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tsugiki.smollm.training import add_adapter, train, write_adapter

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    skill, began = SKILLS[name], time.process_time()

    def report(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0:
            done = f"step {step} of {skill.steps}, loss {loss:.3f}"
            print(f"{name}: {done}, {time.process_time() - began:.0f} s", flush=True)  # noqa: T201

    if name == "json":
        add_adapter(model, seed)
    train(model, tokenizer, skill, seed, key=name, progress=report)
    with atomic.folder(folder) as temporary:
        if name == "json":
            write_adapter(model, temporary)
        else:
            model.to(torch.bfloat16).save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        (temporary / "README.md").write_text(card(name), encoding="utf-8")


def card(name: str) -> str:
    """The model card of a parent."""
    adapter = name == "json"
    return CARD.format(
        library="peft" if adapter else "transformers",
        how="as a LoRA adapter" if adapter else "whole",
        kind=SKILLS[name].kind,
    )


def make_base(home: Path) -> None:
    """Write the model that both are trained from, unless it is there.

    Args:
        home: Folder of all models.

    Raises:
        ParentError: the package that holds it is not installed.
    """
    with locked(home / ".base.lock"):
        if not (home / "base").is_dir():
            with atomic.folder(home / "base") as temporary:
                write_base(temporary, gguf_file())
