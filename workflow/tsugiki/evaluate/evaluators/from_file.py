"""What evaluators have in common whose documents are a file of the user's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.file_objectives import FileObjective
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.aggregation import Aggregation
from tsugiki.evaluate.evaluators.evaluator import hash_document, keys_of
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.overlap import SourceFacts, texts_of
from tsugiki.evaluate.readers import Reader

Document = Mapping[str, Any]
One = TypeVar("One", bound=FileObjective)


class FromFile(Generic[One]):
    """Scores all objectives of one kind; each names a file of documents.

    Raises:
        ConfigError: a file cannot be read, or a document lacks something.
    """

    key: ClassVar[str]
    kind: ClassVar[type[FileObjective]]
    """The section of its objectives."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.system = evaluation.system_instruction if evaluation.apply_chat_template else None
        """What a chat begins with."""
        self.objectives: list[One] = [one for one in evaluation.files if isinstance(one, self.kind)]  # type: ignore[misc]
        self.aggregations: dict[str, Aggregation | None] = {
            one.name: self.aggregation(one) for one in self.objectives
        }
        self.documents = {one.task: read_documents(one.file) for one in self.objectives}
        for one in self.objectives:
            for place, document in enumerate(self.documents[one.task]):
                if (wrong := self.wrong(one, document)) is not None:
                    raise ConfigError(
                        f"a document of objective {one.name} cannot be scored",
                        where=f"{one.file}, document {place}",
                        expected=wrong,
                        got=json.dumps(document, ensure_ascii=False)[:200],
                    )
        self._hashes = {
            source: list(map(hash_document, found)) for source, found in self.documents.items()
        }

    def aggregation(self, objective: One) -> Aggregation | None:
        """How an objective's value follows from its documents; None for their mean."""
        del objective
        return None

    def wrong(self, objective: One, document: Document) -> str | None:
        """What a document should have and has not; None if it can be scored."""
        raise NotImplementedError

    def answer(self, objective: One, model: Any, ids: Sequence[int]) -> Iterable[Sample]:
        """What a model makes of some documents of an objective, a record for each, in their order."""
        raise NotImplementedError

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
        """The objectives. Documents are known by their own digests."""
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
        """None: a file of documents has no splits."""
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
                    f"objective {one.name} cannot be scored", got=f"{type(error).__name__}: {error}"
                ) from error
        return found

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """None beyond those of the documents, which are told when the file is read."""
        del source, ids, readers
        return iter(())

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """None."""
        del source, ids, readers
        return iter(())


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The documents in a file: JSON lines, a JSON list, CSV with a header, or a text with one a line.

    Raises:
        ConfigError: there is none, or the file holds something else.
    """
    try:
        found = read_rows(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "a file of documents cannot be read",
            where=str(path),
            expected="JSON lines, a JSON list of objects, CSV with a header, or text with a document a line",
            got=f"{type(error).__name__}: {error}",
        ) from error
    wrong = [one for one in found if not isinstance(one, dict)]
    if wrong or not found:
        raise ConfigError(
            "a file of documents holds no list of mappings",
            where=str(path),
            got=repr(wrong[0]) if wrong else "no document",
        )
    return found


def read_rows(path: Path) -> list[Any]:
    """What a file holds, by its ending; documents, if it is right.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what its ending says.
    """
    text = path.read_text(encoding="utf-8-sig")
    match path.suffix:
        case ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        case ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True)))
        case ".txt":
            return [{"text": line} for line in text.splitlines() if line.strip()]
        case _:
            content = json.loads(text)
            return content if isinstance(content, list) else [content]
