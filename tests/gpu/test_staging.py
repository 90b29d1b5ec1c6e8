"""Weights on their way to a GPU, through two pieces of pinned memory."""

from __future__ import annotations

import torch

from tsugiki.evaluate.staging import PIECE, Staging


def test_weights_arrive_whole() -> None:
    """Larger than a piece, of its size, small, and none; again and again with others."""
    staging = Staging(torch.device("cuda"))
    for step in range(3):
        numbers = torch.Generator().manual_seed(step)
        pairs = []
        for count in (5 * PIECE // 2, PIECE, 3, 0):
            source = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=numbers)
            pairs.append((source, torch.zeros_like(source, device="cuda")))
        half = torch.randn(33, 7, generator=numbers).bfloat16()
        pairs.append((half, torch.zeros_like(half, device="cuda")))
        staging.copy(pairs)
        for source, target in pairs:
            assert torch.equal(source, target.cpu())


def test_what_the_gpu_computes_with_old_weights_is_not_disturbed() -> None:
    """A copy waits for the work before it, and the work after it for the copy."""
    staging = Staging(torch.device("cuda"))
    weights = torch.ones(PIECE // 4, device="cuda")
    torch.cuda._sleep(200_000_000)
    before = weights * 2
    staging.copy([(torch.full((PIECE // 4,), 5.0), weights)])
    after = weights * 2
    assert bool((before == 2).all())
    assert bool((after == 10).all())
