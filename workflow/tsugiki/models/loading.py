"""Live models of tensors in memory, made the way that transformers loads a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Loaded:
    """A live model, and what transformers says of its loading."""

    model: Any
    missing: list[str]
    """Weights of the model for which there was no tensor, or one of another shape: they are random."""
    unexpected: list[str]
    """Tensors for which the model has no weight."""


def load_tensors(
    architecture: Any, config: Any, tensors: Mapping[str, Any], **settings: Any
) -> Loaded:
    """Make a model of tensors by their stored names, with all renaming and fusing that a checkpoint needs.

    It shares the memory of tensors that stay as they are. Nothing is reported on the terminal.
    """
    with _silent():
        model, info = architecture.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **settings,
        )
    mismatched = {name for name, *_ in info["mismatched_keys"]}
    return Loaded(
        model, sorted({*info["missing_keys"], *mismatched}), sorted(info["unexpected_keys"])
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' own report."""
    from transformers.utils import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
