"""Files by which jobs on nodes say that they have failed, on a disk that this machine sees, too.

A job that goes well is known by its outputs. One that fails writes none, and would be noticed when the
scheduler is next asked, minutes later.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tsugiki.slurm.shared_disk import content


class Failures:
    """The failed jobs of one workflow.

    Args:
        parent: Where a folder for the files is made, which is removed when the workflow ends.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="failed-jobs-", dir=parent.absolute())
        self._numbers = itertools.count()
        self._files: dict[int, Path] = {}

    def file_for(self, job: Any) -> Path:
        """The file that a job has to make if it fails, another one at each attempt.

        Args:
            job: Snakemake's job.
        """
        file = Path(self._folder.name) / str(next(self._numbers))
        self._files[id(job)] = file
        return file

    def among(self, active: Iterable[Any]) -> set[str]:
        """Those of some submitted jobs that have failed, by their numbers at the scheduler."""
        there = set(content(Path(self._folder.name)))
        return {one.external_jobid for one in active if self._files.get(id(one.job)) in there}
