"""What tasks make of their documents, where that is no mean."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from lm_eval.api.registry import get_aggregation
from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import f1_score, matthews_corrcoef

from tests.runs_for_tests import evaluation_section
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import EvaluationError, LineageError
from tsugiki.evaluate.aggregation import (
    Aggregation,
    Aggregations,
    aggregation_of,
    read_part,
    write_part,
)
from tsugiki.keyed import generator

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dogs", "ran.")
DOCUMENTS = 40


def sentence(*key: str | int) -> str:
    """Some words."""
    return " ".join(generator(*key).choice(WORDS, size=8))


def translations() -> list[Any]:
    """References and answers that have a few words in common."""
    return [[sentence("t", n // 2), sentence("t", n)] for n in range(DOCUMENTS)]


def classes(count: int) -> list[Any]:
    """Gold and predicted classes, as lm-eval has them: one plain, one of numpy."""
    drawn = generator("classes", count).integers(count, size=(DOCUMENTS, 2))
    return [(int(gold), predicted) for gold, predicted in drawn]


def weighted() -> list[Any]:
    """Log-likelihoods and numbers of words."""
    random = generator("weighted")
    return [(-random.uniform(5, 50), int(random.integers(1, 30))) for _ in range(DOCUMENTS)]


PARTS: dict[str, list[Any]] = {
    "perplexity": [ll for ll, _ in weighted()],
    "weighted_perplexity": weighted(),
    "bits_per_byte": weighted(),
    "f1": classes(2),
    "matthews_corrcoef": classes(3),
    "bleu": translations(),
    "chrf": translations(),
    "chrf++": translations(),
    "ter": translations(),
    "median": [ll for ll, _ in weighted()],
    "brier_score": [
        (int(n % 2), np.array([share, 1 - share]))
        for n, share in enumerate(generator("brier").uniform(size=DOCUMENTS))
    ],
}


def registered(name: str) -> Aggregation:
    """One of lm-eval's."""
    function = get_aggregation(name)
    assert function is not None
    return Aggregation(name, function)


@pytest.mark.parametrize("name", PARTS)
def test_samples_of_documents_have_the_values_of_lm_evals_own_functions(name: str) -> None:
    """However they are computed; the record of the documents gives the same value too."""
    parts = [read_part(write_part(part)) for part in PARTS[name]]
    aggregation = registered(name)
    samples = generator("samples").integers(len(parts), size=(5, len(parts)))
    found = aggregation.statistic(parts)(samples)
    expected = [
        aggregation.function([PARTS[name][place] for place in places]) for places in samples
    ]
    assert found == pytest.approx(expected, rel=1e-9)
    assert aggregation(parts) == pytest.approx(aggregation.function(PARTS[name]), rel=1e-12)


def test_values_are_those_of_their_formulas_and_libraries() -> None:
    """Exp of the mean, of the weighted mean; scikit-learn's and sacrebleu's."""
    lls, words = (np.array(column) for column in zip(*weighted(), strict=True))
    assert registered("perplexity")(PARTS["perplexity"]) == pytest.approx(np.exp(-lls.mean()))
    expected = np.exp(-lls.sum() / words.sum())
    assert registered("weighted_perplexity")(weighted()) == pytest.approx(expected)
    assert registered("f1")(classes(2)) == f1_score(*zip(*classes(2), strict=True))
    of_three = matthews_corrcoef(*zip(*classes(3), strict=True))
    assert registered("matthews_corrcoef")(classes(3)) == of_three
    references, answers = zip(*translations(), strict=True)
    bleu = BLEU().corpus_score(answers, [references]).score
    assert registered("bleu")(translations()) == pytest.approx(bleu)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda _: math.nan, "has no finite value"),
        (lambda parts: math.exp(-parts[0]), "OverflowError"),
        (lambda _: "high", "ValueError"),
    ],
)
def test_what_comes_to_no_number_is_a_failure_and_nan_in_a_sample(
    function: Any, reason: str
) -> None:
    """A candidate without a value has no score."""
    aggregation = Aggregation("!function mine", function)
    with pytest.raises(EvaluationError, match=reason):
        aggregation([-1e6])
    assert np.isnan(aggregation.statistic([-1e6])(np.array([[0]]))).all()


class Task:
    """What `aggregation_of` asks a task for."""

    def __init__(self, **functions: Any) -> None:
        self._functions = functions

    def aggregation(self) -> dict[str, Any]:
        """By metric, without filters."""
        return self._functions


def minimum(parts: list[float], start: float = 1.0) -> float:
    """The worst document."""
    return min([start, *parts])


def test_the_mean_goes_unnamed_and_others_have_a_name_that_can_be_recorded() -> None:
    """lm-eval's names, or the task's own with a mark, so that a task's `f1` is not lm-eval's."""
    functions = {name: get_aggregation(name) for name in ("mean", "perplexity", "f1")}
    task = Task(**functions, mine=minimum, half=partial(minimum, start=0.5))
    names = {
        metric: found.name if (found := aggregation_of(task, f"{metric},none")) else None
        for metric in ("mean", "perplexity", "f1", "mine", "half", "unlisted")
    }
    assert names == {
        "mean": None, "perplexity": "perplexity", "f1": "f1", "mine": "!function minimum",
        "half": "!function minimum", "unlisted": None,
    }  # fmt: skip


def test_recorded_names_are_found_again_and_unknown_ones_are_refused(tiny_tasks: Any) -> None:
    """A score is never checked against another aggregation."""
    known = Aggregations(Evaluation.model_validate(evaluation_section(tiny_tasks)))
    assert known.find("even", None) is None
    found = known.find("even", "perplexity")
    assert found is not None
    assert found([-1.0, -3.0]) == pytest.approx(math.exp(2))
    with pytest.raises(LineageError, match="not known here") as caught:
        known.find("even", "harmonic")
    assert caught.value.got == "the mean"
    with pytest.raises(LineageError, match="not known here"):
        known.find("even", "!function minimum")
