"""Sampled answers: by the right chances, and the same whatever is asked beside them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM, AutoTokenizer

from tsugiki.config.evaluation import Thinking
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.sampling import Draw, KeyedSampling, numbered, samples
from tsugiki.evaluate.statistics import score_interval

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5])
SETTINGS = {"until": ["w60"], "max_gen_toks": 6, "do_sample": True, "temperature": 1.5}


def chances(temperature: float = 1.0, kept: int = 5) -> np.ndarray:
    """softmax(logits / temperature) of the `kept` likeliest tokens."""
    logits = LOGITS.numpy().astype(np.float64) / temperature
    logits[np.argsort(-logits)[kept:]] = -np.inf
    weights = np.exp(logits)
    found: np.ndarray = weights / weights.sum()
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, chances()),
        ({"temperature": 0.5}, chances(0.5)),
        ({"temperature": 2.0, "top_k": 3}, chances(2.0, 3)),
        ({"top_p": 0.9}, chances(kept=3)),  # 0.46, 0.28, 0.17: 0.91 together
        ({"top_k": 0, "top_p": 1.0}, chances()),
    ],
)
def test_tokens_are_drawn_by_the_models_distribution(
    settings: dict[str, Any], expected: np.ndarray
) -> None:
    """Frequencies over 4,000 answers, by a test of goodness of fit; what is cut off is never drawn."""
    draws = [Draw("p", f"document {number % 1000}", number // 1000) for number in range(4000)]
    rows = LOGITS.expand(len(draws), -1)
    scores = KeyedSampling(draws, 1, 1, settings)(
        torch.zeros(len(draws), 1, dtype=torch.long), rows
    )
    counts = np.bincount(scores.argmax(dim=-1).numpy(), minlength=5)
    assert torch.isfinite(scores).sum(dim=-1).eq(1).all()
    assert not counts[expected == 0].any()
    possible = expected > 0
    assert chisquare(counts[possible], 4000 * expected[possible]).pvalue > 0.001


def test_logits_that_are_no_numbers_give_some_token() -> None:
    """The model is found to be broken afterwards; nothing crashes before."""
    rows = torch.full((2, 5), torch.nan)
    scores = KeyedSampling([Draw("p", "d"), Draw("p", "e")], 1, 1, {})(torch.zeros(2, 1), rows)
    assert torch.isfinite(scores).any(dim=-1).all()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"do_sample": True}, True),
        ({"temperature": 0.7}, True),
        ({"do_sample": False, "temperature": 0.7}, False),
        ({"temperature": 0.0}, False),
        ({}, False),
    ],
)
def test_whether_answers_are_sampled_is_as_in_lm_eval(
    settings: dict[str, Any], expected: bool
) -> None:
    """`do_sample` decides where it is there, and `temperature` otherwise."""
    assert samples(settings) is expected


def test_a_draw_is_a_text_that_survives_copies() -> None:
    """lm-eval copies requests; prompts are looked up in tables by their text."""
    draw = Draw("w1 w2", "document", 3)
    again = copy.deepcopy(draw)
    assert (again, again.document, again.number, again.seed) == ("w1 w2", "document", 3, draw.seed)
    assert {"w1 w2": 1}[draw] == 1
    assert draw.seed != Draw("w1 w2", "document", 2).seed != Draw("w1 w2", "other", 2).seed
    assert draw.seed < 2**63


def asked(document: int, repeats: int = 3) -> list[Instance]:
    """A request as lm-eval repeats it."""
    prompt = Draw(f"w{document} w{2 * document}" + " w9" * (document % 3), f"document {document}")
    return [Instance("generate_until", {}, (prompt, dict(SETTINGS)), 0)] * repeats


def test_lm_evals_copies_of_a_request_are_numbered() -> None:
    """Those of each document from 0; greedy requests pass as they are."""
    greedy = Instance("generate_until", {}, ("w1", {"do_sample": False}), 0)
    found = list(numbered([*asked(1, 2), greedy, *asked(2, 2)]))
    assert found[2] is greedy
    assert [one.args[0].number for one in (*found[:2], *found[3:])] == [0, 1, 0, 1]


@pytest.fixture(scope="module")
def parts(tiny_models: Path) -> tuple[Any, Any]:
    """A model and its tokenizer."""
    folder = tiny_models / "base"
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_an_answer_is_the_same_whatever_is_asked_beside_it(parts: tuple[Any, Any]) -> None:
    """In other batches, in another order, alone, and after other random numbers; answers differ by number."""
    requests = [one for document in range(1, 6) for one in asked(document)]
    torch.manual_seed(1)
    together = LanguageModel(*parts, batch_size=7).generate_until(requests)
    state = torch.manual_seed(2).get_state()
    alone = [
        answer
        for document in (5, 4, 3, 2, 1)
        for answer in LanguageModel(*parts, batch_size=1).generate_until(asked(document))
    ]
    assert torch.equal(torch.get_rng_state(), state), "no global number is drawn"
    by_document = [alone[at : at + 3] for at in range(0, 15, 3)]
    assert together == [answer for answers in reversed(by_document) for answer in answers]
    assert len(set(together)) > 10


def test_the_thinking_part_of_each_answer_is_kept(parts: tuple[Any, Any]) -> None:
    """By the prompt and the answer's number."""
    model = LanguageModel(
        *parts, batch_size=2, thinking=Thinking(start="w1", end="w2", max_tokens=6)
    )
    model.generate_until(asked(4))
    assert set(model.thoughts) == {(asked(4)[0].args[0], number) for number in range(3)}


def test_an_interval_over_documents_holds_the_noise_of_sampling() -> None:
    """Of 100 runs, each with other documents and two answers to each, about 95 hold the true mean."""
    random = np.random.default_rng(5)
    held = 0
    for run in range(100):
        solved = random.beta(0.5, 0.5, size=60)  # the chance that each document is answered right
        values = random.binomial(2, solved) / 2
        interval = score_interval(values, ("test", str(run)))
        held += interval.low <= 0.5 <= interval.high
    assert 88 <= held <= 99
