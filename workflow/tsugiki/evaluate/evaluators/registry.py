"""All kinds of evaluators, and those of a run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsugiki.config.evaluation import Evaluation, FunctionObjective, LmEvalObjective
from tsugiki.config.file_objectives import (
    ChoicesObjective,
    CodeObjective,
    CorpusObjective,
    JudgeObjective,
)
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import LineageError
from tsugiki.evaluate.aggregation import Aggregation
from tsugiki.evaluate.documents import SourceDocuments
from tsugiki.evaluate.evaluators.choices import Choices
from tsugiki.evaluate.evaluators.code import Code
from tsugiki.evaluate.evaluators.corpus import Corpus
from tsugiki.evaluate.evaluators.evaluator import Evaluator
from tsugiki.evaluate.evaluators.functions import Functions
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.judge import Judged

EVALUATORS: dict[type, type[Evaluator]] = {
    LmEvalObjective: Harness,
    FunctionObjective: Functions,
    CorpusObjective: Corpus,
    ChoicesObjective: Choices,
    CodeObjective: Code,
    JudgeObjective: Judged,
}
"""By the kind of objective that each one scores."""


class Evaluators:
    """The evaluators that a configuration needs, with their answers combined.

    Raises:
        ConfigError: one of them cannot be opened.
        InfrastructureError: something that one of them needs is not on this machine.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.objectives = evaluation.measured
        needed = {type(one) for one in self.objectives}
        self.opened = [make(evaluation) for kind, make in EVALUATORS.items() if kind in needed]
        self.expected: dict[str, dict[int, str]] = {}
        """Digests of documents by source and place, as a run has them; others are refused."""

    @property
    def aggregations(self) -> dict[str, Aggregation | None]:
        """How each objective's value follows from its documents; None for their mean."""
        return {name: how for one in self.opened for name, how in one.aggregations.items()}

    def of(self, source: str) -> Evaluator:
        """The one that has a source's documents."""
        return next(one for one in self.opened if any(of.task == source for of in one.objectives))

    def identity(self) -> dict[str, Any]:
        """What determines scores besides weights, documents and the backend, by evaluator."""
        return {one.key: one.identity() for one in self.opened}

    def documents(self) -> dict[str, SourceDocuments]:
        """What tells documents apart, by source."""
        return {name: found for one in self.opened for name, found in one.documents().items()}

    def goals(self) -> dict[str, Goal]:
        """Which way each objective and monitor is better."""
        return {name: goal for one in self.opened for name, goal in one.goals().items()}

    def score(self, model: Any, ids: Mapping[str, Sequence[int]]) -> list[Sample]:
        """Score a model; arguments are those of `Evaluator.score`.

        Returns:
            A record for every objective and document, in the order of the configuration.

        Raises:
            EvaluationError: the candidate could not be scored.
            LineageError: a document is another one than the run has.
        """
        order = {one.name: place for place, one in enumerate(self.objectives)}
        records = [record for one in self.opened for record in one.score(model, ids)]
        for record in records:
            known = self.expected.get(record.task, {}).get(record.doc_id, record.doc_hash)
            if record.doc_hash != known:
                raise LineageError(
                    "a document has another content than when the run's documents were divided",
                    where=f"task {record.task}, document {record.doc_id}",
                    expected=known,
                    got=record.doc_hash,
                    fix="put back the task's files, pictures among them, or start another run",
                )
        return sorted(records, key=lambda record: order[record.objective])
