"""A judge's preference as an objective: another language model compares answers with references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.file_objectives import FileObjective, JudgeObjective
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError
from tsugiki.evaluate.chat_server import ChatServer
from tsugiki.evaluate.evaluators.own_documents import Document, FromFile
from tsugiki.evaluate.readers import Reader

QUESTION = """\
Two assistants answered the same question. Say which answer is better. What counts: {criteria}. Neither the
order of the answers nor their length should matter.

[Question]
{question}

[Answer A]
{first}

[Answer B]
{second}

Explain in one or two sentences. Then end with exactly one of [[A]] if answer A is better, [[B]] if answer B is
better, [[C]] if they are equally good."""
VERDICT = re.compile(r"\[\[([ABC])\]\]")
AT_ONCE = 8
"""Questions that a judge is asked at a time."""
FOR_FIRST = {"A": 1.0, "B": 0.0, "C": 0.5}


class Judged(FromFile[JudgeObjective]):
    """Evaluator of preferences: 1 if the model's answer wins against the reference, 0 if it loses, 0.5 for a tie.

    Each pair is judged in both orders, and counts as their mean, as judges prefer a place. A judge that comes
    to no verdict says a tie; the share of answers with two verdicts is recorded as `parsed`.
    """

    key: ClassVar[str] = "judge"
    kind: ClassVar[type[FileObjective]] = JudgeObjective

    def __init__(self, evaluation: Evaluation) -> None:
        super().__init__(evaluation)
        self._servers = {one.name: ChatServer(one.judge) for one in self.objectives}

    def identity(self) -> dict[str, Any]:
        """The objectives with model and version of their judges, and what these are told."""
        reached = {"judge": {"url", "key", "timeout"}}  # how it is reached decides no verdict
        return {
            **super().identity(),
            "objectives": [one.model_dump(mode="json", exclude=reached) for one in self.objectives],
            "question": digest_bytes(QUESTION.encode()),
        }

    def wrong(self, objective: JudgeObjective, document: Document) -> str | None:
        """Require a question and a reference answer."""
        del objective
        lacks = [key for key in ("question", "reference") if not isinstance(document.get(key), str)]
        return f"texts as {' and '.join(f'`{key}`' for key in lacks)}" if lacks else None

    def answer(self, objective: JudgeObjective, model: Any, ids: Sequence[int]) -> Iterator[Sample]:
        """Score each answer by the judge's verdicts in both orders."""
        documents = self.chosen(objective, ids)
        requests = self.asked(objective, model, ids)
        answers = model.generate_until(requests)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            both = [
                [
                    pool.submit(self._first_wins, objective, document, *pair)
                    for pair in ((answer, document["reference"]), (document["reference"], answer))
                ]
                for document, answer in zip(documents, answers, strict=True)
            ]
            try:
                said = [[one.result() for one in of_document] for of_document in both]
            except Exception:
                pool.shutdown(cancel_futures=True)  # the others would wait for the same server
                raise
        for place, document, request, answer, (first, second) in zip(
            ids, documents, requests, answers, said, strict=True
        ):
            values = [0.5 if first is None else first, 0.5 if second is None else 1.0 - second]
            yield self.record(
                objective,
                place,
                value=sum(values) / 2,
                response=answer,
                prompt=request.args[0],
                target=document["reference"],
                max_tokens=objective.max_tokens,
                parsed=float(first is not None and second is not None),
            )

    def asked(self, objective: JudgeObjective, model: Any, ids: Sequence[int]) -> list[Instance]:
        """An answer to each question."""
        return self.scored(model).asked(
            [document["question"] for document in self.chosen(objective, ids)],
            max_tokens=objective.max_tokens,
            stop=objective.stop,
        )

    def _first_wins(
        self, objective: JudgeObjective, document: Document, first: str, second: str
    ) -> float | None:
        """1 if the judge prefers the first answer, 0 for the second, 0.5 for neither; None without a verdict."""
        said = self._servers[objective.name].ask(
            QUESTION.format(
                criteria=objective.criteria,
                question=document["question"],
                first=first,
                second=second,
            )
        )
        found = VERDICT.findall(said)
        return FOR_FIRST[found[-1]] if found else None

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """Find answers that have no room in the model's context, and a judge that cannot be reached."""
        yield from super().faults(source, ids, readers)
        for objective in [one for one in self.objectives if one.task == source]:
            try:
                self._servers[objective.name].require()
            except ConfigError as error:
                yield error

    def notes(self) -> list[str]:
        """Say that scores depend on another model."""
        return [
            f"objective {one.name} is judged by {one.judge.model} ({one.judge.version}): scores are the same "
            "again only as far as this judge's answers are"
            for one in self.objectives
        ]
