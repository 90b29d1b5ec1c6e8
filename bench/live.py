"""How long a candidate is built in a live model, beside a plain copy of a parent into that model.

Usage: python bench/live.py [--hidden N ...] [--threads N ...] [--rounds N] [--only METHOD ...]
       [--dtype FORMAT]

Makes random llamas, a base and three parents, and merges them again and again into one
live model on the CPU, each time with other weights, as a search does. A copy reads one parent's files,
which are in the page cache, and writes the live model's weights, by one thread. Copy and merges take
turns; the best of all rounds counts. The processor's time, of all threads, is what other work on the
machine disturbs less. Ratios are to the copy.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from materialize import CASES, DIGESTS, NAMES, Case, Time, recipe_of
from tsugiki.contracts.recipe import Recipe
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.models.kinds.text import SINGLE

SHAPES = {512: (5, 3000), 1024: (19, 32000)}
"""Layers and words of models by their width: 19 million and 0.31 billion parameters."""


def save_models(root: Path, hidden: int, dtype: torch.dtype) -> dict[str, Path]:
    """Save a base, and parents that are small steps from it."""
    layers, words = SHAPES[hidden]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=hidden,
        intermediate_size=11 * hidden // 4,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
    )
    base = LlamaForCausalLM(config)
    for name in NAMES:
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for made, start in zip(model.parameters(), base.parameters(), strict=True):
                made.mul_(0.0 if name == "base" else 0.1).add_(start)
        model.to(dtype).save_pretrained(root / name)
    return {name: root / name for name in NAMES}


def copy(parent: Path, model: nn.Module) -> None:
    """Write a parent's weights into the model."""
    places = model.state_dict()
    for name, values in load_file(parent / SINGLE).items():
        places[name].copy_(values)


def recipe(case: Case, dtype: str, step: int) -> Recipe:
    """A case's recipe, with weights of its own at each step."""
    values = {**case.values, "weight": 0.4 + 0.001 * step}
    return recipe_of(replace(case, values=values)).model_copy(update={"dtype": dtype})


def measure(
    cases: list[Case], folders: Mapping[str, Path], dtype: str, threads: list[int], rounds: int
) -> None:
    """Time all cases in turns with the copy, and print a row for each."""
    model = LlamaForCausalLM.from_pretrained(folders["base"], dtype=dtype)
    merger = InPlaceMerger(folders, DIGESTS)
    copies: list[Time] = []
    merges: dict[tuple[str, int], list[Time]] = {}
    for step in range(rounds + 1):  # the first one compiles loops and fills what is kept
        copies.append(Time.of(lambda: copy(folders["a"], model)))
        for case in cases:
            for count in threads:
                made = recipe(case, dtype, step)
                took = Time.of(lambda r=made, n=count: merger.load_into(r, model, threads=n))
                merges.setdefault((case.method, count), []).append(took)
    copied = Time.best(copies[1:])
    size = sum(weights.numel() for weights in model.parameters())
    print(f"{size / 1e6:.0f} million parameters; a copy takes {copied.clock:.4f} s", flush=True)
    for (method, count), times in merges.items():
        best = Time.best(times[1:])
        ratios = (best.clock / copied.clock, best.processor / copied.processor)
        print(
            f"{method:16}{count:2} threads  {best.clock:7.4f} s, processor {best.processor:7.4f} s  "
            f"{ratios[0]:5.2f} copies (processor {ratios[1]:5.2f})  "
            f"{best.processor / size * 1e9:5.2f} ns a number"
        )


def main() -> None:
    """Make models of each size, and time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["linear", "ties", "dare_ties"])
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root, torch.no_grad():
        for hidden in given.hidden:
            folders = save_models(Path(root) / str(hidden), hidden, getattr(torch, given.dtype))
            cases = [case for case in CASES if case.method in given.only]
            measure(cases, folders, given.dtype, given.threads, given.rounds)


if __name__ == "__main__":
    main()
