"""What a candidate's evaluation took. Differs between runs, so no digest covers it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tsugiki.json_files import read_json


class Cost(BaseModel):
    """cost.json."""

    model_config = ConfigDict(frozen=True)

    seconds_merge: float
    seconds_forward: float
    seconds_total: float
    tokens: int
    host: str
    device: str
    started: datetime
    finished: datetime


def read_cost(path: Path) -> Cost | None:
    """Read a cost file; None where there is none, since the ledger does not depend on it.

    Raises:
        LineageError: the file is there and is not a cost file.
    """
    try:
        return read_json(path, Cost.model_validate_json, "cost file")
    except FileNotFoundError:
        return None
