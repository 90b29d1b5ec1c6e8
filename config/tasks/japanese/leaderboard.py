"""Scores of the tasks of JP-LMEH, the Japanese lm-evaluation-harness: one number by one name, for their mean.

A group of tasks has a value only where its tasks share a metric, and lm-eval's own Japanese tasks have `acc`,
`exact_match` and `rouge2`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.tasks.japanese_leaderboard import ja_leaderboard_mgsm


def score_choice(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """1 if the right choice is the likeliest, as `score`.

    Args:
        doc: A document with the place of the right choice as `label`.
        results: Log-likelihood (nats) of each choice, and whether it is what greedy decoding says.
    """
    return {"score": float(_likeliest(results) == int(doc["label"]))}


def score_acceptability(
    doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
) -> dict[str, Any]:
    """As `score_choice`; and what Matthews' correlation is computed from, the right choice and the likeliest."""
    return {**score_choice(doc, results), "mcc": (int(doc["label"]), _likeliest(results))}


def score_text(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 if an answer is one of the right ones, apart from white space around it, as `score`."""
    return {"score": float(results[0].strip() in {one.strip() for one in doc["answers"]["text"]})}


def score_mgsm(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 if the last number is right, as lm-eval's `ja_leaderboard_mgsm` has it, as `score`."""
    return {"score": float(ja_leaderboard_mgsm.process_results(doc, list(results))["acc"])}


def with_choices(dataset: Any) -> Any:
    """JCommonsenseQA's five choices in one column."""
    return dataset.map(lambda doc: {"choices": [doc[f"choice{place}"] for place in range(5)]})


def with_sentences(dataset: Any) -> Any:
    """XWinograd's two sentences in one column, and the place of the right one."""
    return dataset.map(
        lambda doc: {
            "choices": [doc["sentence1"].strip(), doc["sentence2"].strip()],
            "label": int(doc["answer"]) - 1,
        }
    )


def _likeliest(results: Sequence[tuple[float, bool]]) -> int:
    return max(range(len(results)), key=lambda place: results[place][0])
