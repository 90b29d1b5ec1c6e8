"""The `tsugiki` command. The rules of the workflow call it; so do people."""

from __future__ import annotations

from tsugiki.commands import documents, inspection, single, steps
from tsugiki.commands.group import main

__all__ = ["documents", "inspection", "main", "single", "steps"]

if __name__ == "__main__":
    main()
