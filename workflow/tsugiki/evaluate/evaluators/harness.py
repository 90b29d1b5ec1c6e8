"""The only door to lm-eval's tasks: load them, list their documents, evaluate a model on some."""

from __future__ import annotations

import copy
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import lm_eval
from lm_eval.evaluator import evaluate

from tsugiki.config.evaluation import Evaluation, LmEvalObjective
from tsugiki.config.lm_eval_tasks import local_tasks, source_digest
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.aggregation import Aggregation, aggregation_of
from tsugiki.evaluate.evaluators.evaluator import hash_document, keys_of
from tsugiki.evaluate.evaluators.samples import record_of
from tsugiki.evaluate.evaluators.task_checks import prompt_remarks, unknown_column
from tsugiki.evaluate.evaluators.tasks import (
    broken_task,
    data_set,
    load_tasks,
    note_goal,
    refuse,
    refuse_leaking_examples,
    refuse_sampling,
    refuse_unaggregated,
    stated_goal,
)
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent
from tsugiki.evaluate.overlap import SourceFacts, texts_of
from tsugiki.evaluate.readers import Reader

FEWSHOT_SEED = 1234

logging.getLogger("lm_eval").setLevel(logging.ERROR)


class Harness:
    """Evaluator of all objectives that name an lm-eval task.

    Raises:
        ConfigError: a task does not exist, is a group, samples its answers, or would put test
            documents into its own prompts as solved examples.
    """

    key: ClassVar[str] = "harness"

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.objectives = _tasks_of(evaluation)
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
        self.aggregations: dict[str, Aggregation | None] = {
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
        if self.evaluation.gen_prefix is not None:
            self.tasks[name].set_config("gen_prefix", self.evaluation.gen_prefix)
            self.tasks[name].fewshot_cfg.gen_prefix = self.evaluation.gen_prefix
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
            name: [hash_document(document) for document in task.eval_docs]
            for name, task in self.tasks.items()
        }

    def document_keys(self) -> dict[str, list[str]]:
        """What tells documents apart, for tasks of which the configuration names a column.

        Raises:
            ConfigError: a task's documents have no such column.
        """
        return {
            name: keys_of(name, self.tasks[name].eval_docs, column)
            for name, column in self.evaluation.document_keys.items()
            if name in self.tasks
        }

    def document_facts(self) -> dict[str, SourceFacts]:
        """The texts of each task's documents, and the data set that it names."""
        return {
            name: SourceFacts(len(task.eval_docs), texts_of(task.eval_docs), *data_set(task))
            for name, task in self.tasks.items()
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
                for objective in _tasks_of(self.evaluation.with_goals())
            ],
            "num_fewshot": {
                name: task.config.num_fewshot or 0 for name, task in self.tasks.items()
            },
            "fewshot_seed": FEWSHOT_SEED,
            "apply_chat_template": self.evaluation.apply_chat_template,
            **self._of_prompts(),
        }

    def _of_prompts(self) -> dict[str, Any]:
        """What else determines prompts, as far as it is configured."""
        names = ("system_instruction", "fewshot_as_multiturn", "gen_prefix")
        found = {name: getattr(self.evaluation, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def score(self, model: Any, ids: Mapping[str, Sequence[int]]) -> list[Sample]:
        """Score a model.

        Args:
            model: An lm-eval model.
            ids: Document ids by task; those of other evaluators are passed over.

        Returns:
            A record for every objective and document, in the order of the configuration.

        Raises:
            EvaluationError: the results lack a task or metric.
        """
        narrowed = {
            name: self._narrowed(name, tuple(of_task))
            for name, of_task in ids.items()
            if of_task and name in self.tasks
        }
        results = self._evaluate(model, narrowed)
        if results is None:
            raise EvaluationError("lm-eval returned no results")
        records: list[Sample] = []
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
                system_instruction=self.evaluation.system_instruction,
                apply_chat_template=self.evaluation.apply_chat_template,
                fewshot_as_multiturn=self.evaluation.multiturn,
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
            system_instruction=self.evaluation.system_instruction,
            apply_chat_template=chat,
            fewshot_as_multiturn=self.evaluation.multiturn,
            chat_template=model.apply_chat_template if chat else None,
            tokenizer_name=model.tokenizer_name if chat else "",
        )
        return list(task.instances)

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """The first fault of a task: of its metrics, its prompts for each reader, or its scoring.

        Metrics are aggregated over made-up answers; a right answer to a local task is scored.
        """
        file, task = self.files.get(source), self.tasks[source]
        if file is not None and (fault := unknown_column(task, source, file)):
            yield fault
            return
        try:
            for objective in self.objectives:
                if objective.task == source:
                    refuse_unaggregated(source, task, objective, file)
        except ConfigError as error:
            yield error
            return
        for reader in readers:
            reader.answer = lambda one: str(self.tasks[one.task_name].doc_to_target(one.doc))
            try:
                self.requests(reader, source, ids)
                if file is not None:
                    self.score(reader, {source: list(ids[:1])})
            except Exception as error:  # noqa: BLE001 - a task's own code and templates run here
                cause = error.__cause__ if error.__cause__ is not None else error
                if not (is_absent(cause) or is_machine_fault(cause)):
                    yield broken_task(source, file, cause)
                return

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """What to know of a task's prompts and answers."""
        asked = {reader.name: self.requests(reader, source, ids) for reader in readers}
        return prompt_remarks(source, readers, asked)

    def _records(
        self, objective: LmEvalObjective, results: Mapping[str, Any], ids: Sequence[int]
    ) -> list[Sample]:
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
            record_of(objective, metric, doc_id, self._hash(objective.task, doc_id, sample), sample)
            for doc_id, sample in zip(ids, samples, strict=True)
        ]

    def _hash(self, task: str, doc_id: int, sample: Mapping[str, Any]) -> str:
        """The document's hash, which every candidate's record of it has."""
        if (task, doc_id) not in self._hashes:
            self._hashes[task, doc_id] = hash_document(sample["doc"])
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


def _tasks_of(evaluation: Evaluation) -> list[LmEvalObjective]:
    """The objectives and monitors that are lm-eval's."""
    return [one for one in evaluation.measured if isinstance(one, LmEvalObjective)]
