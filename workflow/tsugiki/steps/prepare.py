"""What a run needs before its first generation: locked parents, divided documents, what it runs on."""

from __future__ import annotations

import io
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.config.sources import measured_sources
from tsugiki.contracts.document_sets import DocumentSets, read_document_sets
from tsugiki.contracts.layout import RunFiles
from tsugiki.evaluate.documents import divide_for
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.evaluators.tasks import refuse as refuse_tasks
from tsugiki.evaluate.overlap import overlap_faults, overlap_notes
from tsugiki.evaluate.pictures import Picture
from tsugiki.evaluate.preflight import find_overlap, refuse_broken
from tsugiki.models.fault import refuse
from tsugiki.parents.locate import source_folders
from tsugiki.parents.preflight import preflight
from tsugiki.parents.resolve import lock_parents

PACKAGES = (
    *("accelerate", "datasets", "deap", "huggingface_hub", "lm_eval", "mlflow", "numpy"),
    *("safetensors", "snakemake", "tokenizers", "torch", "transformers", "tsugiki", "vllm"),
)
"""Those whose versions are recorded."""
SIDE = 96
"""Most pixels of a side of a picture's small copy."""


def write_parents(
    files: RunFiles, config: RunConfig, *, update: frozenset[str], log: Callable[[str], None]
) -> None:
    """Write parents.lock.json; see `lock_parents`.

    Raises:
        ParentError: a parent cannot be had, or the parents do not fit together: what
            `tsugiki check` says, for those who have not asked it.
    """
    lock = lock_parents(config, files.parents, update=update, log=log)
    refuse(preflight(config, lock, source_folders(config, lock)).faults)


def write_document_sets(
    files: RunFiles, config: RunConfig, *, log: Callable[[str], None] = lambda _: None
) -> None:
    """Write items.json and environment.json, and small copies of pictures where documents show any.

    A run that has items.json is divided as it was, also where an earlier version did that otherwise. `log`
    takes a line for each pair of tasks that may have the same documents in different sets.

    Raises:
        ConfigError: a task is unknown, has too few documents, or has a fault in its file, its code
            or its data; or two tasks have the same documents in different sets.
    """
    before = read_document_sets(files.items) if files.items.is_file() else None
    evaluators = Evaluators(config.evaluation)
    sets = divide_for(config, evaluators.documents(), before.version if before else 3)
    refuse_broken(evaluators, sets, config)
    found = find_overlap(config, sets, evaluators.opened)
    faults, notes = [*overlap_faults(found)], [*overlap_notes(found)]
    if sets.version < 3:  # it goes on as it began
        faults, notes = [], [*map(str, faults), *notes]
    refuse_tasks(faults)
    for note in notes:
        log(note)
    goals = evaluators.goals()
    open_goals = {one.name: goals[one.name] for one in evaluators.objectives if one.goal is None}
    sets = sets.model_copy(update={"goals": open_goals, "date": _date(before, config)})
    recorded = {**environment(), "tasks": measured_sources(config.evaluation)}
    write_pictures(files, evaluators, sets)
    atomic.write_bytes(files.environment, pretty_json(recorded))
    atomic.write_bytes(files.items, sets.to_json())


def _date(before: DocumentSets | None, config: RunConfig) -> date | None:
    """The date that the run's chat templates write: fixed once, for prompts must not change."""
    if not config.evaluation.apply_chat_template:
        return None
    if config.evaluation.date is not None:
        return config.evaluation.date
    recorded = before.date if before else None
    return recorded or datetime.now(UTC).date()


def write_pictures(files: RunFiles, evaluators: Evaluators, sets: DocumentSets) -> None:
    """Write a copy of each picture of the test documents; none where no task shows any."""
    for harness in (one for one in evaluators.opened if isinstance(one, Harness)):
        for source in harness.sources:
            documents = sets.tasks[source].test
            shown = harness.shown(source, [one.id for one in documents])
            for document in documents:
                for number, picture in enumerate(shown.get(document.id, ())):
                    atomic.write_bytes(files.picture(document.hash, number), small(picture))


def small(picture: Picture) -> bytes:
    """A picture as PNG, made smaller if it is large."""
    copy = picture.image.convert("RGB")
    copy.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    copy.save(content, format="PNG")
    return content.getvalue()


def environment() -> dict[str, Any]:
    """Versions, machine and source revision, as plain data; None where there is none."""
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpus": os.cpu_count(),
        "source": _revision(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Commit of the source tree, with `+changes` if it was edited; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+changes" if _git("status", "--porcelain", "-uno") else commit


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
