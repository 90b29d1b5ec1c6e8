"""Tensors whose number format differs between parents that are otherwise stored alike."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.parents.checkpoints import CONFIG, llama_tensors, write_llama
from tsugiki.parents.preflight import preflight

from .runs import run_of


def unequal(folder: Path) -> list[str]:
    """The notes that name a format in each of two parents."""
    parents = {name: {"path": str(folder / name)} for name in ("base", "a")}
    report = preflight(run_of(parents, base="base", method="task_arithmetic"))
    return [note for note in report.notes if " in base, " in note]


def test_head_routers_and_tower_of_another_format_are_named(tmp_path: Path) -> None:
    """One line for each pair of formats; blocks are counted together."""
    head = llama_tensors(CONFIG)["lm_head.weight"]
    router, tower = torch.zeros(4, 16), torch.zeros(3, 3)
    names = [f"model.layers.{layer}.mlp.gate.weight" for layer in range(2)]
    for name, kind in (("base", torch.bfloat16), ("a", torch.float32)):
        extra = {"lm_head.weight": head.to(kind)} | {
            one: router.to(kind, copy=True) for one in names
        }
        extra |= {"visual.patch.weight": tower.to(torch.float16 if name == "a" else torch.bfloat16)}
        write_llama(tmp_path / name, dtype=torch.bfloat16, extra=extra)
    assert unequal(tmp_path) == [
        "lm_head.weight, model.layers.*.mlp.gate.weight: bfloat16 in base, float32 in a",
        "visual.patch.weight: bfloat16 in base, float16 in a",
    ]


def test_models_of_two_formats_are_told_once(tmp_path: Path) -> None:
    """Where all tensors differ, the models do, and another note says so."""
    write_llama(tmp_path / "base", dtype=torch.bfloat16)
    write_llama(tmp_path / "a", dtype=torch.float32)
    assert unequal(tmp_path) == []
