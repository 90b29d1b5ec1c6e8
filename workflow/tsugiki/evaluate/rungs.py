"""Which documents the candidates of a stage are scored on, rung by rung, or generation by generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import Document, DocumentSets, Split
from tsugiki.keyed import key64

Ids = dict[str, list[int]]
"""Document ids by task."""


def documents_by_rung(
    config: RunConfig,
    items: DocumentSets,
    phase: str,
    split: Split,
    generation: int = 0,
    left_out: Mapping[str, Sequence[int]] | None = None,
) -> list[Ids]:
    """The documents that score a generation: by rung, those of a rung among those of the next one.

    A phase that is no stage, and a stage without rungs, has one rung: all documents of its split, or, with
    `evaluation.subsets`, those that are drawn for the generation. None is one of those `left_out`.
    """
    subsets, rungs = config.subsets_of(phase), config.evaluation.rungs
    if config.stage(phase) is None or (subsets is None and rungs is None):
        return [items.ids(split)]
    key: tuple[str | int, ...] = ("rungs", config.seed)
    sizes = [] if rungs is None else rungs.documents
    if subsets is not None:
        key, sizes = ("subset", config.seed, phase, generation), [subsets.per_generation]
    order = {task: in_order(getattr(sets, split), key) for task, sets in items.tasks.items()}
    without = {task: set(of_task) for task, of_task in (left_out or {}).items()}
    order = {
        task: [one for one in of_task if one.id not in without.get(task, ())]
        for task, of_task in order.items()
    }
    return [
        {
            task: sorted(one.id for one in of_task[:size])
            for task, of_task in order.items()
            if of_task
        }
        for size in sizes
    ]


def in_order(documents: Sequence[Document], key: tuple[str | int, ...]) -> list[Document]:
    """Documents in an order of their own for each key: what comes first is a fair sample.

    The order depends on what tells documents apart alone, so that tasks that have some of the same ones
    take these at about the same time. Another key, such as one with a generation's number in it, gives a
    fresh sample.
    """
    named = [(one.key or one.hash, one) for one in documents]
    return [one for name, one in sorted(named, key=lambda pair: (key64(*key, pair[0]), pair[0]))]
