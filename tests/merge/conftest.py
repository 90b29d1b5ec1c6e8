"""Tiny parents that several tests read. No test writes into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.merge.models_for_tests import save_model

Folders = dict[str, Path]


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A base and two models fine-tuned from it, llama, float32."""
    root = tmp_path_factory.mktemp("trio")
    base = save_model(root / "base")
    return {
        "base": base,
        "a": save_model(root / "a", seed=1, like=base),
        "b": save_model(root / "b", seed=2, like=base),
    }


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The same with output heads tied to the embeddings."""
    root = tmp_path_factory.mktemp("tied")
    base = save_model(root / "base", tie_word_embeddings=True)
    return {
        "base": base,
        "a": save_model(root / "a", seed=1, like=base, tie_word_embeddings=True),
        "b": save_model(root / "b", seed=2, like=base, tie_word_embeddings=True),
    }
