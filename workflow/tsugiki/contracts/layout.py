"""Where the files of a run are, and which names they take. Every path in the project is made here.

Rows of the final table are named after parents, stages and baselines; folders of a run after stages;
folders of results after runs. Each has names of its own that nothing in a configuration may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EVOLVED = "evolved"
BASELINES = "baselines"
FINALISTS = "finalists"
FLATNESS = "flatness"
TEST = "test"
REPEAT = "repeat"
DEMO_PARENTS = "demo-parents"
PREPARED_PARENTS = "prepared-parents"

ROWS = frozenset({EVOLVED})
"""The winner's row in the final table; those of other finalists are no valid names."""

FOLDERS = frozenset(
    {
        BASELINES,
        FINALISTS,
        FLATNESS,
        TEST,
        REPEAT,
        "best",
        "front",
        "logs",
        "benchmarks",
        "figures",
        "mlflow-artifacts",
    }
)
"""Folders that every run has."""

FILES = frozenset(
    {"final.json", "folding.json", "report.html", "environment.json", "tracked.json", "mlflow.db"}
)
"""Files that a run has once, and replaces."""

FINALISTS_OF = f"{FINALISTS}-"
"""How the folder of an earlier stage's finalists begins; the stage's name follows."""

CACHES = frozenset({DEMO_PARENTS, PREPARED_PARENTS})
"""Folders beside those of runs."""


def row_is_taken(name: str) -> bool:
    """Whether no parent or baseline may have a name."""
    return name in ROWS


def stage_is_taken(name: str) -> bool:
    """Whether no stage may have a name."""
    return name in ROWS | FOLDERS or name.startswith(FINALISTS_OF)


def run_is_taken(name: str) -> bool:
    """Whether no run may have a name."""
    return name in CACHES


def _generation(root: Path, number: int) -> Path:
    return root / f"gen-{number:03d}"


@dataclass(frozen=True)
class CandidateFiles:
    """candidates/cand-<digest12>/: one recipe in one phase."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The recipe."""
        return self.root / "recipe.json"

    @property
    def outcome(self) -> Path:
        """What came of it; the same bytes on every machine."""
        return self.root / "outcome.json"

    @property
    def items(self) -> Path:
        """A row for every item it was scored on."""
        return self.root / "items.parquet"

    @property
    def cost(self) -> Path:
        """Seconds, tokens and the machine; differs between runs."""
        return self.root / "cost.json"

    def of(self, generation: int | None) -> CandidateFiles:
        """Where the same is recorded of a generation's own documents; None where all have the same ones."""
        return self if generation is None else CandidateFiles(_generation(self.root, generation))

    def at(self, rung: int | None) -> CandidateFiles:
        """Where the same is recorded of a rung before the last; None stands for all documents."""
        return self if rung is None else CandidateFiles(self.root / f"rung-{rung}")


@dataclass(frozen=True)
class GenerationFiles:
    """gen-<generation>/."""

    root: Path

    @property
    def population(self) -> Path:
        """The candidates."""
        return self.root / "population.json"

    @property
    def state(self) -> Path:
        """The strategy's state that the population was drawn from."""
        return self.root / "state.npz"

    @property
    def outcomes(self) -> Path:
        """The ledger's entry."""
        return self.root / "outcomes.json"

    @property
    def tracked(self) -> Path:
        """Marks that MLflow has the generation."""
        return self.root / "tracked.json"

    def evaluated(self, job: int, rung: int | None = None) -> Path:
        """Marks that a job has scored its shard: on all documents, or on those of a rung before the last."""
        return (self.root if rung is None else self.root / f"rung-{rung}") / f"evaluated-{job}.json"

    def all_evaluated(self) -> list[Path]:
        """Such marks of any job that are there, those of rungs first."""
        rungs = sorted(self.root.glob("rung-*/evaluated-*.json"))
        return [*rungs, *sorted(self.root.glob("evaluated-*.json"))]

    def promotion(self, rung: int) -> Path:
        """Which candidates go on from a rung."""
        return self.root / f"rung-{rung}.json"

    def weights(self, job: int) -> Path:
        """Temporary merged models of a job (storage: disk)."""
        return self.root / f"weights-{job}"


@dataclass(frozen=True)
class PhaseFiles:
    """results/<run>/<phase>/: a stage, its finalists, or `baselines`, `test`."""

    root: Path

    @property
    def space(self) -> Path:
        """What a genome of the stage means."""
        return self.root / "space.json"

    @property
    def best(self) -> Path:
        """The stage's best model, where a later stage merges it."""
        return self.root / "best"

    @property
    def best_recipe(self) -> Path:
        """Its recipe."""
        return self.best / "recipe.json"

    @property
    def best_lock(self) -> Path:
        """Files and digest of the stage's best model."""
        return self.root / "best.lock.json"

    def generation(self, number: int) -> GenerationFiles:
        """Files of one generation."""
        return GenerationFiles(_generation(self.root, number))

    def candidate(self, digest: str) -> CandidateFiles:
        """Files of one recipe."""
        return CandidateFiles(self.root / "candidates" / f"cand-{digest[:12]}")


@dataclass(frozen=True)
class RunFiles:
    """results/<run>/."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration, all defaults filled in."""
        return self.root / "config.lock.yaml"

    def exist(self) -> bool:
        """Whether the folder is that of a run that has begun."""
        return any(path.is_file() for path in (self.config, self.parents))

    @property
    def parents(self) -> Path:
        """Commits and digests of the parents."""
        return self.root / "parents.lock.json"

    @property
    def items(self) -> Path:
        """Which documents are for search, validation and test."""
        return self.root / "items.json"

    @property
    def environment(self) -> Path:
        """Package versions, machine, git commit."""
        return self.root / "environment.json"

    @property
    def splits(self) -> Path:
        """Into how many jobs ranked generations are split, where the configuration says otherwise."""
        return self.root / "splits.json"

    @property
    def budgets(self) -> Path:
        """Under which limits generations of a stage were drawn, where its budget has been changed since."""
        return self.root / "budgets.json"

    @property
    def final(self) -> Path:
        """The final table: held-out scores, intervals, paired tests."""
        return self.root / "final.json"

    @property
    def best(self) -> Path:
        """The merged model."""
        return self.root / "best"

    @property
    def best_recipe(self) -> Path:
        """Its recipe."""
        return self.best / "recipe.json"

    @property
    def front(self) -> Path:
        """The Pareto front of several objectives; a recipe of each member is beside it."""
        return self.root / "front" / "front.json"

    def front_recipe(self, candidate: str) -> Path:
        """Recipe of a member of the front."""
        return self.front.with_name(f"{candidate}.json")

    @property
    def folding(self) -> Path:
        """How far the best model is from its explicit form, if it is one in data-flow space."""
        return self.root / "folding.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def picture(self, document: str, number: int) -> Path:
        """A small copy of a picture that a test document shows, by the document's digest."""
        return self.root / "pictures" / f"{document[:16]}-{number}.png"

    def figure(self, name: str) -> Path:
        """A figure of the report."""
        return self.root / "figures" / f"{name}.svg"

    def figure_data(self, name: str) -> Path:
        """The numbers of a figure."""
        return self.figure(name).with_suffix(".csv")

    @property
    def tracked(self) -> Path:
        """Says whether MLflow has the winner and the report."""
        return self.root / "tracked.json"

    def phase(self, name: str) -> PhaseFiles:
        """Files of one phase."""
        return PhaseFiles(self.root / name)
