"""lm-eval's tasks with some of their documents, made ready to be asked of many models."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tsugiki.evaluate.evaluators.repeats import as_draw, average_answers
from tsugiki.evaluate.evaluators.sources import Pool, Source
from tsugiki.evaluate.evaluators.task_pictures import TaskPictures
from tsugiki.evaluate.pictures import has_pictures

FEWSHOT_SEED = 1234


class Subsets:
    """Copies of tasks that have only some of their documents, each made once.

    Args:
        sources: Where the tasks' documents are from.
        repeats: Tasks whose answers are sampled.
        pictures: What documents show.
    """

    def __init__(
        self, sources: Mapping[str, Source], repeats: Collection[str], pictures: TaskPictures
    ) -> None:
        self._sources, self._repeats, self._pictures = sources, repeats, pictures
        self._made: dict[tuple[str, tuple[int, ...]], Any] = {}

    def pool(self, name: str) -> Pool:
        """All documents that some source has of a task."""
        pools = [of.pools[name] for of in self._sources.values() if name in of.pools]
        return max(pools, key=lambda pool: pool.with_training)

    def of(self, name: str, ids: tuple[int, ...]) -> Any:
        """A copy of a task that has only some of its documents.

        lm-eval's own subsets read every document of the task at each call, and number them by
        their place in the subset in one table and by their id in another.
        """
        key = (name, ids)
        if key not in self._made:
            pool = self.pool(name)
            chosen = pool.chosen(ids)  # the others may be large, as images are
            task = copy.copy(pool.task)
            task.test_docs = task.validation_docs = lambda: chosen
            task.build_all_requests = _build_once(task, as_draw if name in self._repeats else None)
            if name in self._repeats:
                average_answers(task)
            task.aggregation = _aggregate_nothing
            if has_pictures(task):
                # any model may be asked, by its own way; lm-eval would also hash pictures at each call
                task.MULTIMODAL = False
                task.doc_to_image = lambda document: self._pictures.kept(name, document)
            self._made[key] = task
        task = self._made[key]
        # lm-eval draws solved examples from a generator that it keeps between calls
        task.set_fewshot_seed(FEWSHOT_SEED)
        return task


def _aggregate_nothing() -> Mapping[str, Callable[[Sequence[Any]], float]]:
    """A task's `aggregation` that does nothing with any metric.

    Values are made from the records, of the objectives alone: a metric of the task that nobody asked
    for costs nothing, and fails no candidate.
    """
    return defaultdict(lambda: lambda _parts: math.nan)


def _build_once(task: Any, finish: Callable[[Any], None] | None) -> Callable[..., None]:
    """A task's `build_all_requests` that renders prompts once per tokenizer, not per candidate."""
    build = task.build_all_requests
    built: dict[str, Any] = {}

    def build_all_requests(*, tokenizer_name: str, **settings: Any) -> None:
        if tokenizer_name not in built:
            build(tokenizer_name=tokenizer_name, **settings)
            built[tokenizer_name] = task.instances
            for instance in task.instances:
                if finish is not None:
                    finish(instance)
        task._instances = built[tokenizer_name]  # noqa: SLF001 - where lm-eval keeps them
        for instance in task.instances:
            instance.resps = []
            instance.filtered_resps = {}

    return build_all_requests
