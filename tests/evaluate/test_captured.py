"""Greedy answers in fixed shapes; without a GPU each step is taken instead of repeated."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.evaluate.models_to_decode import (
    END,
    LONGEST,
    PAD,
    WIDTH,
    gemma3,
    generated,
    llama,
    prompts,
    qwen3,
)
from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.captured import MOST_SHAPES, TOGETHER, CapturedDecoding
from tsugiki.evaluate.fixed_shape import LENGTHS, Capture, FixedShape, NotCapturedError

ROWS = 12


class TakenDecoding(CapturedDecoding):
    """Takes its steps, on a processor."""

    def _capture(self) -> Capture:
        def take(step: Callable[[], None]) -> Callable[[], None]:
            step()  # as the one that is not recorded
            return step

        return take

    def _repeat(self, shape: FixedShape, steps: int) -> None:
        for _ in range(steps):
            shape.step()
        event = SimpleNamespace(synchronize=lambda: None, elapsed_time=lambda _later: 1.0)
        self._note(event, event, shape.finite)


def decoding(model: Any, note: Callable[..., None] = lambda *_: None) -> TakenDecoding:
    """For batches that are larger than the prompts."""
    return TakenDecoding(model, rows=ROWS, note=note)


def answers(
    way: CapturedDecoding, context: Tensor, mask: Tensor, longest: int = LONGEST
) -> list[list[int]]:
    """Answers, which end at one token."""
    tokens = way.generate(
        context,
        mask,
        max_length=longest,
        pad=PAD,
        watch=lambda: lambda tokens: tokens[:, -1] == END,
    )
    assert torch.equal(tokens[:, :WIDTH], context)
    return [row[WIDTH:] for row in tokens.tolist()]


@pytest.mark.parametrize("make", [llama, qwen3, gemma3])
def test_answers_are_those_of_generate(make: Callable[[], Any]) -> None:
    """Token for token, in the first batch and the next ones, of any size."""
    model = make()
    way = decoding(model)
    for rows in (5, 8, 1, 9, ROWS):
        batch = prompts(rows)
        assert answers(way, *batch) == generated(model, *batch)


@pytest.mark.parametrize("budget", [1, 2, TOGETHER, TOGETHER + 1, TOGETHER + 2, 40])
def test_answers_have_at_most_so_many_tokens(budget: int) -> None:
    """Also where that is no whole number of looks."""
    model = llama()
    found = answers(decoding(model), *prompts(), WIDTH + budget)
    assert found == generated(model, *prompts(), WIDTH + budget)


def test_answers_end_one_by_one() -> None:
    """Rows that have ended are filled up while others go on, and all end with the last one."""
    way = decoding(llama())
    stops = torch.tensor([3, 11, 4, 6, 20])
    free, tokens = (
        way.generate(
            *prompts(),
            max_length=LONGEST,
            pad=PAD,
            watch=lambda ends=ends: lambda tokens: tokens.shape[1] - WIDTH - 1 == ends,
        )[:, WIDTH:]
        for ends in (torch.full((5,), LONGEST), stops)
    )
    assert tokens.shape[1] == stops.max() + 1
    for row, stop in enumerate(stops.tolist()):
        assert torch.equal(tokens[row, : stop + 1], free[row, : stop + 1])
        assert (tokens[row, stop + 1 :] == PAD).all()


def test_a_broken_candidate_leaves_nothing_to_the_next_one() -> None:
    """Zero times the NaN of an old key would be NaN."""
    model, other = llama(1), llama(2)
    expected = generated(other, *prompts())
    noted: list[bool] = []
    way = decoding(model, lambda _before, _after, finite: noted.append(bool(finite)))
    with torch.no_grad():
        for weights in model.parameters():
            weights.fill_(float("nan"))
    answers(way, *prompts())
    assert not any(noted)
    model.load_state_dict(other.state_dict())
    noted.clear()
    assert answers(way, *prompts()) == expected
    assert all(noted)


@pytest.mark.parametrize("make", [llama, gemma3])
def test_long_answers_go_on_in_longer_shapes(make: Callable[[], Any]) -> None:
    """Memory grows with what is answered, not with what might be; twice, here."""
    model = make()
    way = decoding(model)
    longest = WIDTH + 3 * LENGTHS
    for _ in range(2):
        assert answers(way, *prompts(), longest) == generated(model, *prompts(), longest)
    assert [length for _rows, length in way._shapes] == [2 * LENGTHS, 4 * LENGTHS]


def test_answers_of_a_shape_end_within_it() -> None:
    """Nothing is made for what was allowed and not said."""
    way = decoding(llama())
    tokens = way.generate(
        *prompts(),
        max_length=400,
        pad=PAD,
        watch=lambda: lambda tokens: torch.full((5,), tokens.shape[1] == WIDTH + 3),
    )
    assert tokens.shape == (5, WIDTH + 3)
    assert [*way._shapes] == [(8, 2 * LENGTHS)]


def test_shapes_are_kept_while_the_weights_stay_where_they_are() -> None:
    """And no more than a few."""
    model = llama()
    way = decoding(model)
    answers(way, *prompts())
    (first,) = way._shapes.values()
    answers(way, *prompts(8), LONGEST + 10)
    assert [*way._shapes.values()] == [first]
    model.lm_head.weight = torch.nn.Parameter(llama(2).lm_head.weight.clone(), requires_grad=False)
    assert answers(way, *prompts()) == generated(model, *prompts())
    assert first not in way._shapes.values()
    for rows in (8, 12):
        for more in (1, LENGTHS, 2 * LENGTHS):
            context, mask = prompts(rows)
            wide = torch.cat([context] * (1 + more // WIDTH), dim=1)
            masks = torch.cat([mask] * (1 + more // WIDTH), dim=1)
            way.generate(
                wide,
                masks.cummax(1).values,
                max_length=wide.shape[1] + 1,
                pad=PAD,
                watch=lambda rows=rows: lambda _tokens: torch.ones(rows, dtype=torch.bool),
            )
    assert len(way._shapes) == MOST_SHAPES


def full_for(monkeypatch: pytest.MonkeyPatch, is_full: Callable[[], bool]) -> None:
    """Let steps find no memory."""
    repeat = TakenDecoding._repeat

    def full(self: TakenDecoding, shape: FixedShape, steps: int) -> None:
        repeat(self, shape, steps)
        if is_full():
            raise torch.OutOfMemoryError

    monkeypatch.setattr(TakenDecoding, "_repeat", full)


def test_memory_of_other_shapes_is_given_up_when_there_is_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half an answer is begun anew, and what had ended has not."""
    model = llama()
    way = decoding(model)
    answers(way, *prompts(12))
    watched: list[int] = []

    def watch() -> Callable[[Tensor], Tensor]:
        ended = torch.zeros(5, dtype=torch.bool)
        watched.append(0)

        def one_more(_tokens: Tensor) -> Tensor:
            watched[-1] += 1
            ended[watched[-1] // 5 % 5] = True
            return ended

        return one_more

    expected = way.generate(*prompts(), max_length=LONGEST, pad=PAD, watch=watch)
    full_for(monkeypatch, lambda: len(way._shapes) > 1)
    assert torch.equal(way.generate(*prompts(), max_length=LONGEST, pad=PAD, watch=watch), expected)
    assert len(watched) == 3
    full_for(monkeypatch, lambda: True)
    with pytest.raises(torch.OutOfMemoryError):
        answers(way, *prompts())


def test_architectures_that_keep_something_else_are_refused() -> None:
    """States of a linear attention, positions that depend on the text, questions to the GPU."""
    for changes in (
        {"layer_types": ["full_attention"] * 5 + ["linear_attention"]},
        {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1.0}},
        {"rope_parameters": {"full_attention": {"rope_type": "dynamic", "factor": 2.0}}},
    ):
        model = llama()
        for name, value in changes.items():
            setattr(model.config, name, value)
        with pytest.raises(NotCapturedError, match=r"linear_attention|longrope|dynamic"):
            answers(decoding(model), *prompts())
    model = llama()
    model._can_compile_fullgraph = False
    with pytest.raises(NotCapturedError, match="LlamaForCausalLM"):
        answers(decoding(model), *prompts())


@pytest.mark.parametrize(
    "other", [lambda _step: lambda: None, lambda step: lambda: [step(), step()]]
)
def test_a_repeated_step_that_is_not_the_step_is_noticed(other: Any) -> None:
    """As one that was recorded on another GPU than the model's, and does nothing."""
    with pytest.raises(NotCapturedError, match="not the step"):
        FixedShape(llama(), 8, LENGTHS, other)


def test_a_model_whose_prompts_cannot_be_read_so_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first answer; later it is the model's own fault, whatever it is."""
    model = llama()
    way = decoding(model)

    def refuse(*_arguments: Any) -> None:
        raise KeyError("cache")

    with monkeypatch.context() as patched:
        patched.setattr(FixedShape, "begin", refuse)
        with pytest.raises(NotCapturedError, match="KeyError"):
            answers(way, *prompts())
    answers(way, *prompts())
    monkeypatch.setattr(FixedShape, "begin", refuse)
    with pytest.raises(KeyError):
        answers(way, *prompts())


def test_a_model_that_was_captured_is_not_generated_from_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its other candidates have the other arithmetic, under the same identity."""
    way = decoding(llama())
    answers(way, *prompts())
    way.give_up()

    def refuse(_self: TakenDecoding) -> Capture:
        raise NotCapturedError

    monkeypatch.setattr(TakenDecoding, "_capture", refuse)
    with pytest.raises(InfrastructureError, match="as it was before"):
        answers(way, *prompts())
