"""The folded model against the scaled forward pass, written out here by hand and by hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.merge.dataflow.paths_for_tests import (
    IDS,
    KINDS,
    SCALES,
    live_of,
    loaded,
    logits,
    path_recipe,
    save_parents,
    winding,
)
from tsugiki.errors import RecipeError
from tsugiki.merge.dataflow.explicit import explicit, folding_difference, is_scaled


@pytest.mark.parametrize("kind", KINDS)
def test_the_folded_model_is_the_scaled_forward_pass(kind: str, tmp_path: Path) -> None:
    """Within 1e-4 in float32, where epsilon is negligible; signs and a scale of 0.05 included."""
    live = live_of(save_parents(tmp_path, kind))
    folded = logits(live.assemble(winding())[0])
    with explicit(live, winding()) as reference:
        wanted = logits(reference)
    assert float(wanted.std()) > 0.1
    torch.testing.assert_close(folded, wanted, rtol=1e-4, atol=1e-4)


def test_each_sign_and_each_magnitude_matters(tmp_path: Path) -> None:
    """The reference itself: without the scales the logits are others."""
    live = live_of(save_parents(tmp_path))
    plain = logits(live.assemble(winding([1.0] * 7))[0])
    with explicit(live, winding()) as reference:
        assert not torch.allclose(plain, logits(reference), atol=0.1)


def test_the_reference_follows_the_text_of_the_paper(tmp_path: Path) -> None:
    """The whole hidden state that enters a layer is multiplied: its residual too."""
    folders = save_parents(tmp_path)
    live = live_of(folders)
    parents = {name: loaded(folder).model for name, folder in folders.items()}
    first: Any = parents["a"]
    recipe = winding()
    with torch.no_grad():
        hidden = first.embed_tokens(IDS)
        positions = torch.arange(IDS.shape[1])[None]
        rotation = first.rotary_emb(hidden, positions)
        for hop, scale in zip(recipe.path, SCALES, strict=True):
            layer = parents[hop.parent].layers[hop.layer]
            hidden = layer(hidden * scale, position_embeddings=rotation, position_ids=positions)
        wanted = loaded(folders["a"]).lm_head(first.norm(hidden))
    with explicit(live, recipe) as reference:
        torch.testing.assert_close(logits(reference), wanted)


@pytest.mark.parametrize("scale", [0.0, 1e-4, -1e-4])
def test_a_scale_near_zero_is_refused(scale: float, tmp_path: Path) -> None:
    """It is the recipe's own fault, and names the hop."""
    live = live_of(save_parents(tmp_path))
    with pytest.raises(RecipeError, match=r"hop 1 \(layer 2 of b\)"):
        live.assemble(path_recipe([("a", 0), ("b", 2, scale)]))


def test_a_product_out_of_bounds_is_refused(tmp_path: Path) -> None:
    """Many small scales, each of which is allowed."""
    live = live_of(save_parents(tmp_path))
    with pytest.raises(RecipeError, match="product of the input scales"):
        live.assemble(path_recipe([("a", 0, 0.002)] * 3))
    live.assemble(path_recipe([("a", 0, 0.002)] * 2))


def test_weights_that_overflow_are_refused(tmp_path: Path) -> None:
    """A float16 weight beyond 65504."""
    live = live_of(save_parents(tmp_path))
    recipe = path_recipe([("a", 0, 0.002), ("a", 1, 0.002)], dtype="float16")
    with pytest.raises(RecipeError, match="not finite"):
        live.assemble(recipe)


def test_the_difference_of_folding_is_measured(tmp_path: Path) -> None:
    """It grows with epsilon, and is rounding alone where epsilon is negligible."""
    small = folding_difference(live_of(save_parents(tmp_path / "small")), winding())
    large = folding_difference(live_of(save_parents(tmp_path / "large", epsilon=1e-2)), winding())
    assert small.relative < 1e-4
    assert small.agreement == 1.0
    assert large.relative > 10 * small.relative
    assert small.positions == 64


def test_without_scales_there_is_nothing_to_measure() -> None:
    """Both forms are one model."""
    assert is_scaled(winding())
    assert not is_scaled(winding([1.0] * 7))
