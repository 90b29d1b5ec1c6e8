"""lm-eval's requests as vLLM gets them, and vLLM's answers as lm-eval gets them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.evaluate.vllm_backend.stand_in import StandInParams
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.language_model import BrokenModelError
from tsugiki.evaluate.sampling import Draw
from tsugiki.evaluate.vllm_backend.language_model import VllmLanguageModel


class RecordingEngine:
    """Keeps what it is asked, and gives the answers that it was made with."""

    def __init__(self, *answers: tuple[list[int], float | None]) -> None:
        self.answers = answers
        self.prompts: list[list[int]] = []
        self.params: list[Any] = []

    def generate(self, prompts: Any, params: Any, *, use_tqdm: bool) -> list[Any]:
        """Record, and answer."""
        assert not use_tqdm
        self.prompts = [prompt["prompt_token_ids"] for prompt in prompts]
        self.params = params
        return [
            SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, cumulative_logprob=total)])
            for ids, total in self.answers
        ]


def model_over(engine: RecordingEngine, models: Path, max_length: int = 12) -> VllmLanguageModel:
    """The model of that engine."""
    tokenizer = AutoTokenizer.from_pretrained(models / "base")
    return VllmLanguageModel(engine, StandInParams, tokenizer, ends=[2, 5], max_length=max_length)


def request(text: str, **settings: Any) -> Any:
    """A request of lm-eval."""
    return SimpleNamespace(args=(text, settings))


def ids(models: Path, text: str) -> list[int]:
    """Tokens of a text."""
    found: list[int] = AutoTokenizer.from_pretrained(models / "base")(text)["input_ids"]
    return found


def test_a_request_becomes_greedy_generation_within_its_limits(tiny_models: Path) -> None:
    """Stop sequences, all tokens that end an answer, the limit; long prompts lose their beginning."""
    engine = RecordingEngine(([8], -1.0), ([8], -1.0))
    model = model_over(engine, tiny_models)
    long = " ".join(f"w{index}" for index in range(20))
    model.generate_until(
        [
            request("w1 w2", until=["w60"], do_sample=False, max_gen_toks=6),
            request(long, until="w7", temperature=0.0, top_p=0.9, max_new_tokens=4),
        ]
    )
    assert engine.prompts == [ids(tiny_models, "w1 w2"), ids(tiny_models, long)[-8:]]
    assert model.cut == {(long, True)}
    assert [one.stop for one in engine.params] == [["w60", "</s>"], ["w7", "</s>"]]
    assert [one.max_tokens for one in engine.params] == [6, 4]
    for one in engine.params:
        assert (one.temperature, one.stop_token_ids, one.ignore_eos) == (0.0, [2, 5], True)
        assert not one.skip_special_tokens


def test_an_answer_is_cut_before_its_stop_sequence_and_end(tiny_models: Path) -> None:
    """The tokens that vLLM returns hold both."""
    stopped = ids(tiny_models, "w3 w4 w60")
    ended = [*ids(tiny_models, "w3 w4"), 2]
    engine = RecordingEngine((stopped, -1.0), (ended, -2.0))
    answers = model_over(engine, tiny_models).generate_until(
        [request("w1", until=["w60"], max_gen_toks=6)] * 2
    )
    assert [answer.strip() for answer in answers] == ["w3 w4", "w3 w4"]


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), float("inf")])
def test_one_answer_from_broken_logits_fails_the_model(tiny_models: Path, bad: float) -> None:
    """Until the clock is set anew."""
    engine = RecordingEngine(([8], -1.0), ([0], bad))
    model = model_over(engine, tiny_models)
    model.generate_until([request("w1", max_gen_toks=2)] * 2)
    with pytest.raises(BrokenModelError, match="not finite"):
        model.clock.stop()
    model.clock.reset()
    engine.answers = (([8], -1.0),)
    model.generate_until([request("w1", max_gen_toks=2)])
    assert model.clock.stop() > 0.0


def test_a_vllm_that_hides_broken_logits_is_refused(tiny_models: Path) -> None:
    """Without log-probabilities, a broken model might win."""
    model = model_over(RecordingEngine(([8], None)), tiny_models)
    with pytest.raises(TsugikiError, match="unnoticed"):
        model.generate_until([request("w1", max_gen_toks=2)])


def test_missing_answers_are_not_a_score(tiny_models: Path) -> None:
    """Each prompt has its answer."""
    model = model_over(RecordingEngine(([8], -1.0)), tiny_models)
    with pytest.raises(EvaluationError, match="1 of 2"):
        model.generate_until([request("w1", max_gen_toks=2)] * 2)


def test_what_cannot_be_answered_is_refused(tiny_models: Path) -> None:
    """Log-likelihoods, empty prompts, and answers that leave no room for a prompt."""
    model = model_over(RecordingEngine(), tiny_models)
    for ask in (model.loglikelihood, model.loglikelihood_rolling):
        with pytest.raises(ConfigError, match="transformers"):
            ask([request("w1")])
    with pytest.raises(ConfigError, match="max_length"):
        model.generate_until([request("w1", max_gen_toks=12)])
    with pytest.raises(ConfigError, match="no tokens"):
        model.generate_until([request("", max_gen_toks=2)])


def test_sampled_answers_have_a_seed_for_each_document_and_answer(tiny_models: Path) -> None:
    """The settings of the task, and none of a seed of its own where an answer is greedy."""
    engine = RecordingEngine(*[([8], -1.0)] * 5)
    sampled = request(
        Draw("w1 w2", "one"), do_sample=True, temperature=0.7, top_p=0.9, max_gen_toks=6
    )
    other = request(Draw("w1 w2", "other"), do_sample=True, max_gen_toks=6)
    model_over(engine, tiny_models).generate_until(
        [sampled, sampled, other, other, request("w1 w2", do_sample=False, max_gen_toks=6)]
    )
    assert [vars(one).get("seed") for one in engine.params] == [
        *(Draw("", "one", number).seed for number in (0, 1)),
        *(Draw("", "other", number).seed for number in (0, 1)),
        None,
    ]
    assert [one.temperature for one in engine.params] == [0.7, 0.7, 1.0, 1.0, 0.0]
    assert [vars(one).get("top_p") for one in engine.params] == [0.9, 0.9, None, None, None]
