"""Several sampled answers to each document: the mean of them, or what lm-eval's filters make of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.filter import FilterEnsemble
from lm_eval.filters.custom import CustomFilter
from lm_eval.filters.selection import MajorityVoteFilter, TakeKFilter

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.errors import ConfigError
from tsugiki.evaluate.aggregation import aggregation_of, finite_number
from tsugiki.evaluate.evaluators.evaluator import hash_document
from tsugiki.evaluate.pictures import has_pictures
from tsugiki.evaluate.sampling import OTHERS, SETTINGS, Draw, samples


class Alone(list[Any]):
    """What filters make of each of a document's answers by itself."""


class OneByOne(FilterEnsemble):  # type: ignore[misc]
    """A pipeline of lm-eval's filters that is given each answer as if it were the document's only one."""

    def apply(self, instances: list[Any]) -> None:
        """Filter the answers of all requests."""
        answers = [[one] for instance in instances for one in instance.resps]
        documents = [instance.doc for instance in instances for _ in instance.resps]
        filtered: Any = answers
        for make in self.filters:
            filtered = make().apply(filtered, documents)
        left = iter(filtered)
        for instance in instances:
            instance.filtered_resps[self.name] = Alone(next(left) for _ in instance.resps)


def together(pipeline: FilterEnsemble) -> bool:
    """Whether a pipeline is made for all answers of a document: one with a vote, the first k, or code."""
    of_many = (MajorityVoteFilter, TakeKFilter, CustomFilter)
    return any(not isinstance(kind, type) or issubclass(kind, of_many) for kind in _kinds(pipeline))


def average_answers(task: Any) -> None:
    """Let a task's metrics be means over a document's answers, wherever filters take one answer.

    Args:
        task: lm-eval's, a copy of its own; changed.
    """
    pipelines = task._filters  # noqa: SLF001 - lm-eval has no other place for them
    task._filters = [  # noqa: SLF001
        one if together(one) else OneByOne(one.name, one.filters) for one in pipelines
    ]
    task.process_results = _means(task.process_results)


def as_draw(instance: Any) -> None:
    """Let one of lm-eval's requests say of which document it is, by which its answers are sampled."""
    prompt, *settings = instance.args
    instance.arguments = (Draw(prompt, hash_document(instance.doc)), *settings)


def _means(process: Callable[..., Mapping[str, Any]]) -> Callable[..., dict[str, Any]]:
    def process_results(document: Any, results: Sequence[Any]) -> dict[str, Any]:
        if not (results and isinstance(results[0], Alone)):
            return dict(process(document, results))
        found = [process(document, list(answers)) for answers in zip(*results, strict=True)]
        return {metric: _mean([one.get(metric) for one in found]) for metric in found[0]}

    return process_results


def _mean(values: Sequence[Any]) -> float | None:
    """None where some value is no number."""
    numbers = [finite_number(one) for one in values]
    known = [one for one in numbers if one is not None]
    return sum(known) / len(known) if len(known) == len(numbers) else None


def repeat_faults(
    name: str,
    task: Any,
    repeats: int | None,
    objectives: Sequence[LmEvalObjective],
    *,
    before: int | None = None,
) -> Iterator[ConfigError]:
    """What stands against sampling a task's answers, or against doing so undeclared.

    Args:
        name: The task.
        task: lm-eval's.
        repeats: Answers to each document, where the configuration declares that they are sampled.
        objectives: Those that it is measured for.
        before: Answers that another group has declared for the same task.
    """
    settings = task.config.generation_kwargs or {}
    of_chance = task.OUTPUT_TYPE == "generate_until" and samples(settings)
    where = f"generation_kwargs of {name}"
    said = f"do_sample: {settings.get('do_sample')}, temperature: {settings.get('temperature')}"
    if repeats is None:
        if of_chance:
            yield ConfigError(
                f"task {name} samples its answers",
                where=where,
                expected="greedy decoding, or a declaration: scores depend on chance then",
                got=said,
                fix=f"declare it, as in `evaluation.repeats: {{{name}: 4}}`, four answers to each document; or "
                "use a copy of the task with `do_sample: false` in `task_paths`",
            )
        return
    if not of_chance or settings.get("temperature") == 0:
        yield ConfigError(
            f"task {name} does not sample its answers: repeated ones would be the same",
            where=where,
            expected="`do_sample: true` and a `temperature`",
            got=said
            if task.OUTPUT_TYPE == "generate_until"
            else f"output_type: {task.OUTPUT_TYPE}",
            fix=f"remove {name} from `evaluation.repeats`, or use a copy of the task that samples in `task_paths`",
        )
        return
    if has_pictures(task):
        yield ConfigError(
            f"task {name} shows pictures, and answers about pictures are not sampled",
            where="evaluation.repeats",
            expected="tasks of text alone",
            got="doc_to_image",
            fix=f"remove {name} from `evaluation.repeats`, and use a copy of the task with `do_sample: false`",
        )
        return
    if unknown := sorted(key for key in OTHERS if settings.get(key) is not None):
        yield ConfigError(
            f"task {name} samples in a way that is not known here",
            where=where,
            expected="`temperature`, `top_k` and `top_p` only",
            got=", ".join(unknown),
            fix="use a copy of the task without them in `task_paths`",
        )
    if before not in (None, repeats):
        yield ConfigError(
            f"task {name} is sampled in two ways",
            where="evaluation.repeats",
            expected="one number of answers for all groups that it is in",
            got=f"{before} and {repeats}",
        )
    for objective in objectives:
        yield from _filter_faults(name, task, repeats, objective)


def _filter_faults(
    name: str, task: Any, repeats: int, objective: LmEvalObjective
) -> Iterator[ConfigError]:
    pipeline = pipeline_of(task, objective)
    if pipeline is None:
        return
    for make in pipeline.filters:
        wanted = getattr(make, "keywords", {}).get("k", 0)
        if getattr(make, "func", None) is TakeKFilter and wanted > repeats:
            yield ConfigError(
                f"the filter `{pipeline.name}` of task {name} takes more answers than there are",
                where=f"objective {objective.name}",
                expected=f"`evaluation.repeats` of {name} to be {wanted} or more",
                got=str(repeats),
            )
    aggregation = aggregation_of(task, objective.metric)
    if not together(pipeline) and aggregation is not None:
        yield ConfigError(
            f"the metric `{objective.metric}` of task {name} has no mean over answers",
            where=f"objective {objective.name}",
            expected="a metric that is a mean over documents, or a filter that makes one of all answers",
            got=aggregation.name,
        )


def pipeline_of(task: Any, objective: LmEvalObjective) -> FilterEnsemble | None:
    """The filters of an objective's metric; None where there are none of that name, or none are needed."""
    if objective.counts_tokens:
        return None
    name = objective.metric.partition(",")[2]
    found: Sequence[FilterEnsemble] = task._filters  # noqa: SLF001 - as above
    return next((one for one in found if one.name == name), None)


def _kinds(pipeline: FilterEnsemble) -> list[Any]:
    return [getattr(make, "func", make) for make in pipeline.filters]


def note_repeats(objective: LmEvalObjective, task: Any, repeats: int) -> str:
    """Say how an objective's value follows from a document's sampled answers."""
    pipeline = pipeline_of(task, objective)
    of_all = pipeline is not None and together(pipeline)
    how = f"the filter `{pipeline.name}` over" if pipeline is not None and of_all else "the mean of"
    settings = task.config.generation_kwargs or {}
    said = ", ".join(f"{key} {settings[key]}" for key in SETTINGS if settings.get(key) is not None)
    return f"objective {objective.name}: {how} {repeats} sampled answers to each document" + (
        f" ({said})" if said else ""
    )
