"""Training of the demo's models, at a few steps each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tsugiki.canonical import digest_file
from tsugiki.demo import parents
from tsugiki.demo.documents import Span
from tsugiki.demo.muon import orthogonalised
from tsugiki.demo.parents import ensure_trained
from tsugiki.demo.specification import ModelName, Training, key
from tsugiki.demo.tokenizer import build_tokenizer
from tsugiki.demo.training import NOT_LEARNED, draw_batches, encode

SHORT: Mapping[ModelName, Training] = {
    "base": Training(
        start=None,
        mixture={"reading_en": 1, "reading_ja": 1},
        documents=60,
        steps=4,
        batch=8,
        rate=1e-3,
        matrix_rate=0.02,
    ),
    "maths": Training(
        start="base", mixture={"maths_en": 1}, documents=60, steps=3, batch=8, rate=1e-3
    ),
}


def weights(folder: Path) -> str:
    """Digest of a checkpoint's weights."""
    return digest_file(folder / "model.safetensors")


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    """Every file of a model is equal when trained twice; another seed gives another model."""
    threads = torch.get_num_threads()
    folders = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            folders.append(ensure_trained("maths", 3, tmp_path / str(count), SHORT))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    names = sorted(file.name for file in folders[0].iterdir())
    assert "README.md" in names
    for name in names:
        assert digest_file(folders[0] / name) == digest_file(folders[1] / name)
    assert weights(ensure_trained("base", 4, tmp_path / "1", SHORT)) != weights(
        ensure_trained("base", 3, tmp_path / "1", SHORT)
    )


def test_a_cached_model_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call finds the folder, in which seed and key are named."""
    folder = ensure_trained("base", 1, tmp_path, SHORT)
    assert folder.name == f"base-seed1-{key('base', 1, SHORT)[:8]}"
    monkeypatch.setattr(parents, "_train_into", lambda *_: pytest.fail("trained again"))
    assert ensure_trained("base", 1, tmp_path, SHORT) == folder


def test_models_asked_for_at_the_same_time_are_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second to ask waits for the first and gets its folder."""
    trained = []
    train_into = parents._train_into

    def counted(folder: Path, *arguments: Any) -> None:
        trained.append(folder)
        train_into(folder, *arguments)

    monkeypatch.setattr(parents, "_train_into", counted)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ensure_trained, "base", 1, tmp_path, SHORT) for _ in range(2)]
        found = {future.result() for future in asked}
    assert len(found) == len(trained) == 1


def test_a_changed_specification_is_another_model() -> None:
    """Key and folder change with the training of the model or of what it starts from."""
    more = {**SHORT, "base": Training(**{**vars(SHORT["base"]), "steps": 5})}
    assert key("base", 1, SHORT) != key("base", 1, more)
    assert key("maths", 1, SHORT) != key("maths", 1, more)
    assert key("base", 1, SHORT) != key("base", 2, SHORT)


def test_stock_transformers_loads_and_runs_a_model(tmp_path: Path) -> None:
    """Weights, tokenizer and generation settings are complete, and the head is tied."""
    folder = ensure_trained("base", 1, tmp_path, SHORT)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.lm_head.weight is model.get_input_embeddings().weight
    batch = tokenizer(["Q: Tom has 3 apples.", "Q:"], return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    assert model.generate(**batch, max_new_tokens=2).shape[0] == 2


def _die_while_training_the_expert(cache: Path) -> None:
    def die(line: str) -> None:
        if "maths" in line:
            os.kill(os.getpid(), signal.SIGKILL)

    ensure_trained("maths", 1, cache, SHORT, log=die)


def test_a_kill_leaves_the_base_and_no_half_written_expert(tmp_path: Path) -> None:
    """After a SIGKILL in the expert's training the base is kept and the expert starts afresh."""
    process = multiprocessing.get_context("spawn").Process(
        target=_die_while_training_the_expert, args=(tmp_path / "killed",)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (base,) = (tmp_path / "killed").glob("base-*")
    assert list((tmp_path / "killed").glob("maths-*")) == []
    written = (base / "model.safetensors").stat().st_mtime_ns
    expert = ensure_trained("maths", 1, tmp_path / "killed", SHORT)
    assert (base / "model.safetensors").stat().st_mtime_ns == written
    assert weights(expert) == weights(ensure_trained("maths", 1, tmp_path / "whole", SHORT))


def test_only_learned_spans_have_labels() -> None:
    """A prompt is read, an answer and the end are learned."""
    tokenizer = build_tokenizer()
    ((ids, labels),) = encode([(Span("Q:", learned=False), Span("3+4", learned=True))], tokenizer)
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "Q:", "3", "+", "4", "</s>"]
    assert labels == [NOT_LEARNED, NOT_LEARNED, *ids[2:]]


def test_a_round_of_batches_holds_every_document_once() -> None:
    """Padding and labels are on the right; no document is left out or repeated."""
    encoded = [([1, *range(10, 10 + n)], [1, *range(10, 10 + n)]) for n in range(1, 21)]
    batches = draw_batches(encoded, 4, 0, "test")
    seen = []
    for _ in range(5):
        ids, labels = next(batches)
        assert ids.shape == labels.shape
        assert ((ids == 0) == (labels == NOT_LEARNED)).all()
        seen += (ids != 0).sum(1).tolist()
    assert sorted(seen) == list(range(2, 22))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 12, 5), (2, 5, 12)])
def test_orthogonalising_brings_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    """The iteration's published range is about 0.7 to 1.2, with the singular vectors kept."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(matrices)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    rotated = left.mT @ found @ right.mT
    values = torch.diagonal(rotated, dim1=1, dim2=2)
    assert ((values > 0.3) & (values < 1.3)).all()
    torch.testing.assert_close(rotated, torch.diag_embed(values), atol=1e-4, rtol=0)
