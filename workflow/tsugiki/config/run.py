"""The whole configuration of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tsugiki.config.baselines import DEFAULT_BASELINES, AnyBaseline
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.parents import DemoParent, ParentSource, Vocabulary
from tsugiki.config.stage import Stage
from tsugiki.contracts.data import Name, Section, folder_of
from tsugiki.contracts.layout import BASELINES, FINALISTS, FINALISTS_OF, TEST


class Finalists(Section):
    """Which candidates are tried on the held-out documents."""

    top: Annotated[int, Field(ge=1)] = 8
    """Best distinct candidates of each stage, as its strategy sees them on the search items."""
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
    vocabulary: Vocabulary = Vocabulary()
    """One vocabulary for all models."""
    accept_differences: list[str] = []
    """Keys of config.json, such as `rope_theta`, that may differ between the models; the merged
    model has the value of the one that its tokenizer is from."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    """What is evolved, in order."""
    evaluation: Evaluation
    """How candidates are scored."""
    baselines: list[AnyBaseline] = DEFAULT_BASELINES
    """What the result is compared with."""
    finalists: Finalists = Finalists()
    """What is tried on held-out documents."""
    tracking: Tracking = Tracking()
    """MLflow."""

    @property
    def results_folder(self) -> Path:
        """The folder that holds the results of all runs."""
        return folder_of(self.results)

    @property
    def folder(self) -> Path:
        """The run's own folder, results/<run>/."""
        return self.results_folder / self.name

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if there is one."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def own_documents(self, phase: str, generation: int) -> int | None:
        """The generation, if it is scored on documents of its own; None if all of its phase share theirs."""
        return generation if self.evaluation.subsets and self.stage(phase) else None

    def finalists_of(self, stage: str) -> str:
        """The phase in which a stage's finalists are scored: the last stage's has the plain name."""
        return FINALISTS if stage == self.stages[-1].name else f"{FINALISTS_OF}{stage}"

    @property
    def phases(self) -> list[str]:
        """All phases that the run may have, in the order they are written."""
        *before, last = (stage.name for stage in self.stages)
        return [
            *(name for stage in before for name in (stage, self.finalists_of(stage))),
            last,
            BASELINES,
            FINALISTS,
            TEST,
        ]

    def figures(self) -> dict[str, str]:
        """Name of the figure of each stage's best recipe; that of the last stage is plain."""
        kinds = {"parameter": "weights", "dataflow": "path"}
        return {
            stage.name: kinds[stage.space.kind]
            + ("" if stage is self.stages[-1] else f"-{stage.name}")
            for stage in self.stages
        }

    def origins(self, stage: Stage) -> tuple[str, ...]:
        """Names of the parents that a stage's models come from, through earlier stages too."""
        names: list[str] = []
        for member in stage.members:
            behind = self.stage(member)
            names.extend([member] if behind is None else self.origins(behind))
        return tuple(dict.fromkeys(names))

    @property
    def common_bases(self) -> set[str]:
        """The bases of the stages that are parents of the run."""
        return {stage.base for stage in self.stages if stage.base in self.parents and stage.base}

    def owner(self, stage: Stage) -> str:
        """The parent whose configuration, tokenizer and chat template a stage's models have."""
        before = self.stage(stage.owner)
        return stage.owner if before is None else self.owner(before)

    @property
    def tensor_names(self) -> dict[str, dict[str, str | None]]:
        """What tensors are called in a merge, for those models of which the user says so."""
        names = {
            name: parent.names
            for name, parent in self.parents.items()
            if not isinstance(parent, DemoParent) and parent.names
        }
        owners = {stage.name: self.owner(stage) for stage in self.stages}
        return names | {name: names[owner] for name, owner in owners.items() if owner in names}
