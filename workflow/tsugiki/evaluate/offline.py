"""Evaluating without a network: all that it needs was fetched before."""

from __future__ import annotations

import os

SWITCHES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")


def stay_offline() -> None:
    """Keep the Hub's libraries from the network, unless the user's environment says otherwise.

    Compute nodes often have none, and the libraries then wait for minutes. Call this before any of
    them is imported: they read the variables once.
    """
    for name in SWITCHES:
        os.environ.setdefault(name, "1")


def is_offline() -> bool:
    """Whether the network is left alone."""
    return os.environ.get("HF_DATASETS_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
