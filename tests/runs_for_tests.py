"""Small real runs: a base and two parents of a few thousand weights, two lm-eval tasks, all files.

The task `words` wants an answer of words; its metric `even` is the share of words with an even
number, so that even random models differ. The gold answer of the task `choice` is always the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.parents.checkpoints import write_llama
from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.load import dump_config, parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import BASELINES, REPEAT, TEST, CandidateFiles, RunFiles
from tsugiki.contracts.population import Candidate, Population
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe

if TYPE_CHECKING:
    from tsugiki.evaluate.batch import ShardEvaluator

PARENTS = ("a", "b")
DOCUMENTS = 30

CODE = """
import json
from pathlib import Path

import datasets

HERE = Path(__file__).parent


def load(**kwargs):
    rows = json.loads((HERE / "documents.json").read_text())
    return {"test": datasets.Dataset.from_list(rows)}


def score(doc, results):
    words = results[0].split()
    even = [word for word in words if word[1:].isdigit() and int(word[1:]) % 2 == 0]
    return {
        "even": len(even) / max(len(words), 1),
        "exact_match": float(results[0].strip() == doc["target"]),
        "parsed": float(bool(words)),
    }
"""

WORDS = """
task: {name}
custom_dataset: !function tiny.load
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: target
num_fewshot: {shots}
generation_kwargs:
  until: ["w60"]
  do_sample: {sample}
  max_gen_toks: 6
process_results: !function tiny.score
metric_list:
  - metric: even
    aggregation: mean
    higher_is_better: true
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
  - metric: parsed
    aggregation: mean
    higher_is_better: true
"""

CHOICE = """
task: choice
custom_dataset: !function tiny.load
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: gold
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def documents(count: int = DOCUMENTS) -> list[dict[str, Any]]:
    """Distinct documents of both tasks."""
    return [
        {
            "prompt": f"w{index} w{(7 * index) % 60} w{(11 * index + 3) % 60}",
            "target": f"w{(5 * index) % 60}",
            "choices": [f"w{(13 * index) % 60}", f"w{(17 * index + 1) % 60}", f"w{59 - index}"],
            "gold": 0,
        }
        for index in range(count)
    ]


def write_tasks(
    folder: Path,
    *,
    rows: Sequence[dict[str, Any]] | None = None,
    shots: int = 0,
    sample: bool = False,
) -> Path:
    """Write the tasks `words` and `choice`; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.py").write_text(CODE)
    (folder / "documents.json").write_text(json.dumps(documents() if rows is None else list(rows)))
    words = WORDS.format(name="words", shots=shots, sample=str(sample).lower())
    (folder / "words.yaml").write_text(words)
    (folder / "choice.yaml").write_text(CHOICE)
    return folder


def write_parents(folder: Path) -> Path:
    """Write the base and both parents; return the folder that holds them."""
    for seed, name in enumerate(("base", *PARENTS)):
        write_llama(folder / name, seed=seed)
    return folder


def raw_config(models: Path, tasks: Path, results: Path, **changes: Any) -> dict[str, Any]:
    """A configuration as read from YAML; `changes` replace whole sections."""
    return {
        "name": "tiny",
        "results": str(results),
        "parents": {name: {"path": str(models / name)} for name in ("base", *PARENTS)},
        "stages": [parameter_stage(*PARENTS, population=4)],
        "evaluation": evaluation_section(tasks),
        "rivals": [],
        **changes,
    }


def parameter_stage(*parents: str, population: int) -> dict[str, Any]:
    """A stage that merges `parents` on `base`, with a weight for each block, a density for each."""
    return {
        "name": "ps",
        "parents": list(parents),
        "base": "base",
        "space": {
            "method": "dare_ties",
            "dtype": "float32",
            "genes": {
                "weight": {"range": [0.0, 1.5], "grouping": "block"},
                "density": {"range": [0.1, 1.0], "grouping": "model"},
            },
        },
        "strategy": {"kind": "cma_es", "population": population},
        "budget": {"generations": 3},
    }


def second_stage(**space: Any) -> dict[str, Any]:
    """A stage in data-flow space over the first stage's result and the parent `a`; with settings of its space."""
    return {
        "name": "dfs",
        "parents": ["ps", "a"],
        "space": {"kind": "dataflow", **space},
        "strategy": {"kind": "bit_cma"},
        "budget": {"generations": 2},
    }


def evaluation_section(tasks: Path, **changes: Any) -> dict[str, Any]:
    """The section `evaluation`; `changes` replace keys."""
    return {
        "task_paths": [str(tasks)],
        "objectives": [
            {"name": "even", "task": "words", "metric": "even,none"},
            {"name": "choice", "task": "choice", "metric": "acc,none"},
        ],
        "items": {"search": 8, "validation": 5, "test": 6},
        "batch_size": 4,
        "device": "cpu",
        **changes,
    }


@dataclass(frozen=True)
class TinyRun:
    """A run whose parents are locked and whose items are divided."""

    files: RunFiles
    config: RunConfig

    @property
    def digests(self) -> dict[str, str]:
        """Digest of every parent, by name."""
        lock = json.loads(self.files.parents.read_bytes())
        return {name: parent["digest"] for name, parent in lock["parents"].items()}

    def recipe(self, method: str = "task_arithmetic", **fields: Any) -> Recipe:
        """A merge of both parents; `weight` and `density` become one value for all tensors."""
        values = {
            name: Parameter(values={"*": {"model": float(fields.pop(name))}})
            for name in ("weight", "density")
            if name in fields
        }
        base = fields.pop("base", "base")
        parents = fields.pop("parents", PARENTS)
        return Recipe(
            method=method,
            base=self.ref(base) if base else None,
            parents=tuple(self.ref(name) for name in parents),
            parameters=values,
            **{"dtype": "float32", "owner": base or parents[0], **fields},
        )

    def ref(self, name: str) -> ParentRef:
        """A parent by name and digest."""
        return ParentRef(name=name, digest=self.digests[name])

    def write_population(
        self, recipes: Sequence[Recipe], *, phase: str = "ps", generation: int = 0
    ) -> None:
        """Write a generation of hand-made candidates."""
        population = Population(
            run=self.config.name,
            phase=phase,
            generation=generation,
            split="test" if phase == "test" else "search",
            previous=None,
            state=None,
            candidates=tuple(
                Candidate(
                    id=f"{generation:03d}-{index:02d}", recipe=recipe.digest, genome=(), origin={}
                )
                for index, recipe in enumerate(recipes)
            ),
        )
        files = self.files.phase(phase)
        for recipe in recipes:
            atomic.write_bytes(files.candidate(recipe.digest).recipe, recipe.to_json())
        content = pretty_json(population.model_dump(mode="json"))
        atomic.write_bytes(files.generation(generation).population, content)

    @cached_property
    def evaluator(self) -> ShardEvaluator:
        """Scores the run's candidates in this process; what it has loaded serves all phases."""
        from tsugiki.evaluate.batch import ShardEvaluator

        return ShardEvaluator(self.files, self.config, job=0)

    def score(self, phase: str, generation: int = 0) -> None:
        """Evaluate and rank a generation."""
        from tsugiki.steps.evolution import write_ranked

        self.evaluator.evaluate(phase, generation, log=lambda _line: None)
        write_ranked(self.files, self.config, phase, generation, log=lambda _line: None)

    def search(self, stage: str = "ps") -> None:
        """Do what the rules do for a stage, from its first generation to its scored finalists."""
        from tsugiki.steps.evolution import write_next
        from tsugiki.steps.finals import write_finalists
        from tsugiki.steps.start import write_first

        found = self.config.stage(stage)
        assert found is not None
        write_first(self.files, self.config, found)
        for generation in range(found.budget.generations):
            self.score(stage, generation)
            write_next(self.files, self.config, found, generation)
        write_finalists(self.files, self.config, found)
        self.score(self.config.finalists_of(stage))

    def finish(self) -> None:
        """Do what the rules do, from the first generation to the final table and the best model."""
        from tsugiki.finalists.files import write_final_table
        from tsugiki.steps.best import write_best, write_stage_best
        from tsugiki.steps.finals import write_repeat, write_test
        from tsugiki.steps.start import write_baselines

        *before, last = (stage.name for stage in self.config.stages)
        for stage in before:
            self.search(stage)
            write_stage_best(self.files, self.config, stage, threads=1)
        self.search(last)
        write_baselines(self.files, self.config)
        self.score(BASELINES)
        write_test(self.files, self.config)
        self.score(TEST)
        if self.config.evaluation.repeat_check is not None:
            write_repeat(self.files, self.config)
            self.score(REPEAT)
        write_final_table(self.files, self.config)
        write_best(self.files, self.config, self.files.best, threads=1)

    def candidate(self, recipe: Recipe, *, phase: str = "ps") -> CandidateFiles:
        """Files of a recipe."""
        return self.files.phase(phase).candidate(recipe.digest)


def start_run(raw: dict[str, Any]) -> TinyRun:
    """Do what comes before the first generation: lock the parents, divide the items."""
    from tsugiki.parents.resolve import lock_parents
    from tsugiki.steps.prepare import write_document_sets

    config = parse_config(raw, where="test")
    files = RunFiles(Path(config.results) / config.name)
    atomic.write_bytes(files.config, dump_config(config))
    lock_parents(config, files.parents, update=frozenset(), log=lambda _line: None)
    write_document_sets(files, config)
    return TinyRun(files, config)
