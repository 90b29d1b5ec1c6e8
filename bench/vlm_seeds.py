"""The vision-language demo of config/vlm.yaml over several seeds: is evolution ahead of everything else?

Each seed trains its own parents, draws its own pictures and asks its own questions. Prints what
`bench/demo_seeds.py` prints.

    python bench/vlm_seeds.py [--seeds 1 2 3 4 5]      about three minutes a seed on two cores
"""

from __future__ import annotations

from functools import partial

from demo_seeds import compare, trained_config

SHOW = (
    "Chosen for show: the world of scenes, and how far the parents are trained. Seed 1 was used for that; the "
    "other seeds chose nothing."
)


if __name__ == "__main__":
    compare(__doc__, range(1, 6), partial(trained_config, "vlm", "tsugiki.demo.pictures"), SHOW)
