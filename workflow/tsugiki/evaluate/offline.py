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
    import huggingface_hub.constants

    switches = [
        (huggingface_hub.constants, "HF_HUB_OFFLINE"),
        (datasets.config, "HF_HUB_OFFLINE"),
        (datasets.config, "HF_DATASETS_OFFLINE"),
    ]
    before = [getattr(library, name) for library, name in switches]
    try:
        for library, name in switches:
            setattr(library, name, True)
        yield
    finally:
        for (library, name), value in zip(switches, before, strict=True):
            setattr(library, name, value)


def is_absent(error: BaseException) -> bool:
    """Whether an error says that something is not on this machine and cannot be fetched now.

    The libraries have a dozen errors for that, and some of them are kinds of ValueError or
    FileNotFoundError, as the faults of a user's own files are.
    """
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is re-exported
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
    )

    said: BaseException | None = error
    while said is not None:
        if isinstance(said, DatasetNotFoundError):
            return False  # the Hub was asked, and has none
        if isinstance(said, HfHubHTTPError) and said.response is not None:
            return said.response.status_code in BUSY
        if isinstance(said, ConnectionError | TimeoutError | HTTPError | LocalEntryNotFoundError):
            return True
        text = str(said)
        if isinstance(said, ValueError) and text.startswith("Couldn't find cache for"):
            return True
        if isinstance(said, FileNotFoundError) and "://" in text:
            return True
        said = said.__cause__
    return False
