"""What an evaluator has to say and do: which documents there are, and what a model makes of some."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from PIL.Image import Image

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import PLACE, Evaluation, Objective
from tsugiki.config.file_objectives import FileObjective
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError
from tsugiki.evaluate.aggregation import Aggregation
from tsugiki.evaluate.documents import SourceDocuments
from tsugiki.evaluate.overlap import SourceFacts
from tsugiki.evaluate.pictures import digest_of
from tsugiki.evaluate.readers import Reader


class Evaluator(ABC):
    """Scores models for all objectives and monitors of one kind.

    Documents come from sources, each with a name, the `task` of its objectives. A document is known by
    its source and its place there. Everything is the same in each process that opens an evaluator over
    the same files: nothing depends on time, chance, or what was scored before.
    """

    key: ClassVar[str]
    """Its part of a score's identity."""
    objectives: Sequence[Objective | FileObjective]
    """Those of the configuration that it scores, monitors included."""
    aggregations: Mapping[str, Aggregation | None]
    """How each objective's value follows from its documents; None for their mean."""

    @abstractmethod
    def __init__(self, evaluation: Evaluation) -> None:
        """Open what the objectives of this kind need.

        Raises:
            ConfigError: something is missing, or its scores could not be trusted.
            InfrastructureError: something is not on this machine, and cannot be fetched.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What determines scores besides weights, documents and the backend, as plain data."""

    @abstractmethod
    def documents(self) -> dict[str, SourceDocuments]:
        """What tells documents apart, by source.

        Raises:
            ConfigError: a source's documents cannot be read, or have no such column as is configured.
        """

    @abstractmethod
    def facts(self) -> dict[str, SourceFacts]:
        """What is compared to find documents that two sources share in different words, by source."""

    @abstractmethod
    def goals(self) -> dict[str, Goal]:
        """The goal of each objective: as configured, otherwise as its source states it, otherwise `maximize`."""

    @abstractmethod
    def score(self, model: Any, ids: Mapping[str, Sequence[int]]) -> list[Sample]:
        """Score a model.

        Args:
            model: As the backend makes it (`evaluate/backends.py`).
            ids: Places of documents by source; sources of other evaluators may be among them.

        Returns:
            A record for every objective and document.

        Raises:
            EvaluationError: the candidate could not be scored.
        """

    @abstractmethod
    def requests(self, model: Any, source: str, ids: Sequence[int]) -> list[Instance]:
        """What a model is asked on some documents of a source: lm-eval's instances."""

    def notes(self) -> list[str]:
        """Remarks to print before a run starts; not faults."""
        return []

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """Faults that would keep documents of a source from being scored, as far as they can be found without a model.

        Args:
            source: The documents' source.
            ids: Those that the run uses.
            readers: Stand-ins for the parents.
        """
        del source, ids, readers
        return iter(())

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """Remarks on prompts and answers that are no faults; arguments as for `faults`."""
        del source, ids, readers
        return iter(())


def keys_of(
    evaluation: Evaluation, source: str, documents: Sequence[Mapping[str, Any]]
) -> list[str] | None:
    """Keys of a source's documents, as configured in `document_keys`: the values of a column, or with `#` their places.

    Raises:
        ConfigError: a document has no such column.
    """
    column = evaluation.document_keys.get(source)
    if column is None:
        return None
    if column == PLACE:
        return [str(place) for place, _ in enumerate(documents)]
    for document in documents:
        if column not in document:
            raise ConfigError(
                f"the documents of task {source} have no column {column!r}",
                where="evaluation.document_keys",
                expected=f"one of {', '.join(sorted(map(str, document)))}",
            )
    return [_json(document[column]) for document in documents]


def hash_document(document: Any, pictures: Sequence[str] | None = None) -> str:
    """SHA-256 of a document's content.

    Args:
        document: As its source has it.
        pictures: Digests of the pictures that it shows, whatever it says of them itself; None if it is
            of a source without pictures.
    """
    content = document if pictures is None else {"document": document, "pictures": [*pictures]}
    return digest_bytes(_json(content).encode())


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, default=_told)


def _told(value: Any) -> str:
    """What has no form in JSON, as text: of a picture its digest, since its text would name a place in memory."""
    return digest_of(value) if isinstance(value, Image) else str(value)
