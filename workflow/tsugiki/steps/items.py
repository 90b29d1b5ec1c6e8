"""Divide the tasks' documents; record the environment."""

from __future__ import annotations

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.evaluate.harness import Harness
from tsugiki.evaluate.items import divide_all
from tsugiki.lineage.environment import environment
from tsugiki.lineage.layout import RunFiles


def write_items(files: RunFiles, config: RunConfig) -> None:
    """Write items.json and environment.json.

    Raises:
        ConfigError: a task is unknown or has too few documents.
    """
    harness = Harness(config.evaluation)
    sets = divide_all(
        harness.document_hashes(),
        objectives={objective.task for objective in config.evaluation.objectives},
        sizes=config.evaluation.items,
        seed=config.seed,
        keys=harness.document_keys(),
    )
    open_goals = {
        one.name: harness.goals()[one.name] for one in harness.objectives if one.goal is None
    }
    sets = sets.model_copy(update={"goals": open_goals})
    atomic.write_bytes(files.environment, pretty_json(environment()))
    atomic.write_bytes(files.items, sets.to_json())
