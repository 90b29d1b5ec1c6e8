"""Steps that are captured once: the answers of transformers' `generate`, whatever the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import MakeRun
from tests.evaluate.models_to_decode import WIDTH, gemma3, generated, llama, prompts, qwen3
from tests.evaluate.test_captured import answers
from tests.gpu.runs_on_gpu import evaluate, on
from tsugiki.evaluate import language_model
from tsugiki.evaluate.captured import CapturedDecoding
from tsugiki.evaluate.fixed_shape import LENGTHS, NotCapturedError
from tsugiki.evaluate.outcome import Scored


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Prompts of unequal length, and their mask."""
    context, mask = prompts()
    return context.cuda(), mask.cuda()


def decoding(model: Any) -> CapturedDecoding:
    """Captured steps for batches that are larger than the prompts."""
    return CapturedDecoding(model, rows=8, note=lambda *_: None)


@pytest.mark.parametrize("make", [llama, qwen3, gemma3])
def test_answers_are_those_of_generate(
    batch: tuple[Tensor, Tensor], make: Callable[[], Any]
) -> None:
    """Token for token, in float32, again and again."""
    model = make().cuda()
    expected = generated(model, *batch)
    way = decoding(model)
    assert answers(way, *batch) == expected
    assert answers(way, *batch) == expected


def test_long_answers_go_on_in_longer_shapes(batch: tuple[Tensor, Tensor]) -> None:
    """Captured ones, too."""
    model = llama().cuda()
    longest = WIDTH + 3 * LENGTHS
    expected = generated(model, *batch, longest)
    way = decoding(model)
    for _ in range(2):
        assert answers(way, *batch, longest) == expected


def test_weights_that_are_replaced_in_place_are_those_that_answer(
    batch: tuple[Tensor, Tensor],
) -> None:
    """The step is not captured again; what the last candidate left behind does not matter."""
    model, other = llama(1).cuda(), llama(2).cuda()
    expected = generated(other, *batch)
    way = decoding(model)
    before = answers(way, *batch)
    shapes = dict(way._shapes)
    with torch.no_grad():
        for weights in model.parameters():
            weights.fill_(float("nan"))
    answers(way, *batch)
    model.load_state_dict(other.state_dict())
    assert answers(way, *batch) == expected != before
    assert way._shapes == shapes


def test_weights_that_are_elsewhere_are_captured_again(batch: tuple[Tensor, Tensor]) -> None:
    """A step that reads what is no longer the model's would answer for the last candidate."""
    model, other = llama(1).cuda(), llama(2).cuda()
    expected = generated(other, *batch)
    way = decoding(model)
    answers(way, *batch)
    model.lm_head.weight = nn.Parameter(other.lm_head.weight.clone(), requires_grad=False)
    model.load_state_dict(other.state_dict())
    assert answers(way, *batch) == expected


def asks(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A pass that waits for the GPU, as some experts do to share tokens out."""

    def waiting(*arguments: Any, **settings: Any) -> Any:
        output = forward(*arguments, **settings)
        if output.logits.isnan().any().item():
            raise AssertionError
        return output

    return waiting


def test_a_step_that_cannot_be_captured_is_told(batch: tuple[Tensor, Tensor]) -> None:
    """And the GPU is as good as before."""
    model = llama().cuda()
    expected = generated(model, *batch)
    model.forward = asks(model.forward)
    with pytest.raises(NotCapturedError):
        answers(decoding(model), *batch)
    assert generated(model, *batch) == expected


def test_candidates_that_cannot_be_captured_are_scored(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By transformers' own loop, with its answers."""
    run = make_run()
    recipes = [run.recipe(weight=0.4), run.recipe(weight=0.9)]
    expected = evaluate(run, on("cuda", run, cuda_graphs=False), recipes)

    class NeverCaptured(CapturedDecoding):
        def generate(self, *_arguments: Any, **_settings: Any) -> Tensor:
            raise NotCapturedError

    monkeypatch.setattr(language_model, "CapturedDecoding", NeverCaptured)
    found = evaluate(run, on("cuda", run), recipes)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Scored)
        assert isinstance(other, Scored)
        assert one.records == other.records
        assert one.evaluation != other.evaluation
