"""Evaluating without a network: all that it needs was fetched before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SWITCHES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")

BUSY = {408, 429, 500, 502, 503, 504}
"""HTTP's statuses of a server that may answer later."""


def stay_offline() -> None:
    """Keep the Hub's libraries from the network, unless the user's environment says otherwise.

    Compute nodes often have none, and the libraries then wait for minutes. Call this before any of
    them is imported: they read the variables once.
    """
    for name in SWITCHES:
        os.environ.setdefault(name, "1")


@contextmanager
def without_network() -> Iterator[None]:
    """Keep the Hub's libraries from the network here, those that were imported before too."""
    import datasets.config

    from tsugiki.parents import hub

    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    before = {name: getattr(datasets.config, name) for name in names}
    try:
        for name in names:
            setattr(datasets.config, name, True)
        with hub.kept_offline():
            yield
    finally:
        for name, value in before.items():
            setattr(datasets.config, name, value)


def is_absent(error: BaseException) -> bool:
    """Whether an error says that something is not on this machine and cannot be fetched now.

    The libraries have a dozen errors for that, and some of them are kinds of ValueError or
    FileNotFoundError, as the faults of a user's own files are.
    """
    from datasets.exceptions import DatasetNotFoundError

    from tsugiki.parents import hub

    said: BaseException | None = error
    while said is not None:
        if isinstance(said, DatasetNotFoundError):
            return False  # the Hub was asked, and has none
        if (refused := hub.status_of(said)) is not None:
            return refused in BUSY
        if isinstance(said, ConnectionError | TimeoutError) or hub.is_absent(said):
            return True
        text = str(said)
        if isinstance(said, ValueError) and text.startswith("Couldn't find cache for"):
            return True
        if isinstance(said, FileNotFoundError) and "://" in text:
            return True
        said = said.__cause__
    return False
