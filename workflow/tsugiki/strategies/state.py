"""The full state of a strategy between two generations, as arrays in an npz file."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tsugiki.canonical import canonical_json
from tsugiki.json_files import reader

Array = NDArray[np.float64]
_SCALARS = "scalars"


@dataclass(frozen=True)
class State:
    """What a strategy remembers.

    Attributes:
        kind: The strategy's name.
        arrays: float64 arrays by name; their memory order (C or Fortran) is kept, since
            products of matrices in another order differ in the last bits.
        scalars: JSON values by name.
    """

    kind: str
    arrays: dict[str, Array] = field(default_factory=dict)
    scalars: dict[str, Any] = field(default_factory=dict)

    def with_scalars(self, **scalars: Any) -> State:
        """A copy with some scalars set."""
        return State(self.kind, self.arrays, {**self.scalars, **scalars})

    def to_bytes(self) -> bytes:
        """The content of an npz file; equal states give equal bytes."""
        head = canonical_json({"kind": self.kind, **self.scalars})
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            **{_SCALARS: np.frombuffer(head, dtype=np.uint8)},
            **{name: self.arrays[name] for name in sorted(self.arrays)},
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: it is something else, or truncated.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as content:
                scalars = json.loads(content[_SCALARS].tobytes())
                arrays = {name: content[name] for name in content.files if name != _SCALARS}
            return cls(scalars.pop("kind"), arrays, scalars)
        except (OSError, EOFError, LookupError, AttributeError, TypeError, BadZipFile) as error:
            raise ValueError(f"no state of a strategy: {error}") from error


read_state = reader(State.from_bytes, "state of a strategy", missing="the state is missing")
"""Read state.npz; LineageError where it is missing or no state."""
