"""The whole configuration of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from tsugiki.config.baselines import DEFAULT_BASELINES, AnyBaseline
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.items import Subsets
from tsugiki.config.licences import Publication
from tsugiki.config.parents import DemoParent, ParentSource, Vocabulary
from tsugiki.config.rivals import Rival, rival_stages
from tsugiki.config.stage import UNSAID, Stage
from tsugiki.contracts.data import IfSet, Name, Section, folder_of
from tsugiki.contracts.layout import BASELINES, FINALISTS, FINALISTS_OF, FLATNESS, REPEAT, TEST


class Preference(Section):
    """Which finalist is the winner, if not simply the one with the largest weighted sum of the objectives."""

    bounds: dict[Name, float] = {}
    """The least value of an objective on the validation documents, such as `{ja: 0.6}`; the greatest, if it is
    minimised. The winner is chosen among the finalists that meet all bounds; if none does, among those that miss
    them least, where misses are added up with the objectives' weights."""
    by: Annotated[Literal["weights", "knee"], Field(exclude_if=lambda by: by == "weights")] = (
        "weights"
    )
    """What chooses among these: `weights`, the largest weighted sum of the objectives; or `knee`, the
    finalist that lies furthest beyond the line (or plane) through the ends of the finalists' Pareto front, each
    objective in units of the front's extent. The knee needs a strategy that searches for a front."""

    @model_validator(mode="after")
    def _it_prefers_something(self) -> Preference:
        if not self.bounds and self.by == "weights":
            raise ValueError(
                "a preference has `bounds`, or `by: knee`; leave it out for the weighted sum alone"
            )
        return self


class Flatness(Section):
    """How much is lost by small changes of the winner's genes."""

    candidates: Annotated[int, Field(ge=1)] = 8
    """Number of neighbours: the winner with random changes to all its genes."""
    step: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Standard deviation of the changes, in units of a gene's range."""


class Finalists(Section):
    """Which candidates are scored on the validation documents, and which of them becomes the winner."""

    top: Annotated[int, Field(ge=1)] = 8
    """Number of candidates of each stage: the best on the search documents, without duplicates."""
    mean: bool = True
    """Also the strategy's final mean, if it has one."""
    preference: Preference | None = None
    """Bounds that the winner has to meet, or that it is the knee of the front. If absent, the weights of the
    objectives choose it."""
    flatness: IfSet[Flatness | None] = None
    """Score neighbours of the winner on the validation documents, to see how much small changes cost. Not if absent."""


class Tracking(Section):
    """MLflow."""

    enabled: bool = True
    """Write runs to MLflow."""
    uri: str | None = None
    """Tracking store; `sqlite:///results/<run>/mlflow.db` if absent."""
    experiment: str | None = None
    """Experiment; the run's name if absent."""


class RunConfig(Section):
    """The whole configuration."""

    name: Name
    """The run's name: its results are in `results/<name>/`."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of everything random."""
    results: str = "results"
    """Folder that holds the results of all runs."""
    parents: Annotated[dict[Name, ParentSource], Field(min_length=1)]
    """The models to merge, and their base, by names of your own."""
    vocabulary: Vocabulary = Vocabulary()
    """Which vocabulary all models get."""
    accept_differences: list[str] = []
    """Keys of config.json, such as `rope_theta`, in which models may differ; the merged
    model gets the value of the model that its tokenizer is from."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    """The searches, in order."""
    evaluation: Evaluation
    """How candidates are scored."""
    baselines: list[AnyBaseline] = DEFAULT_BASELINES
    """Merges without evolution that the result is compared with. `[]` for none."""
    rivals: list[Rival] = ["random", "climb"]
    """Other searches that the result is compared with, each of which costs as much as the last stage: `random`
    search, and a coordinate `climb` from tuned task arithmetic. `[]` for none."""
    finalists: Finalists = Finalists()
    """Which candidates are scored on the validation documents, and how the winner is chosen."""
    tracking: Tracking = Tracking()
    """MLflow."""
    publication: IfSet[Publication | None] = None
    """The licence of the published model, and why; absent if the parents' licences decide it."""

    @model_validator(mode="after")
    def _generations_follow_from_other_limits(self) -> RunConfig:
        """The plan of a run has to know the most generations that a stage may have."""
        fewest = self.evaluation.fewest_answers
        for index, stage in enumerate(self.stages):
            if stage.budget.generations == UNSAID and stage.strategy.population is not None:
                most = stage.budget.generations_for(stage.strategy.population, fewest)
                budget = stage.budget.model_copy(update={"generations": most})
                self.stages[index] = stage.model_copy(update={"budget": budget})
        return self

    @property
    def results_folder(self) -> Path:
        """The folder that holds the results of all runs."""
        return folder_of(self.results)

    @property
    def folder(self) -> Path:
        """The run's own folder, results/<run>/."""
        return self.results_folder / self.name

    @property
    def rival_stages(self) -> dict[Rival, Stage]:
        """What the rivals search, as stages that nobody merges."""
        last = self.stages[-1]
        population: int | None = getattr(last.strategy, "population", None)
        size = None if population is None else self.evaluation.whole_candidates(population)
        return rival_stages(self.rivals, last, size, self.stages[0], self.baselines)

    @property
    def searches(self) -> list[Stage]:
        """All that is searched: the stages, and the rivals of the last one."""
        return [*self.stages, *self.rival_stages.values()]

    def is_rival(self, search: str) -> bool:
        """Whether a search is a rival's, and no stage."""
        return any(rival.name == search for rival in self.rival_stages.values())

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, or the rival, if there is one."""
        return next((stage for stage in self.searches if stage.name == name), None)

    def own_documents(self, phase: str, generation: int) -> int | None:
        """The generation, if it is scored on documents of its own; None if all of its phase share theirs."""
        return generation if self.subsets_of(phase) else None

    def subsets_of(self, phase: str) -> Subsets | None:
        """How the documents of a phase's generations are drawn; None where all of them share theirs.

        Rivals are scored on all search documents: a climb compares candidates of different generations.
        """
        of_stage = any(stage.name == phase for stage in self.stages)
        return self.evaluation.subsets if of_stage else None

    def search_documents(self, stage: str) -> int:
        """Documents of each task that score a candidate of a stage, or of a rival."""
        subsets, rungs = self.subsets_of(stage), self.evaluation.rungs
        if subsets is not None:
            return subsets.per_generation
        return self.evaluation.items.search if rungs is None else rungs.documents[-1]

    def most_generations(self, stage: Stage, population: int) -> int:
        """The most that a stage can have, of candidates that do not fail; `population` is the size of each."""
        enough = stage.budget.generations_for(population, self.evaluation.fewest_answers)
        most = stage.budget.generations
        return most if enough is None else min(most, enough)

    def preference_of(self, stage: Stage) -> Preference | None:
        """What a stage's winner is to be: a search that weighs its objectives has no front with a knee."""
        found = self.finalists.preference
        if found is None or found.by == "weights" or not stage.strategy.weighs:
            return found
        return found.model_copy(update={"by": "weights"}) if found.bounds else None

    def finalists_of(self, stage: str) -> str:
        """The phase in which a stage's finalists are scored: the last stage's has the plain name."""
        return FINALISTS if stage == self.stages[-1].name else f"{FINALISTS_OF}{stage}"

    @property
    def phases(self) -> list[str]:
        """All phases that the run may have, in the order they are written."""
        *before, last = (stage.name for stage in self.stages)
        rivals = (stage.name for stage in self.rival_stages.values())
        return [
            *(name for stage in before for name in (stage, self.finalists_of(stage))),
            last,
            *(name for stage in rivals for name in (stage, self.finalists_of(stage))),
            BASELINES,
            FINALISTS,
            *([FLATNESS] if self.finalists.flatness else []),
            TEST,
            *([REPEAT] if self.evaluation.repeat_check else []),
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
    def trusted(self) -> frozenset[str]:
        """The parents, and the stages whose models have their files, whose own modelling code may run."""
        trusted = {
            name
            for name, parent in self.parents.items()
            if not isinstance(parent, DemoParent) and parent.trust_remote_code
        }
        return frozenset(trusted | {one.name for one in self.stages if self.owner(one) in trusted})

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
