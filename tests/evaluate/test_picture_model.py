"""Asking vision-language models about pictures, one of each family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.hf_vlms import HFMultimodalLM
from transformers import AutoModelForImageTextToText, AutoTokenizer

from tests.evaluate.sighted_models import FAMILIES, draw
from tsugiki.errors import EvaluationError
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.evaluate.picture_model import PictureModel
from tsugiki.evaluate.pictures import PLACEHOLDER, Picture, open_picture
from tsugiki.evaluate.processors import marker_of, misfits, open_processor

SETTINGS = {"until": ["w60"], "do_sample": False, "max_gen_toks": 6}


class Family:
    """A tiny model with its processor, and pictures."""

    def __init__(self, name: str, root: Path) -> None:
        folder = FAMILIES[name](root / "model")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        self.processor = open_processor(folder, self.tokenizer)
        self.pictures = [open_picture(path) for path in draw(root / "pictures", 3)]

    def asked(self, batch_size: int = 1) -> PictureModel:
        """The model as lm-eval sees it."""
        return PictureModel(
            self.model, self.tokenizer, batch_size=batch_size, processor=lambda: self.processor
        )

    def requests(self, kind: str, second: Any) -> list[Instance]:
        """Prompts of several lengths, each with a picture or two, and one without."""
        prompts = [
            ("w1 <image> w2", self.pictures[:1]),
            ("<image> w3", self.pictures[1:2]),
            ("<image> w3", self.pictures[2:3]),
            ("w4 w5 <image> w6 w7 w8 <image>", self.pictures[:2]),
        ]
        return [
            Instance(kind, {}, (prompt, second, {"visual": shown}), place)
            for place, (prompt, shown) in enumerate(prompts)
        ]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Each family in turn."""
    return Family(request.param, tmp_path_factory.mktemp("family"))


class Theirs(HFMultimodalLM):  # type: ignore[misc]
    """lm-eval's own model for pictures, with a processor that it need not load."""

    def __init__(self, family: Family) -> None:
        self.given = family
        mark = marker_of(family.processor, family.tokenizer, family.model.config)
        super().__init__(family.model, batch_size=1, image_string=mark)

    def _create_tokenizer(self, *given: Any, **named: Any) -> None:
        del given, named
        self.processor, self.tokenizer = self.given.processor, self.given.tokenizer


def test_answers_are_those_of_lm_eval(family: Family) -> None:
    """Of its `hf-multimodal`, which takes plain images."""
    requests = family.requests("generate_until", SETTINGS)
    plain = [
        Instance(
            "generate_until",
            {},
            (*one.args[:2], {"visual": [shown.image for shown in one.args[2]["visual"]]}),
            one.idx,
        )
        for one in requests
    ]
    assert misfits(family.processor, family.model.config) == []
    answers = family.asked().generate_until(requests)
    assert answers == Theirs(family).generate_until(plain, disable_tqdm=True)
    assert len(set(answers)) > 1


def test_batches_change_no_answer_and_texts_may_stand_among_pictures(family: Family) -> None:
    """Prompts of other lengths are padded, and each keeps its own pictures."""
    requests = family.requests("generate_until", SETTINGS)
    text = Instance("generate_until", {}, ("w9 w10", SETTINGS), 9)
    mixed = [*requests[:2], text, *requests[2:]]
    together = family.asked(batch_size=4).generate_until(mixed)
    assert together == family.asked(batch_size=1).generate_until(mixed)
    alone = LanguageModel(family.model, family.tokenizer, batch_size=1)
    assert together[2] == alone.generate_until([text])[0]


def likelihood(family: Family, prompt: str, after: str, pictures: list[Picture]) -> float:
    """Log-likelihood of a continuation, by transformers alone."""
    mark = marker_of(family.processor, family.tokenizer, family.model.config)
    encoded = family.processor(
        text=[(prompt + after).replace(PLACEHOLDER, mark)],
        images=[[one.image for one in pictures]],
        return_tensors="pt",
    )
    with torch.no_grad():
        logits = family.model(**encoded).logits[0].log_softmax(-1)
    ids, count = encoded["input_ids"][0], len(after.split())
    return sum(float(logits[-count - 1 + one, ids[len(ids) - count + one]]) for one in range(count))


def test_choices_have_the_likelihood_that_the_model_gives_them(family: Family) -> None:
    """Behind a prompt with pictures, in batches, whatever their lengths."""
    afters = [" w11", " w12 w13 w14"]
    requests = [one for after in afters for one in family.requests("loglikelihood", after)]
    found = family.asked(batch_size=3).loglikelihood(requests)
    expected = [
        likelihood(family, one.args[0], one.args[1], one.args[2]["visual"]) for one in requests
    ]
    assert [value for value, _ in found] == pytest.approx(expected, abs=1e-4)
    assert found[1] != found[2]  # one prompt, two pictures


def test_a_chat_shows_its_pictures(family: Family) -> None:
    """By a template that knows contents in parts alone; a text without pictures is not lost either."""
    asked = family.asked()
    chat = asked.apply_chat_template([{"role": "user", "content": "<image> w1"}])
    assert chat.count(family.processor.image_token) == 1
    answers = asked.generate_until(
        [Instance("generate_until", {}, (chat, SETTINGS, {"visual": family.pictures[:1]}), 0)]
    )
    assert len(answers) == 1
    assert "w1" in asked.apply_chat_template([{"role": "user", "content": "w1"}])


def test_a_prompt_that_does_not_fit_is_no_score(family: Family) -> None:
    """Cutting it would cut pictures."""
    long = " ".join(["<image>", *["w1"] * 130])
    request = Instance("generate_until", {}, (long, SETTINGS, {"visual": family.pictures[:1]}), 0)
    with pytest.raises(EvaluationError, match="longer than the model can read"):
        family.asked().generate_until([request])


def test_a_text_model_is_asked_without_the_pictures(family: Family) -> None:
    """The same question, and nothing in the pictures' place."""
    asked = LanguageModel(family.model, family.tokenizer, batch_size=2)
    requests = family.requests("generate_until", SETTINGS)
    plain = [
        Instance("generate_until", {}, (one.args[0].replace("<image>", ""), SETTINGS), one.idx)
        for one in requests
    ]
    assert asked.generate_until(requests) == asked.generate_until(plain)
