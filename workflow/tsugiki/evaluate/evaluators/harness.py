"""The only door to lm-eval's tasks: load them, list their documents, evaluate a model on some."""

from __future__ import annotations

import copy
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from tsugiki.evaluate.evaluators.evaluator import hash_document, keys_of
from tsugiki.evaluate.evaluators.picture_checks import (
    blindness,
    picture_fault,
    picture_remarks,
    too_long,
)
from tsugiki.evaluate.evaluators.repeats import (
    average_answers,
    note_repeats,
    repeat_faults,
)
from tsugiki.evaluate.evaluators.samples import record_of
from tsugiki.evaluate.evaluators.sources import Pool, Source, refuse_training
from tsugiki.evaluate.evaluators.task_checks import no_room, prompt_remarks, unknown_column
from tsugiki.evaluate.evaluators.tasks import (
    broken_task,
    data_set,
    load_tasks,
    note_goal,
    refuse,
    refuse_leaking_examples,
    refuse_no_answers,
    refuse_unaggregated,
    stated_goal,
)
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent
from tsugiki.evaluate.overlap import SourceFacts, texts_of
from tsugiki.evaluate.pictures import Picture, has_pictures, pictures_of
from tsugiki.evaluate.readers import Reader
from tsugiki.evaluate.sampling import Draw

FEWSHOT_SEED = 1234

logging.getLogger("lm_eval").setLevel(logging.ERROR)


class Harness:
    """Evaluator of all objectives that name an lm-eval task.

    Raises:
        ConfigError: a task does not exist, is a group, samples its answers undeclared, or would put test
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
        loaded = load_tasks(names, list(map(str, evaluation.task_folders)), local)
        self.tasks = {name: task for of_name in loaded.values() for name, task in of_name.items()}
        """lm-eval's tasks, those of groups among them."""
        self.files |= {name: local[name].path for name in self.tasks if name in local}
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
        """How each objective's value follows from its documents; None for their mean."""
        self._subsets: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        self._opened: dict[str, Picture] = {}
        self._digests: dict[tuple[str, int], list[str]] = {}
        self._sources = {
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
            refuse_leaking_examples(one, task)
            refuse(list(repeat_faults(one, task, repeats, objectives)))
            if repeats is not None:
                if self.repeats.setdefault(one, repeats) != repeats:
                    raise ConfigError(
                        f"task {one} is sampled in two ways",
                        where="evaluation.repeats",
                        expected="one number of answers for all groups that it is in",
                        got=f"{self.repeats[one]} and {repeats}",
                    )
                task.set_config("repeats", repeats)
            refuse_no_answers(one, task, objectives)
            if training:
                refuse_training(one, task)
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
        return [
            note
            for one in self.objectives
            if (note := note_goal(one.task, self._stated(one), one)) is not None
        ] + [
            note_repeats(one, pool.task, self.repeats[name])
            for one in self.objectives
            for name, pool in list(self.sources[one.task].pools.items())[:1]
            if name in self.repeats
        ]

    def document_hashes(self) -> dict[str, list[str]]:
        """SHA-256 of every document of every task."""
        return {
            name: [
                self._hash_of(task, place, document)
                for task, pool in source.pools.items()
                for place, document in enumerate(pool)
            ]
            for name, source in self.sources.items()
        }

    def pictures(self, task: str, document: Any, place: int | None = None) -> list[Picture]:
        """The pictures that a document of a task shows, in their order.

        Raises:
            ConfigError: one of them cannot be opened.
        """
        folder = self.files[task].parent if task in self.files else None
        where = f"task {task}" if place is None else f"task {task}, document {place}"
        return pictures_of(self.tasks[task], document, folder, where)

    def shown(self, source: str, ids: Sequence[int]) -> dict[int, list[Picture]]:
        """The pictures of some documents of a source, by place; documents without any are absent."""
        found = {}
        for one, (task, place) in zip(ids, self.sources[source].by_task(ids), strict=True):
            if has_pictures(self.tasks[task]):
                document = self._pool(task).chosen([place])[0]
                found[one] = self.pictures(task, document, place)
        return found

    def _hash_of(self, task: str, place: int, document: Any) -> str:
        if not has_pictures(self.tasks[task]):
            return hash_document(document)
        return hash_document(document, self._digests_of(task, place, document))

    def _digests_of(self, task: str, place: int, document: Any) -> list[str]:
        """Digests of the pictures that a document shows; each is opened once for them."""
        if (task, place) not in self._digests:
            shown = self.pictures(task, document, place)
            self._digests[task, place] = [one.digest for one in shown]
        return self._digests[task, place]

    def document_keys(self) -> dict[str, list[str]]:
        """What tells documents apart, for tasks of which the configuration names a column.

        Raises:
            ConfigError: a task's documents have no such column.
        """
        return {
            name: keys_of(name, list(self.sources[name].documents()), column)
            for name, column in self.evaluation.document_keys.items()
            if name in self.sources
        }

    def search_only(self) -> dict[str, set[int]]:
        """Places of documents of training splits, which are for the search alone, by task or group."""
        found = {name: source.for_search for name, source in self.sources.items()}
        return {name: places for name, places in found.items() if places}

    def document_facts(self) -> dict[str, SourceFacts]:
        """The texts of each task's documents, and the data set that it names."""
        found = {}
        for name, source in self.sources.items():
            documents = list(source.documents())
            told = [data_set(pool.task) for pool in source.pools.values()]
            named = told[0] if len(told) == 1 else (None, None)
            texts = texts_of(documents) | self._picture_digests(source)
            found[name] = SourceFacts(len(documents), texts, *named)
        return found

    def _picture_digests(self, source: Source) -> dict[str, list[str]]:
        """What tells documents apart by the pictures that they show; nothing if they show none."""
        if not any(has_pictures(pool.task) for pool in source.pools.values()):
            return {}
        digests = [
            self._digests_of(task, place, document) if has_pictures(pool.task) else []
            for task, pool in source.pools.items()
            for place, document in enumerate(pool)
        ]
        return {"(pictures)": [" ".join(of_one) for of_one in digests]}

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
            **({"pillow": PIL.__version__} if any(map(has_pictures, self.tasks.values())) else {}),
        }

    def _of_prompts(self) -> dict[str, Any]:
        """What else determines prompts, as far as it is configured."""
        names = ("system_instruction", "fewshot_as_multiturn", "gen_prefix")
        found = {name: getattr(self.evaluation, name) for name in names}
        if self.repeats:
            found["repeats"] = self.repeats
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
        placed = {
            name: self.sources[name].by_task(of_source)
            for name, of_source in ids.items()
            if of_source and name in self.sources
        }
        asked: dict[str, dict[int, None]] = {}
        for task, place in (one for of_source in placed.values() for one in of_source):
            asked.setdefault(task, {})[place] = None  # of several sources, once
        results = self._evaluate(
            model, {name: self._narrowed(name, tuple(places)) for name, places in asked.items()}
        )
        if results is None:
            raise EvaluationError("lm-eval returned no results")
        records: list[Sample] = []
        for objective in self.objectives:
            if objective.task in placed:
                found = {
                    name: self._samples(name, objective, results, list(asked[name]))
                    for name in dict.fromkeys(name for name, _ in placed[objective.task])
                }
                metric = objective.metric.partition(",")[0]
                for doc_id, (name, place) in zip(
                    ids[objective.task], placed[objective.task], strict=True
                ):
                    sample = found[name][place]
                    hashed = self._hash(name, place, sample)
                    sampled = name in self.repeats
                    records.append(
                        record_of(objective, metric, doc_id, hashed, sample, name, sampled=sampled)
                    )
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
            chosen = self._pool(name).chosen(ids)  # the others may be large, as images are
            task = copy.copy(self.tasks[name])
            task.test_docs = task.validation_docs = lambda: chosen
            task.build_all_requests = _build_once(task)
            if name in self.repeats:
                task.build_all_requests = _build_once(task, self._as_draws)
                average_answers(task)
            task.aggregation = _aggregate_nothing
            if has_pictures(task):
                # any model may be asked, by its own way; lm-eval would also hash pictures at each call
                task.MULTIMODAL = False
                task.doc_to_image = lambda document: self._shown(name, document)
            self._subsets[key] = task
        task = self._subsets[key]
        # lm-eval draws solved examples from a generator that it keeps between calls
        task.set_fewshot_seed(FEWSHOT_SEED)
        return task

    def _shown(self, name: str, document: Any) -> list[Picture]:
        """The pictures that a document shows, each kept once, whoever is asked."""
        return [self._opened.setdefault(one.digest, one) for one in self.pictures(name, document)]

    def _as_draws(self, instance: Any) -> None:
        """Let a request say of which document it is, by which its answers are sampled."""
        prompt, *settings = instance.args
        instance.arguments = (Draw(prompt, hash_document(instance.doc)), *settings)

    def _pool(self, name: str) -> Pool:
        """All documents that some source has of a task."""
        pools = [of.pools[name] for of in self.sources.values() if name in of.pools]
        return max(pools, key=lambda pool: pool.with_training)

    def requests(self, model: Any, name: str, ids: Sequence[int]) -> list[Any]:
        """What a model is asked on some documents of a task or group: lm-eval's instances.

        Raises:
            Exception: whatever the task's templates or code, or the chat template, raise.
        """
        chat = self.evaluation.apply_chat_template
        found: list[Any] = []
        places: dict[str, list[int]] = {}
        for one, place in self.sources[name].by_task(ids):
            places.setdefault(one, []).append(place)
        for one, of_task in places.items():
            task = self._narrowed(one, tuple(of_task))
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
        """The first fault of a task: of its metrics, its prompts for each reader, or its scoring.

        Metrics are aggregated over made-up answers; a right answer to a local task is scored.
        """
        fault = self._fault_of_metrics(source)
        fault = fault or self._fault_of_pictures(source, ids, readers)
        if fault is not None:
            yield fault
            return
        pools = self.sources[source].pools
        file = next((self.files[name] for name in pools if name in self.files), None)
        for reader in readers:
            reader.answer = lambda one: str(self.tasks[one.task_name].doc_to_target(one.doc))
            try:
                asked = self.requests(reader, source, ids)
                fault = too_long(source, reader, asked)
                if fault := fault or no_room(f"task {source}", [reader], {reader.name: asked}):
                    yield fault
                    return
                if file is not None:
                    self.score(reader, {source: self._one_of_each(source, ids)})
            except Exception as error:  # noqa: BLE001 - a task's own code and templates run here
                cause = error.__cause__ if error.__cause__ is not None else error
                if not (is_absent(cause) or is_machine_fault(cause)):
                    yield broken_task(source, file, cause)
                return

    def _fault_of_metrics(self, source: str) -> ConfigError | None:
        """A column or metric that a task of a source does not have, if so."""
        for name, pool in self.sources[source].pools.items():
            file = self.files.get(name)
            if file is not None and (fault := unknown_column(pool.task, name, file)):
                return fault
            try:
                for objective in self.objectives:
                    if objective.task == source and not objective.counts_tokens:
                        refuse_unaggregated(name, pool.task, objective, file)
            except ConfigError as error:
                return error
        return None

    def _fault_of_pictures(
        self, source: str, ids: Sequence[int], readers: Sequence[Reader]
    ) -> ConfigError | None:
        """Why pictures of a source's documents cannot be shown, if so."""
        for name, pool in self.sources[source].pools.items():
            if not has_pictures(pool.task):
                continue
            places = [place for one, place in self.sources[source].by_task(ids) if one == name]
            documents = zip(places, self._pool(name).chosen(places), strict=True)
            counted = (
                (place, document, len(self.pictures(name, document, place)))
                for place, document in documents
            )
            fault = picture_fault(name, pool.task, counted) or blindness(name, readers)
            if fault is not None:
                return fault
        return None

    def _one_of_each(self, source: str, ids: Sequence[int]) -> list[int]:
        """The first document of each task among some of a source."""
        first: dict[str, int] = {}
        for one, (name, _) in zip(ids, self.sources[source].by_task(ids), strict=True):
            first.setdefault(name, one)
        return list(first.values())

    def remarks(self, source: str, ids: Sequence[int], readers: Sequence[Reader]) -> Iterator[str]:
        """What to know of a task's prompts and answers."""
        asked = {reader.name: self.requests(reader, source, ids) for reader in readers}
        if any(has_pictures(pool.task) for pool in self.sources[source].pools.values()):
            yield from picture_remarks(source, readers)
        yield from prompt_remarks(source, readers, asked)

    def _samples(
        self,
        name: str,
        objective: LmEvalObjective,
        results: Mapping[str, Any],
        asked: Sequence[int],
    ) -> dict[int, Mapping[str, Any]]:
        """lm-eval's own records of a task's documents, by place, as an objective's metric has them."""
        of_task = results["results"].get(name)
        if of_task is None:
            raise EvaluationError(f"the results lack task {name}")
        filter_name = objective.metric.partition(",")[2]
        if objective.counts_tokens:  # the same answer goes through every filter
            filter_name = next((one["filter"] for one in results["samples"][name]), "")
        elif objective.metric not in of_task:
            keys = sorted(
                key
                for key in of_task
                if "," in key and not key.partition(",")[0].endswith("_stderr")
            )
            raise EvaluationError(
                f"task {name} reports no `{objective.metric}`",
                expected=f"one of {', '.join(keys)}",
                fix="set the objective's `metric` to one of these keys",
            )
        samples = [one for one in results["samples"][name] if one["filter"] == filter_name]
        if [sample["doc_id"] for sample in samples] != list(range(len(asked))):
            raise EvaluationError(f"task {name} answered {len(samples)} of {len(asked)} documents")
        return dict(zip(asked, samples, strict=True))

    def _hash(self, task: str, doc_id: int, sample: Mapping[str, Any]) -> str:
        """The document's hash, which every candidate's record of it has."""
        if (task, doc_id) not in self._hashes:
            self._hashes[task, doc_id] = self._hash_of(task, doc_id, sample["doc"])
        return self._hashes[task, doc_id]


def _aggregate_nothing() -> Mapping[str, Callable[[Sequence[Any]], float]]:
    """A task's `aggregation` that does nothing with any metric.

    Values are made from the records, of the objectives alone: a metric of the task that nobody asked
    for costs nothing, and fails no candidate.
    """
    return defaultdict(lambda: lambda _parts: math.nan)


def _build_once(
    task: Any, finish: Callable[[Any], None] = lambda _instance: None
) -> Callable[..., None]:
    """A task's `build_all_requests` that renders prompts once per tokenizer, not per candidate.

    Args:
        task: The task.
        finish: Called once with each request.
    """
    build = task.build_all_requests
    built: dict[str, Any] = {}

    def build_all_requests(*, tokenizer_name: str, **settings: Any) -> None:
        if tokenizer_name not in built:
            build(tokenizer_name=tokenizer_name, **settings)
            built[tokenizer_name] = task.instances
            for instance in task.instances:
                finish(instance)
        task._instances = built[tokenizer_name]  # noqa: SLF001 - where lm-eval keeps them
        for instance in task.instances:
            instance.resps = []
            instance.filtered_resps = {}

    return build_all_requests


def _tasks_of(evaluation: Evaluation) -> list[LmEvalObjective]:
    """The objectives and monitors that are lm-eval's."""
    return [one for one in evaluation.measured if isinstance(one, LmEvalObjective)]
