"""How far folded models are from the explicit form, over random paths through real parents.

Paths are the first parent's own layers with one layer of any parent put in at a random place, and a
scale on every hop. Prints, for each spread of the scales and number format, the median and the
largest difference of the logits (by their standard deviation), and the share of places at which
both forms predict the same token.

    python bench/folding.py FOLDER [FOLDER ...] [--paths 10]
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch

from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.keyed import generator
from tsugiki.merge.dataflow.explicit import folding_difference
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.models import OpenModels
from tsugiki.models.checkpoint import Checkpoint

SPREADS = (0.05, 0.2, 0.4)
UNREAD = "0" * 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parents", type=Path, nargs="+")
    parser.add_argument("--paths", type=int, default=10)
    arguments = parser.parse_args()
    folders = {folder.resolve().name: folder for folder in arguments.parents}
    layers = {
        name: int(Checkpoint(name, folder).config["num_hidden_layers"])
        for name, folder in folders.items()
    }
    live = LiveDataflow(OpenModels(folders, dict.fromkeys(folders, UNREAD)), torch.device("cpu"))
    print("scales            format     median    largest  same token")
    for spread in SPREADS:
        for signs in (False, True):
            for dtype in ("float32", "bfloat16"):
                found = [
                    folding_difference(live, path(layers, spread, signs, dtype, number))
                    for number in range(arguments.paths)
                ]
                print(
                    f"1 ± {spread:4}{', signs' if signs else '':7}  {dtype:8}"
                    f"{statistics.median(one.relative for one in found):10.2e}"
                    f"{max(one.relative for one in found):11.2e}"
                    f"{statistics.mean(one.agreement for one in found):11.1%}",
                    flush=True,
                )


def path(
    layers: dict[str, int], spread: float, signs: bool, dtype: str, number: int
) -> DataflowRecipe:
    """A random path."""
    random = generator(number, "bench folding")
    owner, *_ = layers
    steps = [(owner, layer) for layer in range(layers[owner])]
    other = list(layers)[int(random.integers(len(layers)))]
    place = int(random.integers(1, len(steps)))
    steps.insert(place, (other, int(random.integers(layers[other]))))
    scales = np.clip(1 + spread * random.standard_normal(len(steps)), 0.1, None)
    if signs:
        scales *= random.choice([-1, 1], size=len(steps))
    return DataflowRecipe(
        parents=tuple(ParentRef(name=name, digest=UNREAD) for name in layers),
        owner=owner,
        path=tuple(
            Hop(parent=parent, layer=layer, scale=float(scale))
            for (parent, layer), scale in zip(steps, scales, strict=True)
        ),
        dtype=dtype,  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()
