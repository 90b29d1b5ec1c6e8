"""What evaluators have in common whose documents are a file of the user's own."""

from __future__ import annotations

import csv
import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from tsugiki.config.evaluation import Evaluation
from tsugiki.config.file_objectives import FileObjective
from tsugiki.errors import ConfigError
from tsugiki.evaluate.evaluators.own_documents import Document, OwnDocuments

One = TypeVar("One", bound=FileObjective)


class FromFile(OwnDocuments[One], Generic[One]):
    """Scores all objectives of one kind; each names a file of documents.

    Raises:
        ConfigError: a file cannot be read, or a document lacks something.
    """

    kind: ClassVar[type[FileObjective]]
    """The section of its objectives."""

    def __init__(self, evaluation: Evaluation) -> None:
        objectives: list[One] = [one for one in evaluation.files if isinstance(one, self.kind)]  # type: ignore[misc]
        documents = {one.task: read_documents(one.file) for one in objectives}
        super().__init__(evaluation, objectives, documents)
        for one in objectives:
            for place, document in enumerate(documents[one.task]):
                if (wrong := self.wrong(one, document)) is not None:
                    raise ConfigError(
                        f"a document of objective {one.name} cannot be scored",
                        where=f"{one.file}, document {place}",
                        expected=wrong,
                        got=json.dumps(document, ensure_ascii=False)[:200],
                    )

    @abstractmethod
    def wrong(self, objective: One, document: Document) -> str | None:
        """What a document should have and has not; None if it can be scored."""


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
