"""Tiny parents that several tests read. No test writes into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.merge.models_for_tests import save_trio

Folders = dict[str, Path]


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A base and two models fine-tuned from it, llama, float32."""
    return save_trio(tmp_path_factory.mktemp("trio"))


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The same with output heads tied to the embeddings."""
    return save_trio(tmp_path_factory.mktemp("tied"), tie_word_embeddings=True)
