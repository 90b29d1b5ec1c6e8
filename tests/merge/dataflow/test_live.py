"""Paths as models in memory."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from tests.merge.dataflow.paths_for_tests import (
    IDS,
    KINDS,
    generated,
    identity,
    live_of,
    loaded,
    logits,
    path_recipe,
    save_parents,
    winding,
)
from tests.merge.models_for_tests import digests_of
from tests.tensors import bytes_alive, bytes_of
from tsugiki.merge.write import write_merge


@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_path_is_the_owner_bit_for_bit(kind: str, tmp_path: Path) -> None:
    """Logits and generations of the parent itself, at its real epsilon."""
    folders = save_parents(tmp_path, kind, epsilon=1e-5)
    model, _ = live_of(folders).assemble(identity())
    parent = loaded(folders["a"])
    assert torch.equal(logits(model), logits(parent))
    assert torch.equal(generated(model), generated(parent))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_scored_is_what_is_saved(kind: str, dtype: str, tmp_path: Path) -> None:
    """A stock checkpoint: the same digest, logits and generations as in memory, bit for bit."""
    folders = save_parents(tmp_path, kind, epsilon=1e-5)
    recipe = winding(dtype=dtype)
    model, digest = live_of(folders).assemble(recipe)
    written = write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    saved = loaded(tmp_path / "out", getattr(torch, dtype))
    assert digest == written
    assert saved.config.num_hidden_layers == 7
    assert torch.equal(logits(model), logits(saved))
    assert torch.equal(generated(model), generated(saved))


def test_each_hop_has_its_own_place_in_the_cache(tmp_path: Path) -> None:
    """Generating token by token gives what whole passes give, though layers are repeated."""
    folders = save_parents(tmp_path)
    model, _ = live_of(folders).assemble(path_recipe([("a", 0), ("a", 1), ("a", 1), ("a", 1)]))
    ids = IDS
    for _ in range(8):
        ids = torch.cat([ids, logits(model, ids)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(generated(model), ids)


def test_nothing_of_a_model_is_kept_when_it_is_gone(tmp_path: Path) -> None:
    """Neither its weights nor the parents' layers, though the next path goes through the same ones."""
    live = live_of(save_parents(tmp_path))
    gc.collect()
    before = bytes_alive()
    for recipe in (winding(), identity(), winding([1.0] * 7)):
        model, _ = live.assemble(recipe)
        assert len(model.model.layers) == len(recipe.path)
        own = bytes_of([*model.parameters(), *model.buffers()])
        assert bytes_alive() - before == own
        del model
        gc.collect()
        assert bytes_alive() == before


def test_candidates_do_not_disturb_each_other(tmp_path: Path) -> None:
    """A model made earlier keeps its weights; the same recipe made again gives the same."""
    live = live_of(save_parents(tmp_path))
    first, digest = live.assemble(winding())
    before = logits(first)
    live.assemble(identity())
    again, same = live.assemble(winding())
    assert torch.equal(before, logits(first))
    assert torch.equal(before, logits(again))
    assert digest == same


def test_a_tied_head_stays_tied(tmp_path: Path) -> None:
    """In memory and on disk."""
    folders = save_parents(tmp_path, tie_word_embeddings=True)
    model, _ = live_of(folders).assemble(winding())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    write_merge(winding(), folders, digests_of(folders), tmp_path / "out")
    assert torch.equal(logits(model), logits(loaded(tmp_path / "out")))


@pytest.mark.parametrize(
    ("kind", "sliding"),
    [("qwen2", {2, 3}), ("gemma2", {0, 2}), ("gemma3_text", {0, 2})],
)
def test_each_layer_keeps_its_kind_of_attention(
    kind: str, sliding: set[int], tmp_path: Path
) -> None:
    """Wherever it stands in the path, in memory and on disk, and on long inputs it matters."""
    folders = save_parents(tmp_path, kind)
    recipe = winding([1.0] * 7)
    kinds = [
        "sliding_attention" if hop.layer in sliding else "full_attention" for hop in recipe.path
    ]
    model, _ = live_of(folders).assemble(recipe)
    write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    assert model.config.layer_types == kinds
    assert loaded(tmp_path / "out").config.layer_types == kinds
    other, _ = live_of(folders).assemble(recipe)
    other.config.layer_types = ["full_attention"] * 7
    assert not torch.equal(logits(model), logits(other))
