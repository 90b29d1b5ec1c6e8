"""What an evaluator has to say and do: which documents there are, and what a model makes of some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from lm_eval.api.instance import Instance
from PIL.Image import Image

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import PLACE, Evaluation, Objective
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError
from tsugiki.evaluate.aggregation import Aggregation
from tsugiki.evaluate.overlap import SourceFacts
from tsugiki.evaluate.pictures import digest_of
from tsugiki.evaluate.readers import Reader


class Evaluator(Protocol):
    """Scores models for all objectives and monitors of one kind.

    Documents come from sources, each with a name, the `task` of its objectives. A document is known by
    its source and its place there. Everything is the same in each process that opens an evaluator over
    the same files: nothing depends on time, chance, or what was scored before.
    """

    key: ClassVar[str]
    """Its part of a score's identity."""

    def __init__(self, evaluation: Evaluation) -> None:
        """Open what the objectives of this kind need.

        Raises:
            ConfigError: something is missing, or its scores could not be trusted.
            InfrastructureError: something is not on this machine, and cannot be fetched.
        """

    @property
    def objectives(self) -> Sequence[Objective]:
        """Those of the configuration that it scores, monitors included."""

    @property
    def aggregations(self) -> Mapping[str, Aggregation | None]:
        """How each objective's value follows from its documents; None for their mean."""

    def identity(self) -> dict[str, Any]:
        """What determines scores beside weights, documents and the backend, as plain data."""

    def document_hashes(self) -> dict[str, list[str]]:
        """SHA-256 of every document, by source."""

    def document_keys(self) -> dict[str, list[str]]:
        """What tells documents apart in place of their content, by source, where it is configured.

        Raises:
            ConfigError: a source's documents have no such column.
        """

    def search_only(self) -> dict[str, set[int]]:
        """Places of the documents that are for the search alone, by source; sources without any are absent."""

    def document_facts(self) -> dict[str, SourceFacts]:
        """What tells whether documents are another source's in other words, by source."""

    def goals(self) -> dict[str, Goal]:
        """Which way each objective is better: as configured, else as is known of it, else upwards."""

    def notes(self) -> list[str]:
        """What to know before a run starts; nothing to mend."""

    def requests(self, model: Any, name: str, ids: Sequence[int]) -> list[Instance]:
        """What a model is asked on some documents of a source: lm-eval's instances."""

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

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """What stands against scoring documents of a source, as far as it shows without a model.

        Args:
            source: The documents' source.
            ids: Those that the run uses.
            readers: Stand-ins for the parents.
        """

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """What to know of prompts and answers, where there is no fault; arguments as for `faults`."""


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


def keys_of(source: str, documents: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    """What tells the documents of a source apart: the values of a column, or with `#` their places.

    Raises:
        ConfigError: a document has no such column.
    """
    if column == PLACE:
        return [str(place) for place, _ in enumerate(documents)]
    keys = []
    for document in documents:
        if column not in document:
            raise ConfigError(
                f"the documents of task {source} have no column {column!r}",
                where="evaluation.document_keys",
                expected=f"one of {', '.join(sorted(map(str, document)))}",
            )
        keys.append(_json(document[column]))
    return keys
