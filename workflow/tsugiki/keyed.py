"""Keyed randomness: every random number is a function of named parts, never of global state."""

from __future__ import annotations

import hashlib

import numpy as np


def key64(*parts: str | int) -> int:
    """A 64-bit key from the parts' text; ``("a", "bc")`` and ``("ab", "c")`` differ."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        text = str(part).encode()
        state.update(len(text).to_bytes(4, "little"))
        state.update(text)
    return int.from_bytes(state.digest(), "little")


def generator(*parts: str | int) -> np.random.Generator:
    """A counter-based generator (Philox 4x64) for one purpose."""
    return np.random.Generator(np.random.Philox(key=key64(*parts)))
