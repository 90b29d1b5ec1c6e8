"""The real language model of config/smollm.yaml over several seeds: is evolution ahead of everything else?

Each seed trains its own parents on its own questions, poses others, and draws its own candidates and masks.
Prints what `bench/demo_seeds.py` prints. Settings were chosen with the parents of seed 1.

    python bench/smollm_seeds.py [--seeds 1 2 3]      about 40 minutes a seed on two cores
"""

from __future__ import annotations

from functools import partial

from demo_seeds import compare, trained_config

SHOW = (
    "Chosen for show: a format that the one parent never saw and a skill that the other never saw. Settings were "
    "chosen on the parents of seed 1; the other seeds chose nothing."
)


if __name__ == "__main__":
    compare(__doc__, range(1, 4), partial(trained_config, "smollm", "tsugiki.smollm"), SHOW)
