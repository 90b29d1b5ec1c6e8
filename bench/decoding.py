"""Seconds to generate a token on a GPU: steps that are captured once, beside transformers' `generate`.

    python bench/decoding.py [--sizes 1b 7b] [--rows 32 128] [--prompt 200] [--answer 128] [--compiled]

Random llamas answer random prompts of unequal length. Each way decodes the same batch three times; the
first time, which captures or compiles, is printed beside the best of the others. The floor is the time to
read all weights once, at the speed of a copy within the GPU's memory. With `--compiled`,
transformers' own static cache is measured as well, for which it compiles the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from gpu_seconds import seconds
from llama_shapes import SIZES, random_llama
from tsugiki.evaluate.captured import CapturedDecoding

ROUNDS = 3


def main() -> None:
    """Print a row for each size, batch and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1b", "7b"])
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--prompt", type=int, default=200)
    parser.add_argument("--answer", type=int, default=128)
    parser.add_argument("--compiled", action="store_true")
    given = parser.parse_args()
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}; copies {speed() / 1e12:.2f} TB/s"
    )
    for name in given.sizes:
        model = random_llama(name, "cuda")
        size = sum(weights.nbytes for weights in model.parameters())
        floor = size / speed() * 1e3
        for rows in given.rows:
            measure(name, model, rows, given.prompt, given.answer, floor, compiled=given.compiled)
        del model
        torch.cuda.empty_cache()


def speed() -> float:
    """Bytes read and written in a second by a copy within the GPU's memory."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(seconds(lambda: target.copy_(source)) for _ in range(5))


def measure(
    name: str, model: Any, rows: int, prompt: int, answer: int, floor: float, *, compiled: bool
) -> None:
    """Time all ways for one batch."""
    torch.manual_seed(1)
    context = torch.randint(10, 30000, (rows, prompt), device="cuda")
    mask = torch.ones_like(context)
    for row in range(rows):
        mask[row, : row * prompt // (2 * rows)] = 0
    settings = {
        "input_ids": context,
        "attention_mask": mask,
        "max_new_tokens": answer,
        "min_new_tokens": answer,
        "do_sample": False,
        "pad_token_id": 0,
    }
    decoding = CapturedDecoding(model, rows=rows, note=lambda *_: None)
    never = torch.zeros(rows, dtype=torch.bool)
    ways: dict[str, Callable[[], Any]] = {"generate": lambda: model.generate(**settings)}
    if compiled:
        ways["generate, compiled"] = lambda: model.generate(
            **settings, cache_implementation="static"
        )
    ways["captured"] = lambda: decoding.generate(
        context, mask, max_length=prompt + answer, pad=0, watch=lambda: lambda _tokens: never
    )
    base = 0.0
    for way, work in ways.items():
        took = [seconds(work) for _ in range(ROUNDS)]
        best = min(took[1:]) / answer * 1e3
        base = base or best
        print(
            f"{name:5}{rows:5} rows  {way:26}{best:8.2f} ms a token  {base / best:6.2f} times generate  "
            f"{best / floor:6.2f} floors  first {took[0]:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
