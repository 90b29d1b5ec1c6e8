"""Decoding, and what is noticed on the way."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from torch import nn
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import CausalLMOutput

from tsugiki.evaluate.language_model import (
    BrokenModelError,
    ForwardClock,
    end_tokens,
)
from tsugiki.evaluate.stopping import StopTokens


@pytest.fixture(scope="module")
def characters() -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each byte, so that a Japanese character is three tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = Tokenizer(BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=model)


def stops_after(
    tokenizer: PreTrainedTokenizerFast, stop: str, prompt: str, answer: str
) -> int | None:
    """How many tokens of the answer are generated until the stop sequence ends it."""
    context = tokenizer(prompt)["input_ids"]
    criterion = StopTokens([stop], tokenizer, len(context), {})
    ids = tokenizer(answer)["input_ids"]
    for count in range(1, len(ids) + 1):
        if bool(criterion(torch.tensor([[*context, *ids[:count]]]), None)[0]):
            return count
    return None


@pytest.mark.parametrize("stop", ["\n", "\n\n", "Q:", "。", "問題", "</s>"])
def test_an_answer_ends_with_the_stop_sequence_however_it_is_split(
    characters: PreTrainedTokenizerFast, stop: str
) -> None:
    """Over several tokens, or several tokens to a character."""
    answer = f"12 りんご{stop}more"
    wanted = len(characters(f"12 りんご{stop}")["input_ids"])
    assert stops_after(characters, stop, "問", answer) == wanted


def test_a_stop_sequence_in_the_prompt_ends_nothing(characters: PreTrainedTokenizerFast) -> None:
    """Only generated text counts, also where prompt and answer would make one together."""
    assert stops_after(characters, "\n\n", "a\n\n", "\nanswer") is None
    assert stops_after(characters, "ab", "a", "b") is None


def test_each_row_of_a_batch_ends_for_itself(characters: PreTrainedTokenizerFast) -> None:
    """A row that is done stays done."""
    criterion = StopTokens(["x"], characters, 0, {})
    ids = torch.tensor([characters("xab")["input_ids"], characters("abx")["input_ids"]])
    found = [criterion(ids[:, :count], None).tolist() for count in (1, 2, 3)]
    assert found == [[True, False], [True, False], [True, True]]


class Echo(nn.Module):
    """A model whose logits are its input."""

    def forward(self, values: torch.Tensor) -> CausalLMOutput:
        """Return the input as logits."""
        return CausalLMOutput(logits=values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_bad_logit_among_many_passes_is_noticed(bad: float) -> None:
    """Until the clock is set anew."""
    model = Echo()
    clock = ForwardClock(model)
    model(torch.zeros(2, 3))
    assert clock.stop() > 0.0
    model(torch.tensor([[0.0, bad]]))
    model(torch.zeros(2, 3))
    with pytest.raises(BrokenModelError, match="not finite"):
        clock.stop()
    clock.reset()
    model(torch.zeros(2, 3))
    clock.stop()


@pytest.mark.parametrize(
    ("declared", "own", "ends"),
    [([9, 2], 5, [2, 5, 9]), (5, 5, [5]), (None, 5, [5]), (None, None, [])],
)
def test_every_token_that_a_model_ends_its_answers_with_ends_them(
    declared: list[int] | int | None, own: int | None, ends: list[int]
) -> None:
    """Chat models have one for the turn and one for the text; a tokenizer names only one."""
    config = GenerationConfig(eos_token_id=declared)
    assert end_tokens(config, SimpleNamespace(eos_token_id=own)) == ends
