"""What a real vLLM holds after a candidate's weights were put into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from tests.runs_for_tests import TinyRun
from tests.vllm.real.models import on_vllm, run_of
from tsugiki.errors import ParentError
from tsugiki.evaluate.vllm_backend.candidates import VllmCandidates
from tsugiki.evaluate.vllm_backend.weights import MergedWeights, OnProcessor
from tsugiki.evaluate.vllm_backend.worker import replace_weights
from tsugiki.merge.in_place import InPlaceMerger

FUSED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}
"""Layers of vLLM that hold those of a checkpoint, one below the other."""


def folders_of(run: TinyRun, tmp_path: Path) -> dict[str, Path]:
    """Where the models are."""
    return {name: tmp_path / "models" / name for name in run.digests}


def opened(run: TinyRun, tmp_path: Path) -> VllmCandidates:
    """Candidates of a run in a new engine."""
    evaluation = on_vllm(run).evaluation
    return VllmCandidates(folders_of(run, tmp_path), run.digests, evaluation)


def worker_of(candidates: VllmCandidates) -> Any:
    """The engine's worker, which is in this process."""
    return candidates._engine.llm_engine.model_executor.driver_worker.worker


def expected(tensors: dict[str, Tensor], name: str) -> Tensor:
    """What the checkpoint says about a weight of vLLM's."""
    for fused, parts in FUSED.items():
        if fused in name:
            return torch.cat([tensors[name.replace(fused, part)] for part in parts])
    return tensors[name]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_weights_are_those_of_the_merge(tmp_path: Path, dtype: Any, *, tied: bool) -> None:
    """Bit for bit, each of them, for one candidate after another."""
    run = run_of(tmp_path, tie_word_embeddings=tied)
    candidates = opened(run, tmp_path)
    merger = InPlaceMerger(folders_of(run, tmp_path), run.digests)
    for weight in (0.3, 1.2):
        recipe = run.recipe(weight=weight, dtype=dtype)
        _, digest = candidates.build(recipe)
        weights = MergedWeights(merger, recipe)
        tensors = {name: tensor.clone() for name, tensor in weights}
        assert digest == weights.digest()
        if tied:
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        model = worker_of(candidates).get_model()
        found = list(model.named_parameters(remove_duplicate=False))
        assert {name.split(".")[-2] for name, _ in found} >= {*FUSED, "lm_head", "norm", "o_proj"}
        for name, tensor in found:
            right = expected(tensors, name)
            assert torch.equal(tensor[: len(right)], right), name


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("lm_head", "lm_head"),
        ("layers.0.input_layernorm", "layers.0.input_layernorm"),
        ("layers.1.mlp.down_proj", "layers.1.mlp.down_proj"),
        ("layers.0.self_attn.k_proj", "layers.0.self_attn.qkv_proj"),
        ("layers.1.mlp.up_proj", "layers.1.mlp.gate_up_proj"),
    ],
)
def test_weights_that_nothing_is_put_into_are_noticed(
    tmp_path: Path, missing: str, named: str
) -> None:
    """VLLM itself says nothing."""
    run = run_of(tmp_path)
    candidates = opened(run, tmp_path)
    recipe = run.recipe(weight=0.5)
    candidates._opened(recipe)
    merger = InPlaceMerger(folders_of(run, tmp_path), run.digests)
    kept = ((name, tensor) for name, tensor in MergedWeights(merger, recipe) if missing not in name)
    with pytest.raises(ParentError, match=rf"{named}\.weight"):
        replace_weights(worker_of(candidates), OnProcessor(kept))


def test_memory_does_not_grow_with_candidates(tmp_path: Path) -> None:
    """The weights that were replaced are freed."""
    run = run_of(tmp_path, hidden_size=256, head_dim=64, intermediate_size=1024)
    candidates = opened(run, tmp_path)
    weight_bytes = (tmp_path / "models" / "a" / "model.safetensors").stat().st_size
    resident = []
    for step in range(16):
        candidates.build(run.recipe(weight=0.1 + step / 20))
        resident.append(psutil.Process().memory_info().rss)
    assert resident[-1] - resident[3] < 3 * weight_bytes
