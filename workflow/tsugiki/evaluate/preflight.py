"""Check all tasks of a run before a model is at hand: load them, render prompts, score an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import DocumentSets, TaskDocuments
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.documents import SourceDocuments, divide_for, note_copies
from tsugiki.evaluate.evaluators.evaluator import Evaluator
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.evaluators.tasks import refuse
from tsugiki.evaluate.offline import without_network
from tsugiki.evaluate.overlap import Crossing, crossings, overlap_faults, overlap_notes
from tsugiki.evaluate.readers import note_chat, note_ends, open_readers


@dataclass
class TaskReport:
    """What the checks found."""

    faults: list[ConfigError] = field(default_factory=list)
    """Reasons not to start: at most one for each task."""
    notes: list[str] = field(default_factory=list)
    """What to know; nothing to mend."""

    def render(self) -> str:
        """The report as text: faults first."""
        faults = dict.fromkeys(f"fault: {fault}" for fault in self.faults)  # tasks may share one
        lines = [*faults, *(f"note: {note}" for note in self.notes)]
        if faults:
            lines.append(f"{len(faults)} fault{'s' * (len(faults) != 1)} in the tasks")
        return "\n".join(lines)


def check_tasks(config: RunConfig, *, parents_sound: bool = True) -> TaskReport:
    """Check every task that can be loaded on this machine, without the network.

    Documents are divided as the run divides them. All prompts are rendered, with each parent's
    tokenizer and chat template where these are here, and one right answer to each local task is
    scored. Functions are tried on empty answers.

    Args:
        config: The run.
        parents_sound: Whether the parents' own check found no fault. If it did, that a tokenizer
            cannot be loaded is not told again.
    """
    report = TaskReport()
    with without_network():
        told = report if parents_sound else TaskReport()
        readers = open_readers(config, told.faults, told.notes)
        report.notes += note_chat(config)
        report.notes += note_ends(config, readers)
        loaded: dict[str, Evaluator] = {}
        unchecked = []
        for name in sorted({objective.task for objective in config.evaluation.measured}):
            try:
                (loaded[name],) = Evaluators(config.evaluation.of_task(name)).opened
            except ConfigError as error:
                report.faults.append(error)
            except InfrastructureError:
                unchecked.append(name)
        documents = _documents(loaded, report.faults)
        try:
            sets = divide_for(config, documents)
            found = find_overlap(config, sets, loaded.values())
            report.faults += overlap_faults(found)
            report.notes += overlap_notes(found)
            report.notes += _smaller_sets(config, sets)
        except ConfigError as error:
            report.faults.append(error)
            sets = None
        report.faults += _faults_of_rule(config, loaded.values())
        for name, one in loaded.items():
            report.notes += one.notes()
            ids = [0] if sets is None else _ids(sets.tasks[name])
            faults = list(one.faults(name, ids, readers))
            report.faults += faults
            if not faults:
                report.notes += one.remarks(name, ids, readers)
    if counts := [_count(name, of_task.hashes) for name, of_task in documents.items()]:
        report.notes.append(f"documents: {', '.join(counts)}")
    if unchecked:
        report.notes.append(
            f"not checked, as the documents are not on this machine yet: {', '.join(unchecked)}"
        )
    return report


def _documents(
    loaded: dict[str, Evaluator], faults: list[ConfigError]
) -> dict[str, SourceDocuments]:
    """The documents by source; sources of which one cannot be read are taken out."""
    found: dict[str, SourceDocuments] = {}
    for name, one in list(loaded.items()):
        try:
            found |= one.documents()
        except ConfigError as error:
            faults.append(error)
            del loaded[name]
    return found


def find_overlap(
    config: RunConfig, sets: DocumentSets, evaluators: Iterable[Evaluator]
) -> list[Crossing]:
    """Pairs of a run's tasks that seem to have the same documents in different sets."""
    if len(sets.tasks) == 1:
        return []
    facts = {name: one for of in evaluators for name, one in of.facts().items()}
    return list(crossings(sets, facts, frozenset(config.evaluation.document_keys)))


def refuse_broken(evaluators: Evaluators, sets: DocumentSets, config: RunConfig) -> None:
    """Go no further with tasks whose prompts cannot be rendered, or whose answers not be scored.

    Raises:
        ConfigError: there are some; all are named.
    """
    report = TaskReport()
    readers = open_readers(config, report.faults, report.notes)
    for name, of_task in sets.tasks.items():
        report.faults += evaluators.of(name).faults(name, _ids(of_task), readers)
    report.faults += _faults_of_rule(config, evaluators.opened)
    refuse(report.faults)


def _faults_of_rule(config: RunConfig, loaded: Iterable[Evaluator]) -> Iterator[ConfigError]:
    """Objectives that a rule for rungs, or estimates, cannot take document by document."""
    rungs, subsets = config.evaluation.rungs, config.evaluation.subsets
    if rungs is not None and rungs.rule.by_document:
        what = f"the rule `{rungs.rule.kind}` compares candidates document by document"
        fix = "take another metric, or `evaluation.rungs.rule: halving`"
    elif subsets is not None and subsets.irt is not None:
        what = "`evaluation.subsets.irt` estimates scores document by document"
        fix = "take another metric, or remove `irt`"
    else:
        return
    optimised = {one.name for one in config.evaluation.objectives}
    for name, how in ((name, how) for one in loaded for name, how in one.aggregations.items()):
        if how is not None and name in optimised:
            yield ConfigError(
                what,
                where=f"objective `{name}`",
                expected="a mean over documents",
                got=how.name,
                fix=fix,
            )


def _smaller_sets(config: RunConfig, sets: DocumentSets) -> Iterator[str]:
    """Sets of monitors that are smaller than asked for: their tasks have no more documents to give."""
    wanted = config.evaluation.items.test
    for name, of_task in sets.tasks.items():
        if len(of_task.test) < wanted:
            yield (
                f"task {name} has {len(of_task.test)} test documents that no other task uses in another "
                f"set, fewer than the {wanted} of `evaluation.items.test`: it is measured on these"
            )


def _count(name: str, hashes: Sequence[str]) -> str:
    """How many documents a task has, and how many copies."""
    copies = len(hashes) - len(set(hashes))
    return f"{name} {len(hashes) - copies}{note_copies(copies)}"


def _ids(sets: TaskDocuments) -> list[int]:
    return sorted(one.id for part in (sets.search, sets.validation, sets.test) for one in part)
