"""The Python interface, for notebooks and scripts: merge, look at a run, search (see docs/python.md).

The command line calls the same functions.
"""

from tsugiki.api.merging import merge, merge_into
from tsugiki.api.run import Run, open_run
from tsugiki.api.search import Search, strategy

__all__ = ["Run", "Search", "merge", "merge_into", "open_run", "strategy"]
