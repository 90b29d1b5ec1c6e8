"""All commands, in their group."""

from __future__ import annotations

from tsugiki.commands import documents, inspection, single, steps
from tsugiki.commands.group import main

__all__ = ["documents", "inspection", "main", "single", "steps"]
