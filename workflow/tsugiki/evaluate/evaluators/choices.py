"""Multiple-choice questions as objectives, scored by likelihood."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from lm_eval.api.instance import Instance

from tsugiki.config.file_objectives import ChoicesObjective, FileObjective
from tsugiki.contracts.samples import Sample
from tsugiki.evaluate.evaluators.own_documents import Document, FromFile


class Choices(FromFile[ChoicesObjective]):
    """Evaluator of multiple choice: right if the right choice has the largest log-likelihood, normalised by length.

    Each choice follows the question after a space, or begins the answer of a chat. Of equally likely ones
    the first counts, as in lm-eval.
    """

    key: ClassVar[str] = "choices"
    kind: ClassVar[type[FileObjective]] = ChoicesObjective

    def wrong(self, objective: ChoicesObjective, document: Document) -> str | None:
        """Require a question, at least two choices, and the right one."""
        del objective
        choices = document.get("choices")
        if not isinstance(document.get("question"), str):
            return "a text as `question`"
        if not (
            isinstance(choices, list)
            and len(choices) > 1
            and all(isinstance(one, str) and one for one in choices)
        ):
            return "a list of at least two texts as `choices`"
        if _right(document) is None:
            return f"as `answer` one of `choices`, or a place from 0 to {len(choices) - 1}"
        return None

    def answer(
        self, objective: ChoicesObjective, model: Any, ids: Sequence[int]
    ) -> Iterator[Sample]:
        """Score each question: whether the likeliest choice is the right one."""
        requests = self.asked(objective, model, ids)
        answers = iter(zip(requests, model.loglikelihood(requests), strict=True))
        for place, document in zip(ids, self.chosen(objective, ids), strict=True):
            choices = document["choices"]
            of_document = [next(answers) for _ in choices]
            found = [float(likelihood) for _, (likelihood, _) in of_document]
            lengths = [self._length(objective, model, choice) for choice in choices]
            chosen = int(np.argmax(np.array(found) / lengths))
            right = _right(document)
            assert right is not None
            yield self.record(
                objective,
                place,
                value=float(chosen == right),
                response=json.dumps([round(one, 4) for one in found]),
                prompt=of_document[0][0].args[0],
                target=choices[right],
            )

    def asked(self, objective: ChoicesObjective, model: Any, ids: Sequence[int]) -> list[Instance]:
        """The likelihood of each choice after the question."""
        documents, put = self.chosen(objective, ids), self.scored(model).put
        return [
            Instance("loglikelihood", {}, (prompt, self._continued(choice)), place)
            for place, document in zip(ids, documents, strict=True)
            for prompt in [put(document["question"])]
            for choice in document["choices"]
        ]

    def _continued(self, choice: str) -> str:
        return choice if self.evaluation.apply_chat_template else f" {choice}"

    def _length(self, objective: ChoicesObjective, model: Any, choice: str) -> int:
        match objective.normalization:
            case "none":
                return 1
            case "characters":
                return len(choice)
            case "bytes":
                return len(choice.encode())
            case "tokens":
                encoded = model.tokenizer(self._continued(choice), add_special_tokens=False)
                return max(1, len(encoded["input_ids"]))


def _right(document: Document) -> int | None:
    """Place of the right choice; None if there is none."""
    answer, choices = document.get("answer"), document["choices"]
    if isinstance(answer, int) and not isinstance(answer, bool):
        return answer if 0 <= answer < len(choices) else None
    return choices.index(answer) if answer in choices else None
