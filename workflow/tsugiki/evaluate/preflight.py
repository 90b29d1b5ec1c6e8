"""Check all tasks of a run before a model is at hand: load them, render prompts, score an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs, resolve_max_length

from tsugiki.config.parents import DemoParent, HubParent
from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.chat_template import stop_clock
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.harness import Harness
from tsugiki.evaluate.items import ItemSets, TaskItems, divide_for
from tsugiki.evaluate.language_model import end_tokens, generation_config
from tsugiki.evaluate.offline import is_absent, without_network
from tsugiki.evaluate.tasks import broken_task, refuse, refuse_unaggregated
from tsugiki.parents import hub

MEASURED = 50
"""Prompts of a task, the longest ones in characters, whose tokens are counted."""
THINKING = ("<think>", "</think>")


class Reader(LM):  # type: ignore[misc]
    """Stands for a parent before it is loaded: has its tokenizer, and gives the right answers.

    Args:
        name: The parent; empty if there is none, and prompts are plain text.
        folder: Its files.
        config: The run.
    """

    chat_template_args: Mapping[str, Any] = {}
    apply_chat_template = HFLM.apply_chat_template

    def __init__(
        self, name: str = "", folder: Path | None = None, config: RunConfig | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.tokenizer: Any = None
        self.max_length: int | None = None
        self.ends: list[int] = []
        self.harness: Harness | None = None
        if folder is None or config is None:
            return
        trust = bool(getattr(config.parents[name], "trust_remote_code", False))
        settings = {"local_files_only": True, "trust_remote_code": trust}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **settings)
        stop_clock(self.tokenizer, config.evaluation.date)
        model = transformers.AutoConfig.from_pretrained(folder, **settings)
        self.max_length = resolve_max_length(model, self.tokenizer)
        self.ends = end_tokens(generation_config(folder, model), self.tokenizer)
        if config.evaluation.backend == "vllm":
            self.max_length = min(
                self.max_length, config.evaluation.vllm.max_length or self.max_length
            )

    @property
    def tokenizer_name(self) -> str:
        """Prompts are rendered once for each name."""
        return self.name

    @property
    def thinks(self) -> bool:
        """Whether its tokenizer or chat template knows marks around a thinking part."""
        if self.tokenizer is None:
            return False
        template = str(self.tokenizer.chat_template or "")
        vocabulary = self.tokenizer.get_vocab()
        return any(mark in vocabulary or mark in template for mark in THINKING)

    def generate_until(self, requests: Any, **settings: Any) -> list[str]:
        """Each document's target."""
        del settings
        assert self.harness is not None
        return [str(self.harness.tasks[one.task_name].doc_to_target(one.doc)) for one in requests]

    def loglikelihood(self, requests: Any, **settings: Any) -> list[tuple[float, bool]]:
        """The same for all."""
        del settings
        return [(-1.0, True) for _ in requests]

    def loglikelihood_rolling(self, requests: Any, **settings: Any) -> list[float]:
        """The same for all."""
        del settings
        return [-1.0 for _ in requests]


@dataclass
class TaskReport:
    """What the checks found."""

    faults: list[ConfigError] = field(default_factory=list)
    """Reasons not to start: at most one for each task."""
    notes: list[str] = field(default_factory=list)
    """What to know; nothing to mend."""

    def render(self) -> str:
        """The report as text: faults first."""
        lines = [f"fault: {fault}" for fault in self.faults]
        lines += [f"note: {note}" for note in self.notes]
        if self.faults:
            lines.append(f"{len(self.faults)} fault{'s' * (len(self.faults) != 1)} in the tasks")
        return "\n".join(lines)


def check_tasks(config: RunConfig, *, parents_sound: bool = True) -> TaskReport:
    """Check every task that can be loaded on this machine, without the network.

    Documents are divided as the run divides them. All prompts are rendered, with each parent's
    tokenizer and chat template where these are here, and one right answer to each local task is
    scored.

    Args:
        config: The run.
        parents_sound: Whether the parents' own check found no fault. If it did, that a tokenizer
            cannot be loaded is not told again.
    """
    report = TaskReport()
    with without_network():
        readers = open_readers(config, report if parents_sound else TaskReport())
        report.notes += note_ends(config, readers)
        loaded: dict[str, Harness] = {}
        unchecked = []
        for name, evaluation in _alone(config).items():
            try:
                loaded[name] = Harness(evaluation)
            except ConfigError as error:
                report.faults.append(error)
            except InfrastructureError:
                unchecked.append(name)
        hashes = {name: harness.document_hashes()[name] for name, harness in loaded.items()}
        counts = [_count(name, of_task) for name, of_task in hashes.items()]
        try:
            keys: dict[str, list[str]] = {}
            for harness in loaded.values():
                keys |= harness.document_keys()
            sets = divide_for(config, hashes, keys)
        except ConfigError as error:
            report.faults.append(error)
            sets = None
        for name, harness in loaded.items():
            report.notes += harness.notes()
            ids = [0] if sets is None else _ids(sets.tasks[name])
            found = list(task_faults(harness, name, ids, readers))
            report.faults += found
            if not found:
                report.notes += _notes(harness, name, ids, readers)
    if counts:
        report.notes.append(f"documents: {', '.join(counts)}")
    if unchecked:
        report.notes.append(
            f"not checked, as the documents are not on this machine yet: {', '.join(unchecked)}"
        )
    return report


def refuse_broken(harness: Harness, sets: ItemSets, config: RunConfig) -> None:
    """Go no further with tasks whose prompts cannot be rendered, or whose answers not be scored.

    Raises:
        ConfigError: there are some; all are named.
    """
    report = TaskReport()
    readers = open_readers(config, report)
    for name, of_task in sets.tasks.items():
        report.faults += task_faults(harness, name, _ids(of_task), readers)
    refuse(report.faults)


def _count(name: str, hashes: Sequence[str]) -> str:
    """How many documents a task has, and how many copies."""
    copies = len(hashes) - len(set(hashes))
    left = f" ({copies} more equal others, and are left out)" if copies else ""
    return f"{name} {len(hashes) - copies}{left}"


def _ids(sets: TaskItems) -> list[int]:
    return sorted(one.id for part in (sets.search, sets.validation, sets.test) for one in part)


def _alone(config: RunConfig) -> dict[str, Any]:
    """The section `evaluation` with the objectives of one task, for each."""
    evaluation = config.evaluation
    everything = [*evaluation.objectives, *evaluation.monitors]
    names = sorted({objective.task for objective in everything})
    return {
        name: evaluation.model_copy(
            update={
                "objectives": [one for one in everything if one.task == name],
                "monitors": [],
                "document_keys": {
                    task: column
                    for task, column in evaluation.document_keys.items()
                    if task == name
                },
            }
        )
        for name in names
    }


def open_readers(config: RunConfig, report: TaskReport) -> list[Reader]:
    """A reader for each parent whose files are on this machine, or one of plain text."""
    readers = []
    for name, folder in _folders(config).items():
        try:
            reader = Reader(name, folder, config)
        except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
            report.faults.append(
                ConfigError(
                    f"the tokenizer of `{name}` cannot be loaded",
                    where=str(folder),
                    got=f"{type(error).__name__}: {error}",
                    fix="fetch or copy the tokenizer's files again",
                )
            )
            continue
        if config.evaluation.apply_chat_template and not reader.tokenizer.chat_template:
            report.notes.append(f"{name} has no chat template: by itself it cannot be scored")
            continue
        readers.append(reader)
    if readers or config.evaluation.apply_chat_template:
        return readers
    return [Reader()]


def _folders(config: RunConfig) -> dict[str, Path]:
    """Folders of the parents whose own tokenizers are used, as far as they are on this machine."""
    folders = {}
    shared = config.vocabulary
    for name, source in config.parents.items():
        if isinstance(source, DemoParent) or source.adapter_of is not None:
            continue
        if shared.kind != "same" and name != shared.of:
            continue
        folder: Path | None
        if isinstance(source, HubParent):
            folder = hub.cached_snapshot(source.hub, source.revision, code=source.trust_remote_code)
        else:
            folder = source.folder
        if folder is not None and (folder / "config.json").is_file():
            folders[name] = folder
    return folders


def note_ends(config: RunConfig, readers: Sequence[Reader]) -> Iterator[str]:
    """Say at which tokens answers end, where the models of a stage differ in them."""
    known = {reader.name: reader for reader in readers}
    for stage in config.stages:
        owner = known.get(config.owner(stage))
        if owner is None:
            continue
        others = [known[name] for name in config.origins(stage) if name in known]
        more = [other for other in others if set(other.ends) - set(owner.ends)]
        if more:
            yield (
                f"answers of stage `{stage.name}` end at the tokens of {owner.name}, "
                f"{_tokens(owner, owner.ends)}, and go on after those of "
                + ", ".join(
                    f"{one.name}, {_tokens(one, sorted({*one.ends} - {*owner.ends}))}"
                    for one in more
                )
                + f": where answers are to end at these too, add them to eos_token_id in "
                f"generation_config.json of {owner.name}"
            )


def _tokens(reader: Reader, ids: Sequence[int]) -> str:
    texts = reader.tokenizer.convert_ids_to_tokens(list(ids))
    return " ".join(f"{text} ({id_})" for text, id_ in zip(texts, ids, strict=True)) or "none"


def task_faults(
    harness: Harness, name: str, ids: Sequence[int], readers: Sequence[Reader]
) -> Iterator[ConfigError]:
    """The first fault of a task: of its metrics, its prompts for each reader, or its scoring.

    Metrics are aggregated over made-up answers; a right answer to a local task is scored.

    Args:
        harness: The tasks.
        name: One of them.
        ids: Documents that the run uses.
        readers: Stand-ins for the parents.
    """
    file = harness.files.get(name)
    if file is not None and (fault := _unknown_column(harness.tasks[name], name, file)):
        yield fault
        return
    try:
        for objective in harness.objectives:
            if objective.task == name:
                refuse_unaggregated(name, harness.tasks[name], objective, file)
    except ConfigError as error:
        yield error
        return
    for reader in readers:
        reader.harness = harness
        try:
            harness.requests(reader, name, ids)
            if file is not None:
                harness.run(reader, {name: list(ids[:1])})
        except Exception as error:  # noqa: BLE001 - a task's own code and templates run here
            cause = error.__cause__ if error.__cause__ is not None else error
            if not (is_absent(cause) or is_machine_fault(cause)):
                yield broken_task(name, file, cause)
            return


def _unknown_column(task: Any, name: str, file: Path) -> ConfigError | None:
    """A column that is not there: lm-eval takes its name for a text, the same for all documents."""
    for key in ("doc_to_text", "doc_to_target"):
        value = getattr(task.config, key)
        choices = task.config.doc_to_choice
        if (
            isinstance(value, str)
            and value.isidentifier()
            and value not in task.features
            and not (isinstance(choices, list) and value in choices)
        ):
            return ConfigError(
                f"task {name} names a column that its documents do not have",
                where=f"{key} in {file}",
                expected=f"one of {', '.join(task.features)}",
                got=value,
                fix="correct the name; a text that is the same for all documents is written as a "
                f"template, such as \"{{{{ '{value}' }}}}\"",
            )
    return None


def _notes(
    harness: Harness, name: str, ids: Sequence[int], readers: Sequence[Reader]
) -> Iterator[str]:
    """What to know of a task's prompts and answers."""
    stops: set[str] = set()
    cut: dict[str, str] = {}
    for reader in readers:
        requests = harness.requests(reader, name, ids)
        stops |= {stop for one in requests for stop in _stops(one)}
        if reader.max_length is None:
            continue
        longest, answer = _longest(requests, reader)
        if longest + answer > reader.max_length:
            cut[reader.name] = f"{reader.name} {longest} + {answer} of {reader.max_length}"
    if cut:
        yield (
            f"prompts of task {name} are longer than a model can read, and are cut at their start "
            f"(tokens of the longest one + its answer, of those that fit): {', '.join(cut.values())}"
        )
    thinking = [reader.name for reader in readers if reader.thinks]
    if stops and thinking:
        shown = ", ".join(repr(stop) for stop in sorted(stops)[:5])
        yield (
            f"task {name} ends answers at {shown}, which may stand within the thinking part of an "
            f"answer ({', '.join(thinking)}: {' and '.join(THINKING)})"
        )


def _stops(request: Any) -> list[str]:
    if request.request_type != "generate_until":
        return []
    until = request.args[1].get("until") or []
    return [stop for stop in ([until] if isinstance(until, str) else until) if stop]


def _longest(requests: Sequence[Any], reader: Reader) -> tuple[int, int]:
    """Tokens of the longest prompt, and the most that its answer may have."""
    found = (0, 0)
    for request in sorted(requests, key=lambda one: -len(str(one.args[0])))[:MEASURED]:
        if request.request_type == "loglikelihood_rolling":
            continue
        prompt = len(reader.tokenizer(request.args[0])["input_ids"])
        if request.request_type == "generate_until":
            answer = int(normalize_gen_kwargs(dict(request.args[1]), 256)["max_gen_toks"])
        else:
            answer = len(reader.tokenizer(request.args[1], add_special_tokens=False)["input_ids"])
        found = max(found, (prompt, answer), key=sum)
    return found
