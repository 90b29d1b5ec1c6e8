"""All rules for rungs. A configuration chooses one by its `kind`."""

from __future__ import annotations

from tsugiki.strategies.rungs.halving import Halving
from tsugiki.strategies.rungs.none import NoneLeft
from tsugiki.strategies.rungs.racing import Racing

AnyRule = NoneLeft | Halving | Racing
