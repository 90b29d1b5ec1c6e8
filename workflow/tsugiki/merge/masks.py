"""DARE's random masks: one uniform number per element, a pure function of named parts.

SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators",
https://doi.org/10.1145/2660193.2660195) is used as a counter-based generator: the i-th number of
the stream with seed `key` is ``mix(key + (i + 1) * GAMMA)``, so that any element can be drawn alone,
in any order, on any device.

An element is kept where its number is below the density. The mask of a smaller density is therefore
contained in that of a larger one, and a small change of density changes few elements, which keeps
the fitness of neighbouring candidates comparable (common random numbers).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from tsugiki.keyed import key64

GAMMA = 0x9E3779B97F4A7C15
FACTOR_1 = 0xBF58476D1CE4E5B9
FACTOR_2 = 0x94D049BB133111EB
BITS = 24
"""Bits of a uniform number: as many as a float32 holds exactly."""
UNIT = 1.0 / (1 << BITS)
"""Step between uniform numbers."""
PIECE = 1 << 16
"""Elements that a processor draws at a time, so that the integers stay in its cache."""
PIECE_ON_DEVICE = 1 << 24
"""Elements that another device draws at a time: the integers take some hundred megabytes."""


@lru_cache(maxsize=1 << 16)
def mask_key(mask_seed: int, tensor: str, parent_digest: str) -> int:
    """The 64-bit key of one parent's mask for one tensor."""
    return key64("dare", mask_seed, tensor, parent_digest)


def uniforms(key: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """The first `count` numbers of the stream `key`.

    Returns:
        float32 of shape (count,), multiples of 2**-24 in [0, 1).
    """
    out = torch.empty(count, dtype=torch.float32, device=device)
    step = PIECE if out.is_cpu else PIECE_ON_DEVICE
    for start in range(0, count, step):
        piece = out[start : start + step]
        counter = torch.arange(start + 1, start + 1 + piece.numel(), device=device)
        bits = _mix(counter.mul_(_signed(GAMMA)).add_(_signed(key)))
        piece.copy_(_shift(bits, 64 - BITS)).mul_(UNIT)
    return out


def cut(density: float) -> float:
    """The least multiple of 2**-24 that is not below `density`.

    For the multiples u of 2**-24 that `uniforms` gives, ``u < cut(density)`` in float32 is exactly
    ``u < density`` in real numbers.
    """
    steps: int = math.ceil(density * (1 << BITS))
    return steps * UNIT


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)).mul_(_signed(FACTOR_1))
    x = (x ^ _shift(x, 27)).mul_(_signed(FACTOR_2))
    return x ^ _shift(x, 31)


def _shift(x: Tensor, places: int) -> Tensor:
    """Shift to the right, filling with zeros; torch's own fills int64 with the sign."""
    return (x >> places).bitwise_and_((1 << (64 - places)) - 1)


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit number."""
    return value - (1 << 64) if value >= 1 << 63 else value
