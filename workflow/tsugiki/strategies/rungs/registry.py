"""All rules for rungs. A configuration chooses one by its `kind`."""

from __future__ import annotations

from tsugiki.strategies.rungs.halving import Halving
from tsugiki.strategies.rungs.racing import Racing
from tsugiki.strategies.rungs.rule import NoneLeft

AnyRule = NoneLeft | Halving | Racing
