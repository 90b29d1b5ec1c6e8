"""The whole configuration of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tsugiki.config.base import Name, Section
from tsugiki.config.baselines import DEFAULT_BASELINES, Baseline
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.parents import DemoParent, ParentSource
from tsugiki.config.stage import Stage


class Finalists(Section):
    """Which candidates are tried on the held-out documents."""

    top: Annotated[int, Field(ge=1)] = 8
    """Best distinct candidates of the last stage, by search fitness."""
    mean: bool = True
    """Also the strategy's final mean, where it has one."""


class Tracking(Section):
    """MLflow."""

    enabled: bool = True
    """Write runs to MLflow."""
    uri: str | None = None
    """Tracking store; sqlite:///results/<run>/mlflow.db if absent."""
    experiment: str | None = None
    """Experiment; the run's name if absent."""


class RunConfig(Section):
    """The whole configuration."""

    name: Name
    """The run's name: its results are in results/<name>/."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of everything random."""
    results: str = "results"
    """Folder that holds the results of all runs."""
    parents: Annotated[dict[Name, ParentSource], Field(min_length=1)]
    """The models to merge, and their base, by name."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    """What is evolved, in order."""
    evaluation: Evaluation
    """How candidates are scored."""
    baselines: list[Baseline] = DEFAULT_BASELINES
    """What the result is compared with."""
    finalists: Finalists = Finalists()
    """What is tried on held-out documents."""
    tracking: Tracking = Tracking()
    """MLflow."""

    @property
    def tensor_names(self) -> dict[str, dict[str, str | None]]:
        """What tensors are called in a merge, for those parents of which the user says so."""
        return {
            name: parent.names
            for name, parent in self.parents.items()
            if not isinstance(parent, DemoParent) and parent.names
        }
