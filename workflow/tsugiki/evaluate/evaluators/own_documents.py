"""What evaluators have in common that read their documents themselves: all but lm-eval's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from lm_eval.api.instance import Instance

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Evaluation, FunctionObjective
from tsugiki.config.file_objectives import FileObjective
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.aggregation import Aggregation
from tsugiki.evaluate.evaluators.evaluator import hash_document, keys_of
from tsugiki.evaluate.evaluators.task_checks import no_room, prompt_remarks
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.overlap import SourceFacts, texts_of
from tsugiki.evaluate.readers import Reader

Document = Mapping[str, Any]
One = TypeVar("One", bound=FunctionObjective | FileObjective)


class OwnDocuments(ABC, Generic[One]):
    """Scores all objectives of one kind, on documents that it holds.

    Args:
        evaluation: The section.
        objectives: Those of the kind.
        documents: By source.
    """

    key: ClassVar[str]

    def __init__(
        self,
        evaluation: Evaluation,
        objectives: Sequence[One],
        documents: Mapping[str, Sequence[Document]],
    ) -> None:
        self.evaluation = evaluation
        self.system = evaluation.system_instruction if evaluation.apply_chat_template else None
        """What a chat begins with."""
        self.objectives = objectives
        self.documents = documents
        self.aggregations: dict[str, Aggregation | None] = {
            one.name: self.aggregation(one) for one in objectives
        }
        self._hashes = {
            source: list(map(hash_document, found)) for source, found in documents.items()
        }

    @abstractmethod
    def answer(self, objective: One, model: Any, ids: Sequence[int]) -> Iterable[Sample]:
        """What a model makes of some documents of an objective, a record for each, in their order."""

    @abstractmethod
    def asked(self, objective: One, model: Any, ids: Sequence[int]) -> list[Instance]:
        """What a model is asked on some documents of an objective, as far as it is known before it answers."""

    def requests(self, model: Any, name: str, ids: Sequence[int]) -> list[Instance]:
        """What a model is asked on some documents of a source, objective by objective: lm-eval's instances."""
        objectives = [one for one in self.objectives if one.task == name]
        return [request for one in objectives for request in self.asked(one, model, ids)]

    def aggregation(self, objective: One) -> Aggregation | None:
        """How an objective's value follows from its documents; None for their mean."""
        del objective
        return None

    def failure(self, objective: One) -> str:
        """What to say where a model's answers cannot be scored."""
        return f"objective {objective.name} cannot be scored"

    def record(self, objective: One, place: int, *, value: float | None, **more: Any) -> Sample:
        """The record of one document; `more` are further fields of `Sample`."""
        prompt = more.get("prompt")
        return Sample(
            objective=objective.name,
            task=objective.task,
            doc_id=place,
            doc_hash=self._hashes[objective.task][place],
            value=value,
            prompt_hash=None if prompt is None else digest_bytes(str(prompt).encode()),
            **more,
        )

    def identity(self) -> dict[str, Any]:
        """The objectives, and how chats begin. Documents are known by their own digests."""
        return {
            "objectives": [one.model_dump(mode="json") for one in self.objectives],
            "apply_chat_template": self.evaluation.apply_chat_template,
            **({"system_instruction": self.system} if self.system else {}),
        }

    def document_hashes(self) -> dict[str, list[str]]:
        """SHA-256 of every document, by source."""
        return self._hashes

    def document_keys(self) -> dict[str, list[str]]:
        """What tells documents apart in place of their content, by source."""
        return {
            source: keys_of(source, self.documents[source], column)
            for source, column in self.evaluation.document_keys.items()
            if source in self.documents
        }

    def search_only(self) -> dict[str, set[int]]:
        """None: these documents have no splits."""
        return {}

    def document_facts(self) -> dict[str, SourceFacts]:
        """The texts of the documents, by source."""
        return {
            source: SourceFacts(len(found), texts_of(found))
            for source, found in self.documents.items()
        }

    def goals(self) -> dict[str, Goal]:
        """Which way each objective is better, as configured."""
        return {one.name: one.goal for one in self.objectives}

    def notes(self) -> list[str]:
        """Nothing."""
        return []

    def score(self, model: Any, ids: Mapping[str, Sequence[int]]) -> list[Sample]:
        """Score a model on some documents.

        Raises:
            EvaluationError: it could not be scored.
        """
        found: list[Sample] = []
        for one in self.objectives:
            if not ids.get(one.task):
                continue
            try:
                found += self.answer(one, model, ids[one.task])
            except TsugikiError:
                raise
            except Exception as error:
                if is_machine_fault(error):
                    raise
                raise EvaluationError(
                    self.failure(one), got=f"{type(error).__name__}: {error}"
                ) from error
        return found

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """Answers without room; faults of documents are told when these are read."""
        if fault := no_room(source, readers, self._asked_of(source, ids, readers)):
            yield fault

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """What to know of prompts and answers."""
        yield from prompt_remarks(source, readers, self._asked_of(source, ids, readers))

    def _asked_of(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> dict[str, list[Instance]]:
        return {reader.name: self.requests(reader, source, ids) for reader in readers}
