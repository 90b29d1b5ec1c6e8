"""Thinking parts of answers: stop texts within them, what is cut off, and what is not closed in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from lm_eval.api.instance import Instance

from tests.evaluate.evaluators.test_from_file import section
from tests.evaluate.sandboxes import needs_sandbox
from tests.evaluate.test_chat import CHATML, write_chat_tokenizer
from tests.evaluate.vllm_backend.stand_in import StandInParams
from tests.parents.checkpoints import write_llama
from tsugiki.config.evaluation import Evaluation, Thinking
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.samples import Sample
from tsugiki.evaluate.chat_server import ChatServer
from tsugiki.evaluate.evaluators.code import Code
from tsugiki.evaluate.evaluators.judge import Judged
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.score import _thinking
from tsugiki.evaluate.stopping import StopAfterThinking
from tsugiki.evaluate.thinking import Thought, Thoughts
from tsugiki.evaluate.vllm_backend.language_model import VllmLanguageModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the marks of thinking among its tokens."""
    folder = tmp_path_factory.mktemp("model")
    write_llama(folder)
    write_chat_tokenizer(folder, None)
    return folder


@pytest.fixture
def tokenizer(folder: Path) -> Any:
    """Its tokenizer."""
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    loaded.pad_token = loaded.eos_token
    return loaded


SETTINGS = Thinking(max_tokens=5)
CASES = [
    # answer that is generated, prompt's end, what is left of it, tokens of thinking, closed
    ("<think> w1 w5 </think> w2 w3 w5 w6", "", "w2 w3 ", 4, True),
    ("w1 w5 </think> w2 w5", "<think>", "w2 ", 3, True),
    ("<think> w1 w2 w3 w4 w6 </think> w2", "", "", 6, False),
    ("<think> w1 w5 w2", "", "", 4, False),
    ("w1 w2 w5 w3", "", "w1 w2 ", 0, True),
    ("<think> w1 </think> w1 w2 w3 w4 w6 w7 w8", "", "w1 w2 w3 w4 w6", 3, True),
]
"""With the stop text `w5`, five tokens of thinking, and answers of five tokens at most."""


class Scripted:
    """Generates given tokens with any row's stopping criteria, as transformers does."""

    def __init__(self, model: LanguageModel, answers: list[list[int]]) -> None:
        self.answers = answers
        self.pad = model.tokenizer.pad_token_id

    def generate(
        self, input_ids: torch.Tensor, max_length: int, stopping_criteria: Any, **_: Any
    ) -> torch.Tensor:
        """All rows until each is done; shape (batch, tokens)."""
        open_rows, ids = [True] * len(input_ids), input_ids
        for place in range(max_length - input_ids.shape[1]):
            tokens = [
                answer[place] if running and place < len(answer) else self.pad
                for running, answer in zip(open_rows, self.answers, strict=True)
            ]
            ids = torch.cat([ids, torch.tensor(tokens)[:, None]], dim=1)
            done = stopping_criteria(ids, None).tolist()
            open_rows = [
                running and not ends and place + 1 < len(answer)
                for running, ends, answer in zip(open_rows, done, self.answers, strict=True)
            ]
            if not any(open_rows):
                break
        self.generated = ids
        return ids


def asked(prompt: str) -> Instance:
    """A request of lm-eval."""
    settings = {"until": ["w5"], "max_gen_toks": 5, "do_sample": False}
    return Instance("generate_until", {}, (prompt, settings), 0)


def prompts() -> list[str]:
    """A prompt for each case, all of one length but for the mark."""
    return [
        f"w{20 + index} w{30 + index} {end or 'w9'}" for index, (_, end, *_) in enumerate(CASES)
    ]


def test_what_comes_after_thinking_is_the_answer_with_either_backend(
    folder: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop text within the thinking ends nothing, and each part has its own budget."""
    live = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model = LanguageModel(live, tokenizer, batch_size=1, thinking=SETTINGS)
    whole = [tokenizer(text, add_special_tokens=False)["input_ids"] for text, *_ in CASES]
    for prompt, ids, (_, _, answer, tokens, closed) in zip(prompts(), whole, CASES, strict=True):
        script = Scripted(model, [ids])
        monkeypatch.setattr(live, "generate", script.generate)
        assert model.generate_until([asked(prompt)]) == [answer]
        thought = model.thoughts[prompt]
        assert thought.closed == closed
        if closed:
            assert thought.tokens == tokens
    of_case_0 = len(script.generated[0]) - 4
    assert of_case_0 == 3 + 5  # no further than the answer's limit

    class Engine:
        def generate(self, asked: Any, settings: Any, use_tqdm: bool) -> list[Any]:
            from types import SimpleNamespace

            del use_tqdm
            assert all(one.stop == [] for one in settings)
            outputs = [
                SimpleNamespace(token_ids=ids[: one.max_tokens], cumulative_logprob=-1.0)
                for ids, one in zip(whole, settings, strict=True)
            ]
            del asked
            return [SimpleNamespace(outputs=[output]) for output in outputs]

    vllm = VllmLanguageModel(
        Engine(), StandInParams, tokenizer, ends=[2], max_length=64, thinking=SETTINGS
    )
    assert vllm.generate_until([asked(prompt) for prompt in prompts()]) == [c[2] for c in CASES]
    closed_ones = {name: one.closed for name, one in vllm.thoughts.items()}
    assert closed_ones == {name: one.closed for name, one in model.thoughts.items()}


def test_what_fills_a_row_up_is_no_thinking(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that was given up at its budget of five waits for a longer one, filled with a token of its own."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = "w59"
    live = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model = LanguageModel(live, tokenizer, batch_size=2, thinking=SETTINGS)
    chosen = (2, 5)
    whole = [tokenizer(CASES[one][0], add_special_tokens=False)["input_ids"] for one in chosen]
    monkeypatch.setattr(live, "generate", Scripted(model, whole).generate)
    asked_ = [asked(prompts()[one]) for one in chosen]
    assert model.generate_until(asked_) == [CASES[one][2] for one in chosen]
    assert [model.thoughts[one.args[0]].tokens for one in asked_] == [5, 3]


def test_thinking_that_is_not_closed_ends_at_its_budget(tokenizer: Any) -> None:
    """No token more is generated; one that was closed in time goes on."""
    thoughts = Thoughts(SETTINGS, tokenizer)
    ids = tokenizer("<think> w1 w2 w3 w4 w6 w7", add_special_tokens=False)["input_ids"]
    criterion = StopAfterThinking(thoughts, ["w5"], 0, {}, [False], 5)
    ended = [bool(criterion(torch.tensor([ids[:count]]), None)[0]) for count in range(1, 7)]
    assert ended == [False, False, False, False, True, True]


def test_a_mark_may_be_any_text_or_a_special_token(tokenizer: Any) -> None:
    """Special tokens vanish from a decoded answer."""
    settings = Thinking(start="<|im_start|>", end="<|im_end|>", max_tokens=9)
    ids = tokenizer("<|im_start|> w1 w2 <|im_end|> w3", add_special_tokens=False)["input_ids"]
    thought = Thoughts(settings, tokenizer).cut("w1", ids, 5)
    assert tokenizer.decode(thought.answer) == "w3"
    settings = Thinking(start="w7", end="w8 w9")
    ids = tokenizer("w7 w1 w8 w9 w3", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(Thoughts(settings, tokenizer).cut("w1", ids, 5).answer) == "w3"


def test_white_space_before_an_answer_is_no_stop_text(folder: Path) -> None:
    """Models write an empty line after they have closed their thinking."""

    class Characters:
        def decode(self, ids: Any, **_: Any) -> str:
            ids = ids if isinstance(ids, list) else ids.reshape(-1).tolist()
            return "".join(map(chr, ids))

    del folder
    settings = Thinking(start="<t>", end="</t>", max_tokens=50)
    thoughts = Thoughts(settings, Characters())

    def ends_after(text: str) -> int:
        criterion = StopAfterThinking(thoughts, ["\n\n"], 0, {}, [False], 20)
        ids = list(map(ord, text))
        counts = (n for n in range(1, len(ids) + 1) if criterion(torch.tensor([ids[:n]]), None)[0])
        return next(counts, 0)

    text = "<t>a\n\nb</t>\n\n42\n\n"
    assert ends_after(text + "more") == len(text)
    assert ends_after("\n\n<t>a</t>4\n\n") == len("\n\n<t>a</t>4\n\n")
    assert ends_after("<no\n\n") == len("<no\n\n")


def record(prompt: str, doc_id: int) -> Sample:
    """What came of a document."""
    return Sample("even", "words", doc_id, "h", 0.0, prompt=prompt, prompt_hash="p", max_tokens=5)


def test_the_share_that_was_not_closed_is_a_rate() -> None:
    """Once for each answer; on the documents of earlier rungs too."""
    thoughts = {
        "p": Thought(4, closed=True, answer=[1]),
        "q": Thought(6, closed=False, answer=[]),
    }
    records = [record("p", 0), record("q", 1), record("q", 1)]
    assert _thinking(records, thoughts, None) == {"thinking": 5.0, "unclosed": 0.5}
    assert _thinking(records, {}, None) == {}
    assert Scored.model_fields["rates"].annotation == dict[str, float]


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("code", {"prompt": "w1 w2", "tests": "assert False"}),
        ("judged", {"question": "w1 w2", "reference": ""}),
    ],
)
@needs_sandbox
def test_programs_and_judged_answers_of_chats_that_do_not_close_their_thinking_are_counted(
    folder: Path, tmp_path: Path, kind: str, document: dict[str, str], monkeypatch: Any
) -> None:
    """A record names the prompt that the model was put, by which its thinking is known."""
    live = transformers.AutoModelForCausalLM.from_pretrained(folder)
    chatting = transformers.AutoTokenizer.from_pretrained(folder)
    chatting.pad_token, chatting.chat_template = chatting.eos_token, CHATML + "<think>"
    model = LanguageModel(live, chatting, batch_size=1, thinking=SETTINGS)
    monkeypatch.setattr(ChatServer, "ask", lambda *_: "[[C]]")
    (tmp_path / "documents.jsonl").write_text(json.dumps(document))
    judge = {"judge": {"url": "http://localhost", "model": "m", "version": "1"}}
    objective = {
        "name": "it",
        kind: "documents.jsonl",
        "max_tokens": 4,
        **(judge if kind == "judged" else {}),
    }
    settings = section(tmp_path, objective) | {"apply_chat_template": True}
    evaluator = {"code": Code, "judged": Judged}[kind](Evaluation.model_validate(settings))
    # five tokens of a random model do not hold the closing mark
    (record,) = evaluator.score(model, {str(tmp_path / "documents.jsonl"): [0]})
    rates = _thinking([record], model.thoughts, None)
    assert rates == {"thinking": 5.0, "unclosed": 1.0}
    assert record.prompt == model.apply_chat_template([{"role": "user", "content": "w1 w2"}])
