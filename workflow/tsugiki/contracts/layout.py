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
DECOMPOSITIONS = "decompositions"

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

CACHES = frozenset({DECOMPOSITIONS, DEMO_PARENTS, PREPARED_PARENTS})
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


class File:
    """A file, or a folder, by its name in the folder that it is an attribute of."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: Folder, _kind: type[Folder]) -> Path:
        return folder.root / self.name


@dataclass(frozen=True)
class Folder:
    """A folder whose files have names."""

    root: Path


class CandidateFiles(Folder):
    """candidates/cand-<digest12>/: one recipe in one phase."""

    recipe = File("recipe.json")
    """The recipe."""
    outcome = File("outcome.json")
    """What came of it; the same bytes on every machine."""
    items = File("items.parquet")
    """A row for every item it was scored on."""
    cost = File("cost.json")
    """Seconds, tokens and the machine; differs between runs."""

    def of(self, generation: int | None) -> CandidateFiles:
        """Where the same is recorded of a generation's own documents; None where all have the same ones."""
        return self if generation is None else CandidateFiles(_generation(self.root, generation))

    def at(self, rung: int | None) -> CandidateFiles:
        """Where the same is recorded of a rung before the last; None stands for all documents."""
        return self if rung is None else CandidateFiles(self.root / f"rung-{rung}")


class GenerationFiles(Folder):
    """gen-<generation>/."""

    population = File("population.json")
    """The candidates."""
    state = File("state.npz")
    """The strategy's state that the population was drawn from."""
    outcomes = File("outcomes.json")
    """The ledger's entry."""
    tracked = File("tracked.json")
    """Marks that MLflow has the generation."""

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


class PhaseFiles(Folder):
    """results/<run>/<phase>/: a stage, its finalists, or `baselines`, `test`."""

    space = File("space.json")
    """What a genome of the stage means."""
    decomposed = File("decomposed.json")
    """Where the decompositions of the stage's task vectors are kept, for methods that have one."""
    best = File("best")
    """The stage's best model, where a later stage merges it."""
    best_recipe = File("best/recipe.json")
    """Its recipe."""
    best_lock = File("best.lock.json")
    """Files and digest of the stage's best model."""

    def generation(self, number: int) -> GenerationFiles:
        """Files of one generation."""
        return GenerationFiles(_generation(self.root, number))

    def candidate(self, digest: str) -> CandidateFiles:
        """Files of one recipe."""
        return CandidateFiles(self.root / "candidates" / f"cand-{digest[:12]}")


class RunFiles(Folder):
    """results/<run>/."""

    config = File("config.lock.yaml")
    """The configuration, all defaults filled in."""
    parents = File("parents.lock.json")
    """Commits and digests of the parents."""
    items = File("items.json")
    """Which documents are for search, validation and test."""
    environment = File("environment.json")
    """Package versions, machine, git commit."""
    splits = File("splits.json")
    """Into how many jobs ranked generations are split, where the configuration says otherwise."""
    budgets = File("budgets.json")
    """Under which limits generations of a stage were drawn, where its budget has been changed since."""
    final = File("final.json")
    """The final table: held-out scores, intervals, paired tests."""
    best = File("best")
    """The merged model."""
    best_recipe = File("best/recipe.json")
    """Its recipe."""
    front = File("front/front.json")
    """The Pareto front of several objectives; a recipe of each member is beside it."""
    folding = File("folding.json")
    """How far the best model is from its explicit form, if it is one in data-flow space."""
    report = File("report.html")
    """The report."""
    tracked = File("tracked.json")
    """Says whether MLflow has the winner and the report."""

    def exist(self) -> bool:
        """Whether the folder is that of a run that has begun."""
        return any(path.is_file() for path in (self.config, self.parents))

    def front_recipe(self, candidate: str) -> Path:
        """Recipe of a member of the front."""
        return self.front.with_name(f"{candidate}.json")

    def picture(self, document: str, number: int) -> Path:
        """A small copy of a picture that a test document shows, by the document's digest."""
        return self.root / "pictures" / f"{document[:16]}-{number}.png"

    def figure(self, name: str) -> Path:
        """A figure of the report."""
        return self.root / "figures" / f"{name}.svg"

    def figure_data(self, name: str) -> Path:
        """The numbers of a figure."""
        return self.figure(name).with_suffix(".csv")

    def phase(self, name: str) -> PhaseFiles:
        """Files of one phase."""
        return PhaseFiles(self.root / name)
