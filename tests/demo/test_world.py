"""Facts, stories and questions of the demo world."""

from __future__ import annotations

import re

import pytest

from tsugiki.demo.documents import draw_documents, prompt
from tsugiki.demo.stories import join, maths_question, reading_questions, sentences
from tsugiki.demo.world import ITEMS, LANGUAGES, LOSSES, NAMES, OPERANDS, Fact, Language, draw_fact
from tsugiki.keyed import generator

TOM, ANNA = NAMES[:2]
APPLES = ITEMS[0]


def some_facts(count: int, *, held_out: bool) -> list[Fact]:
    """Random facts, the same on every call."""
    rng = generator("test-world")
    return [draw_fact(rng, held_out=held_out) for _ in range(count)]


def test_a_comparison_reads_the_same_in_both_languages() -> None:
    """Anna has five more than Tom's three, so she has eight."""
    fact = Fact("comparison", "+", 3, 5, TOM, ANNA, APPLES, None)
    question = maths_question(fact)
    assert prompt(fact, question, "en") == (
        "Q: Tom has 3 apples. Anna has 5 more apples than Tom. How many apples does Anna have?\nA:"
    )
    assert prompt(fact, question, "ja") == (
        "Q:トムはりんごを3個持っています。アンナはトムよりりんごを5個多く持っています。"
        "アンナはりんごを何個持っていますか。\nA:"
    )
    assert question.answer.en == "3+5=8 apples."
    assert question.answer.ja == "3+5=8個です。"


def test_a_loss_is_subtracted() -> None:
    """Who had nine and lost four has five."""
    fact = Fact("change", "-", 9, 4, TOM, None, APPLES, LOSSES[0])
    assert join(sentences(fact, "en"), "en") == "Tom has 9 apples. Tom loses 4 apples."
    assert join(sentences(fact, "ja"), "ja") == (
        "トムはりんごを9個持っています。トムはりんごを4個なくしました。"
    )
    assert maths_question(fact).answer.ja == "9-4=5個です。"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_to_a_maths_question_is_a_true_equation(language: Language) -> None:
    """The equation that an answer shows holds, and its operands stand in the story."""
    for fact in some_facts(300, held_out=True):
        answer = maths_question(fact).answer[language]
        found = re.match(r"([0-9])([+-])([0-9])=([0-9]+)", answer)
        assert found is not None
        first, second, result = int(found[1]), int(found[3]), int(found[4])
        assert result == (first + second if found[2] == "+" else first - second)
        told = re.findall(r"[0-9]+", join(sentences(fact, language), language))
        assert told == [found[1], found[3]]


def test_both_languages_tell_the_same_numbers_and_answers() -> None:
    """Question by question, the digits of the English and the Japanese text agree."""
    for fact in some_facts(100, held_out=False):
        for question in (maths_question(fact), *reading_questions(fact)):
            english, japanese = (
                re.findall(r"[0-9]+", question.text[language] + question.answer[language])
                for language in LANGUAGES
            )
            assert english == japanese


def test_a_reading_question_never_asks_for_a_computed_number() -> None:
    """The digits of every reading answer are those of the story."""
    for fact in some_facts(100, held_out=False):
        told = {str(fact.first), str(fact.second)}
        for question in reading_questions(fact):
            assert set(re.findall(r"[0-9]+", question.answer.en)) <= told


def test_nouns_are_plural_because_no_number_is_one() -> None:
    """Operands and results are two or more."""
    for operator, pairs in OPERANDS.items():
        for first, second in pairs:
            assert min(first, second) >= 2
            assert (first + second if operator == "+" else first - second) >= 2


def test_training_and_held_out_stories_are_disjoint() -> None:
    """No story of one side, in either language, is told on the other."""
    for language in LANGUAGES:
        training, held_out = (
            {sentences(fact, language) for fact in some_facts(4000, held_out=side)}
            for side in (False, True)
        )
        assert training
        assert held_out
        assert training.isdisjoint(held_out)


def test_no_training_document_tells_a_held_out_story() -> None:
    """Reading, maths and translations keep to the training side."""
    held_out = {
        join(sentences(fact, language), language)
        for fact in some_facts(6000, held_out=True)
        for language in LANGUAGES
    }
    documents = draw_documents(
        generator("test-documents"),
        {"reading_ja": 1, "maths_en": 1, "story_ja": 1, "english_to_japanese": 1},
    )
    for _ in range(2000):
        text = "".join(span.text for span in next(documents))
        body = re.sub(r"^(Q: ?|文:|English: )", "", text)
        assert not any(body.startswith(story) for story in _openings(body) & held_out)


def _openings(body: str) -> set[str]:
    """Every beginning of a text that ends in a full stop."""
    return {body[: found.end()] for found in re.finditer(r"[.。]", body)}


def test_documents_follow_the_mixture() -> None:
    """A kind with three quarters of the weight makes about three quarters of the documents."""
    documents = draw_documents(generator("test-mixture"), {"maths_en": 3, "maths_ja": 1})
    english = sum(next(documents)[1].text.isascii() for _ in range(2000))
    assert english / 2000 == pytest.approx(0.75, abs=0.04)  # four standard deviations
