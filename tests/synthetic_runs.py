"""A whole run's folder without any model: plausible numbers, sound digests.

A candidate's genome has a distance to a hidden optimum; the nearer it is, the more items it solves.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tsugiki.atomic import write_bytes
from tsugiki.canonical import digest, digest_bytes, digest_file, pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import PhaseFiles, RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.locks import LockedFile, LockedParent, ParentsLock, digest_of_files
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Candidate, Generation, Population
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.evaluate.documents import SourceDocuments, divide
from tsugiki.evolve.rank import rank
from tsugiki.evolve.select import first, select
from tsugiki.finalists.files import write_final_table
from tsugiki.keyed import generator
from tsugiki.models.kinds.text import TEXT
from tsugiki.space.parameter_space import build_parameter_genome

Split = Literal["search", "validation", "test"]
PARENTS = ("japanese", "maths")
MONITORS = ("en_maths", "ja_reading", "en_reading")
BEGIN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
KNOWN = {"base": 0.18, "japanese": 0.14, "maths": 0.02}
"""Share of items that the parents solve."""


@dataclass
class SyntheticRun:
    """Writes the folder of a run, phase by phase."""

    files: RunFiles
    generations: int = 3
    population: int = 4
    blocks: int = 2
    items: int = 40
    baselines: Sequence[Mapping[str, Any]] | None = None
    tracking_uri: str | None = None
    prompts: bool = False
    strategy: Mapping[str, Any] | None = None
    second: bool = False
    """A second objective, `en_maths`: the better at the first one, the worse at it."""
    config: RunConfig = field(init=False)
    lock: ParentsLock = field(init=False)
    clock: datetime = field(init=False, default=BEGIN)

    def __post_init__(self) -> None:
        self.config = self._config()
        self.lock = _parents_lock(self.config)
        count = 3 * self.items
        self.items_of = divide(
            {
                one.task: SourceDocuments([digest([one.task, n]) for n in range(count)])
                for one in self.measured
            },
            objectives={one.task for one in self.config.evaluation.objectives},
            sizes=self.config.evaluation.items,
            seed=self.config.seed,
        )
        write_bytes(self.files.config, yaml.safe_dump(self.config.model_dump(mode="json")).encode())
        write_bytes(self.files.parents, self.lock.to_json())
        write_bytes(self.files.items, self.items_of.to_json())
        environment = {
            "python": "3.11.9",
            "packages": {"torch": "2.13.0", "transformers": "5.24.0", "lm-eval": "0.4.13"},
            "git": {"commit": "0" * 40, "dirty": False},
            "machine": {"host": "node-1", "cpu": "x86_64", "cores": 2},
        }
        write_bytes(self.files.environment, pretty_json(environment))

    @property
    def measured(self) -> list[Any]:
        """Objectives and monitors."""
        return [*self.config.evaluation.objectives, *self.config.evaluation.monitors]

    @property
    def groups(self) -> list[str]:
        """Groups of tensors, in the order of the layers."""
        return ["embeddings", *(f"block.{number}" for number in range(self.blocks)), "head"]

    def _config(self) -> RunConfig:
        objective = {"task": "demo_ja_maths", "metric": "exact_match,none"}
        gene = {"grouping": "block"}
        raw: dict[str, Any] = {
            "name": "synthetic",
            "parents": {name: {"path": f"models/{name}"} for name in ("base", *PARENTS)},
            "stages": [
                {
                    "name": "ps",
                    "parents": list(PARENTS),
                    "base": "base",
                    "space": {
                        "method": "dare_ties",
                        "genes": {
                            "weight": {"range": (0.0, 1.5), **gene},
                            "density": {"range": (0.1, 1.0), **gene},
                        },
                    },
                    "budget": {"generations": self.generations},
                }
            ],
            "evaluation": {
                "objectives": [{"name": "ja_maths", **objective}],
                "monitors": [
                    {"name": name, "task": f"demo_{name}", "metric": "exact_match,none"}
                    for name in MONITORS
                ],
                "items": {"search": self.items, "validation": self.items, "test": self.items},
            },
            "rivals": [],
            "tracking": {"uri": self.tracking_uri},
        }
        if self.second:
            evaluation = raw["evaluation"]
            evaluation["objectives"].append({**evaluation["monitors"].pop(0), "weight": 0.5})
        if self.strategy is not None:
            raw["stages"][0]["strategy"] = dict(self.strategy)
        if self.baselines is not None:
            raw["baselines"] = list(self.baselines)
        return RunConfig.model_validate(raw)

    def write_stage(self, *, failing: Sequence[str] = ()) -> None:
        """The stage `ps`; candidates in `failing` (by id) have no score."""
        size = 2 * 2 * len(self.groups)
        optimum = generator("optimum").uniform(0.25, 0.75, size)
        previous: bytes | None = None
        for number in range(self.generations):
            share = number / max(1, self.generations - 1)
            mean = 0.5 + (optimum - 0.5) * (1 - np.exp(-3 * share))
            genomes = self._genomes(number, mean, 0.12 * (1 - 0.7 * share))
            skills = [
                0.08 + 0.47 * float(np.exp(-10 * np.mean((genome - optimum) ** 2) / 0.25))
                for genome in genomes
            ]
            recipes = [self.recipe(genome) for genome in genomes]
            candidates = self._candidates(number, genomes, recipes)
            previous = self.write_generation(
                "ps", number, "search", candidates, recipes, skills,
                previous=previous, failing=failing,
            )  # fmt: skip
        # Selecting from the last generation draws one more, which is never scored.
        genomes = self._genomes(self.generations, optimum, 0.03)
        recipes = [self.recipe(genome) for genome in genomes]
        candidates = self._candidates(self.generations, genomes, recipes)
        self._write_population("ps", self.generations, "search", candidates, recipes, previous)

    def write_search(self) -> None:
        """The stage `ps` as its strategy draws it: the more of `japanese`, the better at Japanese."""
        stage, objectives = self.config.stages[0], self.config.evaluation.objectives
        space = build_parameter_genome(
            stage,
            seed=self.config.seed,
            digests=self.lock.digests,
            tensor_names=["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"],
            kind=TEXT,
            per_parent={"weight": True, "density": True},
        )
        phase = self.files.phase(stage.name)
        write_bytes(phase.space, space.to_json())
        drawn = first(self.config, stage, space)
        for number in range(self.generations + 1):
            files = phase.generation(number)
            write_bytes(files.state, drawn.state)
            write_bytes(files.population, drawn.population)
            for recipe in drawn.recipes:
                write_bytes(phase.candidate(recipe.digest).recipe, recipe.to_json())
            if number < self.generations:
                outcomes = self.score(stage.name, number)
                drawn = select(
                    self.config, stage, space, population_bytes=drawn.population,
                    state_bytes=drawn.state, outcomes_bytes=outcomes, objectives=objectives,
                )  # fmt: skip

    def score(self, phase: str, number: int = 0) -> bytes:
        """Score a population that is drawn; returns the content of its outcomes.json."""
        folder = self.files.phase(phase)
        files = folder.generation(number)
        population = read_population(files.population)
        outcomes = {}
        for candidate in population.candidates:
            recipe = Recipe.model_validate_json(
                folder.candidate(candidate.recipe).recipe.read_bytes()
            )
            weights = recipe.parameters["weight"].values.get("japanese", {"model": 0.3})
            skill = 0.08 + 0.3 * float(np.mean(list(weights.values())))
            outcomes[recipe.digest] = self._write_candidate(
                folder, recipe, population.split, skill, failing=False
            )
        return self._write_outcomes(phase, number, population, outcomes)

    def _genomes(self, number: int, mean: Any, sigma: float) -> list[Any]:
        random = generator("ask", number)
        return [mean + random.normal(0, sigma, mean.size) for _ in range(self.population)]

    def _candidates(
        self, number: int, genomes: Sequence[Any], recipes: Sequence[Recipe]
    ) -> list[Candidate]:
        return [
            Candidate(
                id=f"{number:03d}-{index:02d}",
                recipe=recipe.digest,
                genome=tuple(float(value) for value in genome),
                origin={},
            )
            for index, (recipe, genome) in enumerate(zip(recipes, genomes, strict=True))
        ]

    def recipe(self, genome: Sequence[float] | Any) -> Recipe:
        """DARE-TIES with a weight and a density for each parent and group."""
        values = np.clip(genome, 0, 1).reshape(2, 2, len(self.groups))
        ranges = {"density": (0.1, 1.0), "weight": (0.0, 1.5)}
        return Recipe(
            method="dare_ties",
            base=self.ref("base"),
            parents=tuple(self.ref(name) for name in PARENTS),
            parameters={
                name: Parameter(
                    grouping="block",
                    values={
                        parent: {
                            group: float(low + (high - low) * value)
                            for group, value in zip(self.groups, of_parent, strict=True)
                        }
                        for parent, of_parent in zip(PARENTS, of_gene, strict=True)
                    },
                )
                for (name, (low, high)), of_gene in zip(ranges.items(), values, strict=True)
            },
            mask_seed=1,
            owner="base",
        )

    def plain(self, method: str, *parents: str, weight: float = 1.0) -> Recipe:
        """A merge with one weight for all."""
        return Recipe(
            method=method,
            base=None if method == "linear" else self.ref("base"),
            parents=tuple(self.ref(name) for name in parents),
            parameters={"weight": Parameter(values={name: {"model": weight} for name in parents})},
            owner=parents[0],
        )

    def ref(self, name: str) -> ParentRef:
        """A parent by name and digest."""
        return ParentRef(name=name, digest=self.lock.digests[name])

    def write_generation(
        self,
        phase: str,
        number: int,
        split: Split,
        candidates: Sequence[Candidate],
        recipes: Sequence[Recipe],
        skills: Sequence[float],
        *,
        previous: bytes | None = None,
        failing: Sequence[str] = (),
    ) -> bytes:
        """A scored generation; returns the content of its outcomes.json."""
        folder = self.files.phase(phase)
        population = self._write_population(phase, number, split, candidates, recipes, previous)
        outcomes = {
            recipe.digest: self._write_candidate(
                folder, recipe, split, skill, failing=candidate.id in failing
            )
            for candidate, recipe, skill in zip(candidates, recipes, skills, strict=True)
        }
        return self._write_outcomes(phase, number, population, outcomes)

    def _write_outcomes(
        self,
        phase: str,
        number: int,
        population: Population,
        outcomes: Mapping[str, Scored | Failed],
    ) -> bytes:
        files, stage = self.files.phase(phase).generation(number), self.config.stage(phase)
        entry = rank(
            population, files.population.read_bytes(), outcomes,
            self.config.evaluation.objectives, weighed=stage is None or stage.strategy.weighs,
        )  # fmt: skip
        written = pretty_json(entry.model_dump(mode="json"))
        write_bytes(files.outcomes, written)
        return written

    def _write_population(
        self,
        phase: str,
        number: int,
        split: Split,
        candidates: Sequence[Candidate],
        recipes: Sequence[Recipe],
        previous: bytes | None,
    ) -> Population:
        folder = self.files.phase(phase)
        files = folder.generation(number)
        for recipe in recipes:
            write_bytes(folder.candidate(recipe.digest).recipe, recipe.to_json())
        state: bytes | None = None
        if candidates and candidates[0].genome:
            state = f"state {number}".encode()
            write_bytes(files.state, state)
        population = Population(
            run=self.config.name,
            phase=phase,
            generation=number,
            split=split,
            previous=None if previous is None else digest_bytes(previous),
            state=None if state is None else digest_bytes(state),
            candidates=tuple(candidates),
        )
        write_bytes(files.population, pretty_json(population.model_dump(mode="json")))
        return population

    def _write_candidate(
        self, folder: PhaseFiles, recipe: Recipe, split: Split, skill: float, *, failing: bool
    ) -> Scored | Failed:
        files = folder.candidate(recipe.digest)
        seconds = 1.5 + generator("seconds", recipe.digest).uniform(0, 0.5)
        start, self.clock = self.clock, self.clock + timedelta(seconds=seconds + 0.2)
        outcome: Scored | Failed
        tokens = 0
        if failing:
            outcome = Failed(
                recipe=recipe.digest, evaluation="0" * 64, kind="model",
                reason="the model's logits are not finite",
            )  # fmt: skip
        else:
            rows = self._rows(recipe.digest, split, skill)
            tokens = sum(row["tokens"] for row in rows)
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows), buffer, compression="zstd")
            write_bytes(files.items, buffer.getvalue())
            outcome = Scored(
                recipe=recipe.digest,
                evaluation="0" * 64,
                measured=_measure(rows),
                rates={"tokens": tokens / len(rows), "truncated": 0.0, "empty": 0.0},
                weights=digest(["weights", recipe.digest]),
                records=digest_file(files.items),
            )
        write_bytes(files.outcome, pretty_json(outcome.model_dump(mode="json")))
        cost = {
            "seconds_merge": 0.02,
            "seconds_forward": seconds - 0.02,
            "seconds_total": seconds,
            "tokens": tokens,
            "host": "node-1",
            "device": "cpu",
            "started": start.isoformat(),
            "finished": (start + timedelta(seconds=seconds)).isoformat(),
        }
        write_bytes(files.cost, pretty_json(cost))
        return outcome

    def _rows(self, recipe: str, split: Split, skill: float) -> list[dict[str, Any]]:
        rows = []
        for objective in self.measured:
            strength = skill if objective.name == "ja_maths" else min(1.0, 0.4 + skill)
            if self.second and objective.name == "en_maths":
                strength = 0.7 - skill
            for document in getattr(self.items_of.tasks[objective.task], split):
                # Half of what decides an item is the item's own, so that models are correlated.
                easy = generator("easy", document.hash).uniform()
                luck = generator("luck", document.hash, recipe).uniform()
                solved = bool(0.5 * easy + 0.5 * luck < _quantile(strength))
                first, second = 2 + document.id % 7, 1 + document.id % 5
                answer = first + second + (0 if solved else 1)
                row = {
                    "objective": objective.name,
                    "doc_id": document.id,
                    "doc_hash": document.hash,
                    "prompt_hash": digest(["prompt", document.hash]),
                    "response": f"{first}+{second}={answer}個です。",
                    "target": f"{first}+{second}={first + second}個です。",
                    "value": float(solved),
                    "tokens": 9,
                    "truncated": False,
                    "empty": False,
                    "language": 1.0,
                    "parsed": 1.0,
                }
                if self.prompts:
                    row["prompt"] = f"りんごが{first}個あります。{second}個もらうと、<何個>ですか。"
                rows.append(row)
        return rows

    def write_baselines(self, *, parents: bool = False) -> None:
        """The phase `baselines`, one candidate for each, and one for each parent if so wanted."""
        self._write_fixed("baselines", "search", self._fixed_rows(parents=parents))

    def write_test(self, *, failing: Sequence[str] = ()) -> None:
        """The phase `finalists` and `test`; rows in `failing` (by name) have no score."""
        ranked = [
            entry
            for generation in range(self.generations)
            for entry in Generation.model_validate_json(
                self.files.phase("ps").generation(generation).outcomes.read_bytes()
            ).ranked
            if entry.fitness is not None
        ]
        ranked.sort(key=lambda entry: -(entry.fitness or 0.0))
        stage = self.files.phase("ps")
        top = [
            Recipe.model_validate_json(stage.candidate(entry.recipe).recipe.read_bytes())
            for entry in ranked[:3]
        ]
        skill = 0.53
        finalists = [
            (f"finalist-{index}", "finalist", recipe, skill - 0.02 * index)
            for index, recipe in enumerate(top)
        ]
        self._write_fixed("finalists", "validation", finalists)
        winner = ("evolved", "evolved", top[0], skill)
        rows = [winner, *finalists[1:], *self._fixed_rows(parents=True)]
        self._write_fixed("test", "test", rows, failing=failing)
        write_bytes(self.files.best / "recipe.json", top[0].to_json())

    def write_final(self) -> None:
        """final.json."""
        write_final_table(self.files, self.config)

    def _fixed_rows(self, *, parents: bool) -> list[tuple[str, str, Recipe, float]]:
        rows: list[tuple[str, str, Recipe, float]] = []
        if parents:
            for name, skill in KNOWN.items():
                kind = "base" if name == "base" else "parent"
                rows.append((name, kind, self.plain("linear", name), skill))
        for index, baseline in enumerate(self.config.baselines):
            recipe = self.plain(baseline.method, *PARENTS, weight=0.3 + 0.1 * index)
            rows.append(
                (baseline.name, "baseline", recipe, (0.32, 0.3, 0.1, 0.26, 0.22)[index % 5])
            )
        return rows

    def _write_fixed(
        self,
        phase: str,
        split: Split,
        rows: Sequence[tuple[str, str, Recipe, float]],
        *,
        failing: Sequence[str] = (),
    ) -> None:
        candidates = [
            Candidate(
                id=f"000-{index:02d}",
                recipe=recipe.digest,
                genome=(),
                origin={"name": name, "kind": kind},
            )
            for index, (name, kind, recipe, _) in enumerate(rows)
        ]
        lost = [c.id for c in candidates if c.origin["name"] in failing]
        recipes, skills = [row[2] for row in rows], [row[3] for row in rows]
        self.write_generation(phase, 0, split, candidates, recipes, skills, failing=lost)

    def write_all(self, *, failing: Sequence[str] = ()) -> None:
        """Everything."""
        self.write_stage(failing=failing)
        self.write_baselines()
        self.write_test()
        self.write_final()


def make_run(root: Path, **settings: Any) -> SyntheticRun:
    """A run in an empty folder; only configuration and locks are written yet."""
    return SyntheticRun(RunFiles(root / "synthetic"), **settings)


def _measure(rows: Sequence[Mapping[str, Any]]) -> dict[str, Measured]:
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["objective"], []).append(row["value"])
    return {
        name: Measured(value=sum(of_name) / len(of_name), items=len(of_name))
        for name, of_name in values.items()
    }


def _parents_lock(config: RunConfig) -> ParentsLock:
    parents = {}
    for name, source in config.parents.items():
        file = LockedFile(name="model.safetensors", size=2_700_000, sha256=digest([name]))
        parents[name] = LockedParent(
            source=source.model_dump(mode="json"), files=(file,), digest=digest_of_files((file,))
        )
    return ParentsLock(parents=parents)


def _quantile(share: float) -> float:
    """Quantile of the mean of two uniform numbers."""
    if share < 0.5:
        return float(np.sqrt(share / 2))
    return float(1 - np.sqrt((1 - share) / 2))
