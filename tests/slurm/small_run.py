"""A smaller run than that of tests/workflow, whose jobs wait where a test wants them to."""

from __future__ import annotations

from typing import Any

from tests.workflow.small_run import TASK_CODE, UNTRACKED, settings

WAITING_TASK = (
    TASK_CODE
    + '''
import json, os, sys, time
from pathlib import Path


def _at_the_gate():
    """Say which job this is and where; go on when the test opens the gate."""
    if "--series" not in sys.argv:
        return
    at = lambda name: sys.argv[sys.argv.index(name) + 1]
    job = f"{at('--series')}-{at('--generation')}-{at('--job')}"
    seen = Path("seen")
    seen.mkdir(exist_ok=True)
    (seen / f"{job}.{os.getpid()}.tmp").write_text(json.dumps({"pid": os.getpid(), **os.environ}))
    (seen / f"{job}.{os.getpid()}.tmp").rename(seen / f"{job}.{os.getpid()}")
    while Path("gates", job).exists():
        time.sleep(0.1)


_load = load


def load(**kwargs):
    _at_the_gate()
    return _load(**kwargs)
'''
)


def small(**evaluation: Any) -> dict[str, Any]:
    """Two generations of four, in two jobs each."""
    config = settings(**evaluation) | UNTRACKED
    (stage,) = config["stages"]
    stage["strategy"]["population"] = 4
    stage["budget"]["generations"] = 2
    config["finalists"] = {"top": 2}
    return config
