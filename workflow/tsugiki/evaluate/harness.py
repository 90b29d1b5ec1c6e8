"""The only door to lm-eval's tasks: load them, list their documents, evaluate a model on some."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lm_eval
from lm_eval.evaluator import evaluate

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import PLACE, Evaluation, Goal, Objective
from tsugiki.config.lm_eval_tasks import local_tasks, source_digest
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.aggregation import aggregation_of, finite_number, write_part
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.tasks import (
    load_tasks,
    note_goal,
    refuse,
    refuse_leaking_examples,
    refuse_sampling,
    stated_goal,
)

FEWSHOT_SEED = 1234

logging.getLogger("lm_eval").setLevel(logging.ERROR)


@dataclass(frozen=True)
class ItemRecord:
    """What a model made of one document, for one objective."""

    objective: str
    task: str
    doc_id: int
    doc_hash: str
    prompt: str
    prompt_hash: str
    response: str
    target: str
    value: float | None
    """The metric on this document; None if it is no finite number."""
    max_tokens: int | None
    """Limit of the generated answer; None for tasks that generate nothing."""
    language: float | None
    parsed: float | None
    part: str | None = None
    """JSON of what the document contributes to an aggregation, where that is no finite number."""


class Harness:
    """The tasks of a configuration.

    Raises:
        ConfigError: a task does not exist, is a group, samples its answers, or would put test
            documents into its own prompts as solved examples.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.objectives = evaluation.measured
        names = sorted({objective.task for objective in self.objectives})
        local = local_tasks(evaluation.task_folders)
        self.files = {name: local[name].path for name in names if name in local}
        """The files of local tasks."""
        self.tasks = load_tasks(names, list(map(str, evaluation.task_folders)), local)
        faults = []
        for name in names:
            try:
                self._prepare(name)
            except ConfigError as error:
                faults.append(error)
        refuse(faults)
        self.aggregations = {
            objective.name: aggregation_of(self.tasks[objective.task], objective.metric)
            for objective in self.objectives
        }
        """How each objective's value follows from its documents; None for their mean."""
        self._subsets: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        self._sources = {
            name: source_digest(local[name].path.parent) if name in local else lm_eval.__version__
            for name in names
        }

    def _prepare(self, name: str) -> None:
        if name not in self.tasks:
            raise ConfigError(
                f"`{name}` is not a single task",
                where="evaluation.objectives",
                fix=f"name one of its tasks: {', '.join(sorted(self.tasks)[:20])}",
            )
        if self.evaluation.num_fewshot is not None:
            self.tasks[name].set_config("num_fewshot", self.evaluation.num_fewshot)
        refuse_leaking_examples(name, self.tasks[name])
        refuse_sampling(name, self.tasks[name])

    def goals(self) -> dict[str, Goal]:
        """Which way each objective is better: as configured, else as its task states it."""
        return {
            one.name: one.goal or stated_goal(self.tasks[one.task], one.metric) or "maximize"
            for one in self.objectives
        }

    def notes(self) -> list[str]:
        """A line for each objective whose direction its task decides, or decides otherwise."""
        return [
            note
            for one in self.objectives
            if (note := note_goal(one.task, self.tasks[one.task], one)) is not None
        ]

    def document_hashes(self) -> dict[str, list[str]]:
        """SHA-256 of every document of every task."""
        return {
            name: [_hash_document(document) for document in task.eval_docs]
            for name, task in self.tasks.items()
        }

    def document_keys(self) -> dict[str, list[str]]:
        """What tells documents apart, for tasks of which the configuration names a column.

        Raises:
            ConfigError: a task's documents have no such column.
        """
        return {
            name: [
                str(place) if column == PLACE else _key_of(name, document, column)
                for place, document in enumerate(self.tasks[name].eval_docs)
            ]
            for name, column in self.evaluation.document_keys.items()
        }

    def identity(self) -> dict[str, Any]:
        """What determines the tasks' prompts and metrics, as plain data."""
        aggregations = {name: one.name for name, one in self.aggregations.items() if one}
        return {
            # the mean goes without saying: what was scored before keeps its identity
            **({"aggregations": aggregations} if aggregations else {}),
            "lm_eval": lm_eval.__version__,
            "sources": self._sources,
            "objectives": [
                objective.model_dump(mode="json")
                for objective in self.evaluation.with_goals().measured
            ],
            "num_fewshot": {
                name: task.config.num_fewshot or 0 for name, task in self.tasks.items()
            },
            "fewshot_seed": FEWSHOT_SEED,
            "apply_chat_template": self.evaluation.apply_chat_template,
        }

    def run(self, model: Any, ids: Mapping[str, Sequence[int]]) -> list[ItemRecord]:
        """Evaluate a model.

        Args:
            model: An lm-eval model.
            ids: Document ids by task.

        Returns:
            A record for every objective and document, in the order of the configuration.

        Raises:
            EvaluationError: the results lack a task or metric.
        """
        narrowed = {
            name: self._narrowed(name, tuple(of_task)) for name, of_task in ids.items() if of_task
        }
        results = self._evaluate(model, narrowed)
        if results is None:
            raise EvaluationError("lm-eval returned no results")
        records: list[ItemRecord] = []
        for objective in self.objectives:
            if objective.task in narrowed:
                records.extend(self._records(objective, results, list(ids[objective.task])))
        return records

    def _evaluate(self, model: Any, tasks: dict[str, Any]) -> Any:
        """lm-eval's `evaluate`; what goes wrong in a task's code is the candidate's failure."""
        try:
            return evaluate(
                lm=model,
                task_dict={"tasks": tasks, "groups": {}, "group_map": {}},
                bootstrap_iters=0,
                log_samples=True,
                apply_chat_template=self.evaluation.apply_chat_template,
                fewshot_as_multiturn=self.evaluation.apply_chat_template,
            )
        except TsugikiError:
            raise
        except Exception as error:
            if is_machine_fault(error):
                raise
            raise EvaluationError(f"{type(error).__name__}: {error}") from error

    def _narrowed(self, name: str, ids: tuple[int, ...]) -> Any:
        """A copy of a task that has only some of its documents.

        lm-eval's own subsets read every document of the task at each call, and number them by
        their place in the subset in one table and by their id in another.
        """
        key = (name, ids)
        if key not in self._subsets:
            documents = self.tasks[name].eval_docs
            chosen = [documents[index] for index in ids]  # the others may be large, as images are
            task = copy.copy(self.tasks[name])
            task.test_docs = task.validation_docs = lambda: chosen
            task.build_all_requests = _build_once(task)
            task.aggregation = _aggregate_nothing
            self._subsets[key] = task
        task = self._subsets[key]
        # lm-eval draws solved examples from a generator that it keeps between calls
        task.set_fewshot_seed(FEWSHOT_SEED)
        return task

    def requests(self, model: Any, name: str, ids: Sequence[int]) -> list[Any]:
        """What a model is asked on some documents of a task: lm-eval's instances.

        Raises:
            Exception: whatever the task's templates or code, or the chat template, raise.
        """
        task = self._narrowed(name, tuple(ids))
        chat = self.evaluation.apply_chat_template
        task.build_all_requests(
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            chat_template=model.apply_chat_template if chat else None,
            tokenizer_name=model.tokenizer_name if chat else "",
        )
        return list(task.instances)

    def _records(
        self, objective: Objective, results: Mapping[str, Any], ids: Sequence[int]
    ) -> list[ItemRecord]:
        of_task = results["results"].get(objective.task)
        if of_task is None:
            raise EvaluationError(f"the results lack task {objective.task}")
        if objective.metric not in of_task:
            keys = sorted(
                key
                for key in of_task
                if "," in key and not key.partition(",")[0].endswith("_stderr")
            )
            raise EvaluationError(
                f"task {objective.task} reports no `{objective.metric}`",
                expected=f"one of {', '.join(keys)}",
                fix="set the objective's `metric` to one of these keys",
            )
        metric, _, filter_name = objective.metric.partition(",")
        samples = [
            sample
            for sample in results["samples"][objective.task]
            if sample["filter"] == filter_name
        ]
        if [sample["doc_id"] for sample in samples] != list(range(len(ids))):
            raise EvaluationError(
                f"task {objective.task} answered {len(samples)} of {len(ids)} documents"
            )
        return [
            _record(objective, metric, doc_id, self._hash(objective.task, doc_id, sample), sample)
            for doc_id, sample in zip(ids, samples, strict=True)
        ]

    def _hash(self, task: str, doc_id: int, sample: Mapping[str, Any]) -> str:
        """The document's hash, which every candidate's record of it has."""
        if (task, doc_id) not in self._hashes:
            self._hashes[task, doc_id] = _hash_document(sample["doc"])
        return self._hashes[task, doc_id]


def _aggregate_nothing() -> Mapping[str, Callable[[Sequence[Any]], float]]:
    """A task's `aggregation` that does nothing with any metric.

    Values are made from the records, of the objectives alone: a metric of the task that nobody asked
    for costs nothing, and fails no candidate.
    """
    return defaultdict(lambda: lambda _parts: math.nan)


def _build_once(task: Any) -> Callable[..., None]:
    """A task's `build_all_requests` that renders prompts once per tokenizer, not per candidate."""
    build = task.build_all_requests
    built: dict[str, Any] = {}

    def build_all_requests(*, tokenizer_name: str, **settings: Any) -> None:
        if tokenizer_name not in built:
            build(tokenizer_name=tokenizer_name, **settings)
            built[tokenizer_name] = task.instances
        task._instances = built[tokenizer_name]  # noqa: SLF001 - where lm-eval keeps them
        for instance in task.instances:
            instance.resps = []
            instance.filtered_resps = {}

    return build_all_requests


def _record(
    objective: Objective, metric: str, doc_id: int, doc_hash: str, sample: Mapping[str, Any]
) -> ItemRecord:
    arguments = sample["arguments"]
    generation = next(
        (part[1] for part in arguments if len(part) > 1 and isinstance(part[1], dict)), None
    )
    return ItemRecord(
        objective=objective.name,
        task=objective.task,
        doc_id=doc_id,
        doc_hash=doc_hash,
        prompt=str(arguments[0][0]) if arguments else "",
        prompt_hash=sample["prompt_hash"],
        response=_response(sample["resps"]),
        target=str(sample["target"]),
        value=finite_number(sample.get(metric)),
        part=_part(objective, doc_id, sample.get(metric)),
        max_tokens=_limit(generation),
        language=finite_number(sample.get("language")),
        parsed=finite_number(sample.get("parsed")),
    )


def _response(responses: Any) -> str:
    """The generated text, or the choices' log-likelihoods."""
    first = responses[0][0] if responses and responses[0] else ""
    if isinstance(first, str):
        return first
    scores = [one[0][0] if isinstance(one[0], tuple) else one[0] for one in responses if one]
    return json.dumps([round(score, 4) for score in scores if isinstance(score, float)])


def _limit(generation: Mapping[str, Any] | None) -> int | None:
    if generation is None:
        return None
    for key in ("max_gen_toks", "max_new_tokens"):
        if key in generation:
            return int(generation[key])
    return None


def _part(objective: Objective, doc_id: int, value: Any) -> str | None:
    """What a document contributes to a metric that is only defined over all documents."""
    if value is None or finite_number(value) is not None:
        return None
    try:
        return write_part(value)
    except TypeError as error:
        raise EvaluationError(
            f"objective {objective.name} has a value that cannot be recorded for document {doc_id}",
            got=str(error),
        ) from error


def _key_of(task: str, document: Mapping[str, Any], column: str) -> str:
    if column not in document:
        raise ConfigError(
            f"the documents of task {task} have no column {column!r}",
            where="evaluation.document_keys",
            expected=f"one of {', '.join(sorted(map(str, document)))}",
        )
    return json.dumps(document[column], sort_keys=True, ensure_ascii=False, default=str)


def _hash_document(document: Any) -> str:
    return digest_bytes(
        json.dumps(document, sort_keys=True, ensure_ascii=False, default=str).encode()
    )
