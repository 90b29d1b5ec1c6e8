"""What evaluators have in common that read their documents themselves, most of them from files of the user's."""

from __future__ import annotations

import csv
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from lm_eval.api.instance import Instance

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Evaluation, FunctionObjective
from tsugiki.config.file_objectives import FileObjective
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.aggregation import Aggregation
from tsugiki.evaluate.documents import SourceDocuments
from tsugiki.evaluate.evaluators.evaluator import Evaluator, hash_document, keys_of
from tsugiki.evaluate.evaluators.task_checks import no_room, prompt_remarks
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.overlap import SourceFacts, texts_of
from tsugiki.evaluate.readers import Reader

Document = Mapping[str, Any]
One = TypeVar("One", bound=FunctionObjective | FileObjective)
OfFile = TypeVar("OfFile", bound=FileObjective)


class ScoredModel:
    """The candidate that a function scores. Its weights are to be left as they are."""

    def __init__(self, backend: Any, *, chat: bool, system: str | None = None) -> None:
        self._backend = backend
        self._chat = chat
        self._system = [{"role": "system", "content": system}] if system else []

    @property
    def model(self) -> Any:
        """The transformers model, in evaluation mode, on `device`."""
        return self._backend.model

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._backend.tokenizer

    @property
    def device(self) -> Any:
        """The `torch.device` that the model is on."""
        return self._backend.device

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int = 256, stop: Sequence[str] = ()
    ) -> list[str]:
        """Answers to some prompts: greedy, in batches of `evaluation.batch_size`.

        With `evaluation.apply_chat_template`, each prompt is put as the one message of a chat, after
        `evaluation.system_instruction`. A thinking part is no part of an answer.

        Args:
            prompts: The prompts. The start of one that is too long for the model is cut off.
            max_tokens: Most tokens of an answer.
            stop: Texts that end an answer, and are no part of it.
        """
        requests = self.asked(prompts, max_tokens=max_tokens, stop=stop)
        return list(self._backend.generate_until(requests)) if requests else []

    def asked(
        self, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str]
    ) -> list[Instance]:
        """What `generate` asks, as lm-eval's instances; arguments as there."""
        settings = {"until": list(stop), "max_gen_toks": max_tokens, "do_sample": False}
        return [
            Instance("generate_until", {}, (self.put(prompt), dict(settings)), index)
            for index, prompt in enumerate(prompts)
        ]

    def put(self, prompt: str) -> str:
        """A prompt as it is put: with `evaluation.apply_chat_template`, as the message of a chat."""
        if not self._chat:
            return prompt
        turns = [*self._system, {"role": "user", "content": prompt}]
        return str(self._backend.apply_chat_template(turns))


class OwnDocuments(Evaluator, Generic[One]):
    """Scores all objectives of one kind, on documents that it holds."""

    objectives: Sequence[One]

    def hold(
        self, evaluation: Evaluation, objectives: Sequence[One], sources: Mapping[str, list[Any]]
    ) -> None:
        """Take the objectives of the kind, and the documents of each source.

        Raises:
            ConfigError: a source has none, or some that are no mappings.
        """
        for one in objectives:
            found = sources[one.task]
            wrong = [document for document in found if not isinstance(document, dict)]
            if wrong or not found:
                raise ConfigError(
                    f"the documents of objective {one.name} are no list of mappings",
                    where=one.task,
                    got=repr(wrong[0]) if wrong else "none",
                )
        self.evaluation = evaluation
        self.system = evaluation.system_instruction if evaluation.apply_chat_template else None
        """What a chat begins with."""
        self.objectives = objectives
        self.sources: Mapping[str, Sequence[Document]] = sources
        self.aggregations = {one.name: self.aggregation(one) for one in objectives}
        self._hashes = {name: list(map(hash_document, found)) for name, found in sources.items()}

    @abstractmethod
    def answer(self, objective: One, model: Any, ids: Sequence[int]) -> Iterable[Sample]:
        """What a model makes of some documents of an objective, a record for each, in their order."""

    @abstractmethod
    def asked(self, objective: One, model: Any, ids: Sequence[int]) -> list[Instance]:
        """What a model is asked on some documents of an objective, as far as it is known before it answers."""

    def requests(self, model: Any, source: str, ids: Sequence[int]) -> list[Instance]:
        """What a model is asked on some documents of a source, objective by objective: lm-eval's instances."""
        objectives = [one for one in self.objectives if one.task == source]
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

    def chosen(self, objective: One, ids: Sequence[int]) -> list[Document]:
        """Documents of an objective."""
        return [self.sources[objective.task][place] for place in ids]

    def scored(self, model: Any) -> ScoredModel:
        """A candidate as these evaluators ask it."""
        return ScoredModel(model, chat=self.evaluation.apply_chat_template, system=self.system)

    def identity(self) -> dict[str, Any]:
        """The objectives, and how chats begin. Documents are known by their own digests."""
        return {
            "objectives": [one.model_dump(mode="json") for one in self.objectives],
            "apply_chat_template": self.evaluation.apply_chat_template,
            **({"system_instruction": self.system} if self.system else {}),
        }

    def documents(self) -> dict[str, SourceDocuments]:
        """What tells documents apart, by source."""
        return {
            name: SourceDocuments(hashes, keys_of(self.evaluation, name, self.sources[name]))
            for name, hashes in self._hashes.items()
        }

    def facts(self) -> dict[str, SourceFacts]:
        """The texts of the documents, by source."""
        return {
            name: SourceFacts(len(found), texts_of(found)) for name, found in self.sources.items()
        }

    def goals(self) -> dict[str, Goal]:
        """Which way each objective is better, as configured."""
        return {one.name: one.goal for one in self.objectives}

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


class FromFile(OwnDocuments[OfFile], Generic[OfFile]):
    """Scores all objectives of one kind; each names a file of documents.

    Raises:
        ConfigError: a file cannot be read, or a document lacks something.
    """

    kind: ClassVar[type[FileObjective]]
    """The section of its objectives."""

    def __init__(self, evaluation: Evaluation) -> None:
        objectives: list[OfFile] = [one for one in evaluation.files if isinstance(one, self.kind)]  # type: ignore[misc]
        self.hold(evaluation, objectives, {one.task: _read(one.file) for one in objectives})
        for one in objectives:
            for place, document in enumerate(self.sources[one.task]):
                if (wrong := self.wrong(one, document)) is not None:
                    raise ConfigError(
                        f"a document of objective {one.name} cannot be scored",
                        where=f"{one.file}, document {place}",
                        expected=wrong,
                        got=json.dumps(document, ensure_ascii=False)[:200],
                    )

    @abstractmethod
    def wrong(self, objective: OfFile, document: Document) -> str | None:
        """What a document should have and has not; None if it can be scored."""


def _read(path: Path) -> list[Any]:
    try:
        return read_rows(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "a file of documents cannot be read",
            where=str(path),
            expected="JSON lines, a JSON list of objects, CSV with a header, or text with a document a line",
            got=f"{type(error).__name__}: {error}",
        ) from error


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
