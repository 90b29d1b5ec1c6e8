"""Divide the tasks' documents; record the environment."""

from __future__ import annotations

from datetime import UTC, date, datetime

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.config.task_files import task_sources
from tsugiki.evaluate.harness import Harness
from tsugiki.evaluate.items import divide_for, read_items
from tsugiki.evaluate.preflight import refuse_broken
from tsugiki.lineage.environment import environment
from tsugiki.lineage.layout import RunFiles


def write_items(files: RunFiles, config: RunConfig) -> None:
    """Write items.json and environment.json.

    Raises:
        ConfigError: a task is unknown, has too few documents, or has a fault in its file, its code
            or its data.
    """
    harness = Harness(config.evaluation)
    sets = divide_for(config, harness.document_hashes(), harness.document_keys())
    refuse_broken(harness, sets, config)
    goals = harness.goals()
    open_goals = {one.name: goals[one.name] for one in harness.objectives if one.goal is None}
    sets = sets.model_copy(update={"goals": open_goals, "date": _date(files, config)})
    recorded = {**environment(), "tasks": task_sources(config.evaluation)}
    atomic.write_bytes(files.environment, pretty_json(recorded))
    atomic.write_bytes(files.items, sets.to_json())


def _date(files: RunFiles, config: RunConfig) -> date | None:
    """The date that the run's chat templates write: fixed once, for prompts must not change."""
    if not config.evaluation.apply_chat_template:
        return None
    if config.evaluation.date is not None:
        return config.evaluation.date
    before = read_items(files.items).date if files.items.is_file() else None
    return before or datetime.now(UTC).date()
