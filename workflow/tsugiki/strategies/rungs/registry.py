"""All rules for rungs, by the name that a configuration gives them."""

from __future__ import annotations

from tsugiki.strategies.rungs.none import none
from tsugiki.strategies.rungs.rule import Rule

RULES: dict[str, Rule] = {
    "none": none,
}
