"""A bounded store of tensors that are computed once and used for many candidates."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock

from torch import Tensor


class TensorCache:
    """Keeps what is asked for until it is full; what does not fit is computed every time.

    Results do not depend on what is kept. Several threads may ask, best for different tensors.

    Args:
        limit: Most bytes to hold.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._kept: dict[Hashable, Tensor] = {}
        self._lock = Lock()

    def get(self, key: Hashable, size: int, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of that key, which takes `size` bytes."""
        kept = self._kept.get(key)
        if kept is None:
            kept = make()
            with self._lock:
                if key not in self._kept and self.used + size <= self.limit:
                    self._kept[key] = kept
                    self.used += size
        return kept

    def holds(self, key: Hashable, size: int) -> bool:
        """Whether `get` would keep the tensor, or has kept it."""
        return key in self._kept or self.used + size <= self.limit
