"""The questions as lm-eval's tasks: documents, and what an answer is worth.

A task's file may name a `seed` in its `dataset_kwargs`: other seeds pose other questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from tsugiki.smollm.questions import as_json, held_out

OBJECT = re.compile(r'\{"work": "[^"{}]*", "answer": (-?\d+)')
"""The JSON that was asked for, wherever it begins. The closing brace ends an answer, and is not in it."""
SENTENCE = re.compile(r"The answer is (-?\d+)")
NUMBER = re.compile(r"-?\d+")


def load_arithmetic(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """Word problems."""
    return _documents("arithmetic", seed)


def load_reading(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """Questions about a text."""
    return _documents("reading", seed)


def score_json(document: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """What an answer is worth that should be JSON.

    `exact_match`: the right number in such JSON. `number`: the last number is right, in any form. `parsed`:
    there is such JSON.
    """
    return _score(document, answers[0], OBJECT)


def score_sentence(document: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """What an answer is worth that should hold the sentence `The answer is …`: as in `score_json`."""
    return _score(document, answers[0], SENTENCE)


def _score(document: Mapping[str, Any], answer: str, form: re.Pattern[str]) -> dict[str, float]:
    right, found, numbers = document["answer"], form.search(answer), NUMBER.findall(answer)
    return {
        "exact_match": float(found is not None and int(found.group(1)) == right),
        "number": float(bool(numbers) and int(numbers[-1]) == right),
        "parsed": float(found is not None),
    }


def _documents(kind: str, seed: int) -> dict[str, Dataset]:
    rows = [{**one, "target": as_json(one)} for one in held_out(kind, seed)]
    return {"test": Dataset.from_list(rows)}
