"""Fetch, prepare and lock the parents of a run, and refuse those that do not fit together."""

from __future__ import annotations

from collections.abc import Callable

from tsugiki.config.run import RunConfig
from tsugiki.lineage.layout import RunFiles
from tsugiki.parents.fault import refuse
from tsugiki.parents.locate import source_folders
from tsugiki.parents.preflight import preflight
from tsugiki.parents.resolve import lock_parents


def write_parents(
    files: RunFiles, config: RunConfig, *, update: frozenset[str], say: Callable[[str], None]
) -> None:
    """Write parents.lock.json; see `lock_parents`.

    Raises:
        ParentError: a parent cannot be had, or the parents do not fit together: what
            `tsugiki check` says, for those who have not asked it.
    """
    lock = lock_parents(config, files.parents, update=update, say=say)
    refuse(preflight(config, lock, source_folders(config, lock)).faults)
