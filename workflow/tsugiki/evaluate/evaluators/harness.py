"""The only door to lm-eval's tasks: load them, list their documents, evaluate a model on some."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import lm_eval
import PIL
from lm_eval.evaluator import evaluate

from tsugiki.config.evaluation import Evaluation, LmEvalObjective
from tsugiki.config.lm_eval_tasks import local_tasks, source_digest
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.samples import Sample
from tsugiki.errors import ConfigError, EvaluationError, TsugikiError
from tsugiki.evaluate.aggregation import Aggregation, aggregation_of, aggregation_of_group
from tsugiki.evaluate.documents import SourceDocuments
from tsugiki.evaluate.evaluators.evaluator import Evaluator, hash_document, keys_of
from tsugiki.evaluate.evaluators.repeats import (
    note_repeats,
    repeat_faults,
)
from tsugiki.evaluate.evaluators.samples import record_of, samples_of
from tsugiki.evaluate.evaluators.sources import Pool, Source
from tsugiki.evaluate.evaluators.subsets import FEWSHOT_SEED, Subsets
from tsugiki.evaluate.evaluators.task_checks import (
    aggregation_fault,
    no_room,
    prompt_remarks,
    task_faults,
    unknown_column,
)
from tsugiki.evaluate.evaluators.task_pictures import TaskPictures, picture_remarks, too_long
from tsugiki.evaluate.evaluators.tasks import (
    broken_task,
    data_set,
    load_tasks,
    note_goal,
    refuse,
    stated_goal,
)
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent
from tsugiki.evaluate.overlap import SourceFacts, texts_of
from tsugiki.evaluate.pictures import Picture, has_pictures
from tsugiki.evaluate.readers import Reader

logging.getLogger("lm_eval").setLevel(logging.ERROR)


class Harness(Evaluator):
    """Evaluator of all objectives that name an lm-eval task.

    Raises:
        ConfigError: a task does not exist, is a group, samples its answers undeclared, or would put test
            documents into its own prompts as solved examples.
    """

    key: ClassVar[str] = "harness"
    objectives: Sequence[LmEvalObjective]

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.objectives = _tasks_of(evaluation)
        names = sorted({objective.task for objective in self.objectives})
        local = local_tasks(evaluation.task_folders)
        loaded = load_tasks(names, list(map(str, evaluation.task_folders)), local)
        self.tasks = {name: task for of_name in loaded.values() for name, task in of_name.items()}
        """lm-eval's tasks, those of groups among them."""
        self._files = {one: local[one].path for one in (*names, *self.tasks) if one in local}
        self.repeats: dict[str, int] = {}
        """Sampled answers to each document, by task; tasks whose answers are not sampled are absent."""
        self.sources: dict[str, Source] = {}
        """By what objectives name as their task."""
        faults = []
        for name in names:
            try:
                self.sources[name] = self._source(name, loaded[name])
            except ConfigError as error:
                faults.append(error)
        refuse(faults)
        self.aggregations: dict[str, Aggregation | None] = {
            objective.name: self._aggregation(objective) for objective in self.objectives
        }
        self._pictures = TaskPictures(self.tasks, self._files)
        self._subsets = Subsets(self.sources, self.repeats, self._pictures)
        self._hashes: dict[tuple[str, int], str] = {}
        self._versions = {
            name: source_digest(local[name].path.parent) if name in local else lm_eval.__version__
            for name in sorted(self.tasks)
        }

    def _source(self, name: str, tasks: Mapping[str, Any]) -> Source:
        """Where the documents of a task or group are from; its tasks are made ready."""
        objectives = [one for one in self.objectives if one.task == name]
        if name not in tasks and any(one.aggregate is None for one in objectives):
            raise ConfigError(
                f"`{name}` is not a single task",
                where="evaluation.objectives",
                fix=f"name one of its tasks: {', '.join(sorted(tasks)[:20])}; or say how their values become "
                "one, such as `aggregate: mean`",
            )
        if not tasks:
            raise ConfigError(
                f"the group `{name}` has no tasks",
                where="evaluation.objectives",
                expected="a group with at least one task",
                fix="list tasks in the group's file, or name a task",
            )
        optimised = {one.task for one in self.evaluation.objectives}
        training = self.evaluation.items.search_split is not None and name in optimised
        repeats = self.evaluation.repeats.get(name)
        for one, task in tasks.items():
            if self.evaluation.num_fewshot is not None:
                task.set_config("num_fewshot", self.evaluation.num_fewshot)
            if self.evaluation.gen_prefix is not None:
                task.set_config("gen_prefix", self.evaluation.gen_prefix)
                task.fewshot_cfg.gen_prefix = self.evaluation.gen_prefix
            refuse(
                [
                    *task_faults(one, task, objectives, training=training),
                    *repeat_faults(one, task, repeats, objectives, before=self.repeats.get(one)),
                ]
            )
            if repeats is not None:
                self.repeats[one] = repeats
                task.set_config("repeats", repeats)
        return Source({one: Pool(tasks[one], training) for one in sorted(tasks)})

    def _aggregation(self, objective: LmEvalObjective) -> Aggregation | None:
        of_tasks = {
            name: aggregation_of(pool.task, objective.metric)
            for name, pool in self.sources[objective.task].pools.items()
        }
        if objective.aggregate is None:
            return of_tasks[objective.task]
        for name, found in of_tasks.items():
            if found is not None:
                raise ConfigError(
                    f"the metric `{objective.metric}` of task {name} is no mean over documents",
                    where=f"objective {objective.name}",
                    expected="a mean, for the values of a group to become one",
                    got=found.name,
                    fix="take another metric, or name the group's tasks one by one",
                )
        larger = self.goals()[objective.name] == "maximize"
        return aggregation_of_group(objective.aggregate, larger=larger)

    def _stated(self, objective: LmEvalObjective) -> Goal | None:
        """Which way an objective is better, as its task states it, of a group the first one."""
        return stated_goal(next(iter(self.sources[objective.task].pools.values())).task, objective)

    def goals(self) -> dict[str, Goal]:
        """Which way each objective is better: as configured, else as its task states it."""
        return {one.name: one.goal or self._stated(one) or "maximize" for one in self.objectives}

    def notes(self) -> list[str]:
        """A line for each objective whose direction its task decides, or whose answers are sampled."""
        goals = (note_goal(one.task, self._stated(one), one) for one in self.objectives)
        repeats = [
            note_repeats(one, pool.task, self.repeats[name])
            for one in self.objectives
            for name, pool in list(self.sources[one.task].pools.items())[:1]
            if name in self.repeats
        ]
        return [note for note in goals if note is not None] + repeats

    def documents(self) -> dict[str, SourceDocuments]:
        """What tells documents apart, by task or group: their content, that of their pictures included, or keys."""
        return {
            name: SourceDocuments(
                [
                    self._hash(task, place, document)
                    for task, pool in source.pools.items()
                    for place, document in enumerate(pool)
                ],
                keys_of(self.evaluation, name, list(source.documents())),
                source.for_search,
            )
            for name, source in self.sources.items()
        }

    def facts(self) -> dict[str, SourceFacts]:
        """The texts of each task's documents, digests of their pictures, and the data set that it names."""
        found = {}
        for name, source in self.sources.items():
            documents = list(source.documents())
            texts = texts_of(documents)
            if any(has_pictures(pool.task) for pool in source.pools.values()):
                texts["(pictures)"] = [
                    " ".join(self._pictures.digests(task, place, document) or ())
                    for task, pool in source.pools.items()
                    for place, document in enumerate(pool)
                ]
            told = [data_set(pool.task) for pool in source.pools.values()]
            named = told[0] if len(told) == 1 else (None, None)
            found[name] = SourceFacts(len(documents), texts, *named)
        return found

    def shown(self, source: str, ids: Sequence[int]) -> dict[int, list[Picture]]:
        """The pictures of some documents of a source, by place; documents without any are absent."""
        found = {}
        for one, (task, place) in zip(ids, self.sources[source].by_task(ids), strict=True):
            if has_pictures(self.tasks[task]):
                (document,) = self._subsets.pool(task).chosen([place])
                found[one] = self._pictures.opened(task, document, place)
        return found

    def identity(self) -> dict[str, Any]:
        """What determines the tasks' prompts and metrics, as plain data."""
        aggregations = {name: one.name for name, one in self.aggregations.items() if one}
        of_prompts = {
            name: getattr(self.evaluation, name)
            for name in ("system_instruction", "fewshot_as_multiturn", "gen_prefix")
        }
        return {
            # the mean goes without saying: what was scored before keeps its identity
            **({"aggregations": aggregations} if aggregations else {}),
            "lm_eval": lm_eval.__version__,
            "sources": self._versions,
            "objectives": [
                objective.model_dump(mode="json")
                for objective in _tasks_of(self.evaluation.with_goals())
            ],
            "num_fewshot": {
                name: task.config.num_fewshot or 0 for name, task in self.tasks.items()
            },
            "fewshot_seed": FEWSHOT_SEED,
            "apply_chat_template": self.evaluation.apply_chat_template,
            **{name: value for name, value in of_prompts.items() if value is not None},
            **({"repeats": self.repeats} if self.repeats else {}),
            **({"pillow": PIL.__version__} if any(map(has_pictures, self.tasks.values())) else {}),
        }

    def score(self, model: Any, ids: Mapping[str, Sequence[int]]) -> list[Sample]:
        """Score a model.

        Returns:
            A record for every objective and document, in the order of the configuration.

        Raises:
            EvaluationError: the results lack a task or metric.
        """
        placed = {
            name: self.sources[name].by_task(of_source)
            for name, of_source in ids.items()
            if of_source and name in self.sources
        }
        asked: dict[str, dict[int, None]] = {}
        for task, place in (one for of_source in placed.values() for one in of_source):
            asked.setdefault(task, {})[place] = None  # of several sources, once
        results = self._evaluate(
            model, {name: self._subsets.of(name, tuple(places)) for name, places in asked.items()}
        )
        if results is None:
            raise EvaluationError("lm-eval returned no results")
        records: list[Sample] = []
        for one in self.objectives:
            places = placed.get(one.task, [])
            found = {
                task: samples_of(task, one, results, list(asked[task]))
                for task in dict.fromkeys(task for task, _ in places)
            }
            for doc_id, (task, place) in zip(ids.get(one.task, ()), places, strict=True):
                sample = found[task][place]
                hashed = self._hash(task, place, sample["doc"])
                sampled = task in self.repeats
                records.append(record_of(one, doc_id, hashed, sample, task, sampled=sampled))
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

    def requests(self, model: Any, source: str, ids: Sequence[int]) -> list[Any]:
        """What a model is asked on some documents of a task or group: lm-eval's instances.

        Raises:
            Exception: whatever the task's templates or code, or the chat template, raise.
        """
        chat = self.evaluation.apply_chat_template
        found: list[Any] = []
        places: dict[str, list[int]] = {}
        for one, place in self.sources[source].by_task(ids):
            places.setdefault(one, []).append(place)
        for one, of_task in places.items():
            task = self._subsets.of(one, tuple(of_task))
            task.build_all_requests(
                system_instruction=self.evaluation.system_instruction,
                apply_chat_template=chat,
                fewshot_as_multiturn=self.evaluation.multiturn,
                chat_template=model.apply_chat_template if chat else None,
                tokenizer_name=model.tokenizer_name if chat else "",
            )
            found += task.instances
        return found

    def faults(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """The first fault of a task: of its metrics, its pictures, its prompts for each reader, or its scoring.

        Metrics are aggregated over made-up answers; a right answer to a local task is scored.
        """
        found = self.sources[source]
        fault = next(self._faults_of_tasks(source, ids, readers), None)
        if fault is not None:
            yield fault
            return
        file = next((self._files[name] for name in found.pools if name in self._files), None)
        for reader in readers:
            reader.answer = lambda one: str(self.tasks[one.task_name].doc_to_target(one.doc))
            try:
                asked = self.requests(reader, source, ids)
                fault = too_long(source, reader, asked)
                if fault := fault or no_room(f"task {source}", [reader], {reader.name: asked}):
                    yield fault
                    return
                if file is not None:
                    self.score(reader, {source: found.first_of_each(ids)})
            except Exception as error:  # noqa: BLE001 - a task's own code and templates run here
                cause = error.__cause__ if error.__cause__ is not None else error
                if not (is_absent(cause) or is_machine_fault(cause)):
                    yield broken_task(source, file, cause)
                return

    def _faults_of_tasks(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> Iterator[ConfigError]:
        """What is wrong with columns, metrics and pictures of a source's tasks."""
        for name, pool in self.sources[source].pools.items():
            file = self._files.get(name)
            if file is not None and (fault := unknown_column(pool.task, name, file)):
                yield fault
            for one in self.objectives:
                if one.task == source and (fault := aggregation_fault(name, pool.task, one, file)):
                    yield fault
            if has_pictures(pool.task):
                places = [
                    place for task, place in self.sources[source].by_task(ids) if task == name
                ]
                documents = zip(places, self._subsets.pool(name).chosen(places), strict=True)
                if fault := self._pictures.fault(name, documents, readers):
                    yield fault

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """What to know of a task's prompts and answers."""
        asked = {reader.name: self.requests(reader, source, ids) for reader in readers}
        if any(has_pictures(pool.task) for pool in self.sources[source].pools.values()):
            yield from picture_remarks(source, readers)
        yield from prompt_remarks(source, readers, asked)

    def _hash(self, task: str, place: int, document: Any) -> str:
        """The document's hash, which every candidate's record of it has."""
        if (task, place) not in self._hashes:
            pictures = self._pictures.digests(task, place, document)
            self._hashes[task, place] = hash_document(document, pictures)
        return self._hashes[task, place]


def _tasks_of(evaluation: Evaluation) -> list[LmEvalObjective]:
    """The objectives and monitors that are lm-eval's."""
    return [one for one in evaluation.measured if isinstance(one, LmEvalObjective)]
