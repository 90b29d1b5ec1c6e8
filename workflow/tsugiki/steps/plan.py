"""What the rules need to know of a run: its files as Snakemake patterns, and what results depend on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsugiki.canonical import digest
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.config.validate_parents import common_bases
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import BASELINES, TEST, finalists_of, series_names


class Plan:
    """The static plan of a run.

    The number of generations is not among the parameters that generations depend on: a run whose
    budget is raised goes on where it ended.
    """

    def __init__(self, files: RunFiles, config: RunConfig) -> None:
        self.files = files
        self.config = config
        self.stages = [stage.name for stage in config.stages]
        self.finalists = {finalists_of(config, name): name for name in self.stages}
        self.finals = [BASELINES, *self.finalists, TEST]
        self.jobs = range(config.evaluation.jobs)
        self.on_disk = config.evaluation.storage == "disk"

    def path(self, name: str) -> str:
        """Pattern of a file of a generation, with the wildcards `series` and `gen`."""
        return f"{self.files.root}/{{series}}/gen-{{gen}}/{name}"

    def task_files(self) -> list[str]:
        """Files of local tasks: another task means other documents and other scores."""
        return sorted(
            str(path)
            for folder in self.config.evaluation.task_paths
            for path in Path(folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )

    def before(self, name: str) -> Callable[[Any], str]:
        """File of the generation before the one in the wildcards `stage` and `gen`."""

        def of(wildcards: Any) -> str:
            files = self.files.series(wildcards.stage).generation(int(wildcards.gen) - 1)
            return str(files.root / name)

        return of

    def evaluated_of(self, wildcards: Any) -> list[str]:
        """The files that say that the generation in the wildcards is scored."""
        files = self.files.series(wildcards.series).generation(int(wildcards.gen))
        return [str(files.evaluated(job)) for job in self.jobs]

    def tracked_before(self, wildcards: Any) -> list[str]:
        """What is tracked before: MLflow's store is written by one job at a time."""
        mark = self.files.series(wildcards.series).generation(int(wildcards.gen)).tracked
        marks = self.tracked()
        index = marks.index(str(mark)) if str(mark) in marks else 0
        return marks[index - 1 : index] if index else []

    def searched_by(self, wildcards: Any) -> list[str]:
        """Ledger entries, all generations, of the stage whose finalists the wildcards name."""
        return self.outcomes(self.finalists[wildcards.finalists])

    def state_after(self, wildcards: Any) -> str:
        """State of that stage after its last generation."""
        stage = self._stage(self.finalists[wildcards.finalists])
        return str(self.files.series(stage.name).generation(stage.budget.generations).state)

    def outcomes(self, stage: str) -> list[str]:
        """Ledger entries of a stage, all generations."""
        series = self.files.series(stage)
        count = self._stage(stage).budget.generations
        return [str(series.generation(g).outcomes) for g in range(count)]

    def all_outcomes(self) -> list[str]:
        """Ledger entries of all stages."""
        return [path for stage in self.stages for path in self.outcomes(stage)]

    def final_outcomes(self) -> list[str]:
        """Ledger entries of the finalists of all stages."""
        return [str(self.files.series(name).generation(0).outcomes) for name in self.finalists]

    def models_before(self, wildcards: Any) -> list[str]:
        """Locks of the earlier stages' best models that the stage in the wildcards merges."""
        members = self._stage(wildcards.stage).members
        return [str(self.files.series(name).best_lock) for name in members if name in self.stages]

    def finalists_before(self, wildcards: Any) -> str:
        """The scored finalists of the stage in the wildcards."""
        name = finalists_of(self.config, wildcards.stage)
        return str(self.files.series(name).generation(0).outcomes)

    def tracked(self) -> list[str]:
        """Marks of everything that goes to MLflow."""
        return [
            str(self.files.series(name).generation(g).tracked)
            for name in series_names(self.config)
            for g in range(self._stage(name).budget.generations if name in self.stages else 1)
        ]

    def _stage(self, name: str) -> Stage:
        return self.config.stages[self.stages.index(name)]

    def stage_key(self, name: str) -> str:
        """Digest of what a stage's generations depend on, those of the stages it merges included."""
        stage = self._stage(name)
        content = stage.model_dump(mode="json")
        content["budget"].pop("generations")
        before = {one: self.stage_key(one) for one in stage.members if one in self.stages}
        return self._key(
            seed=self.config.seed, stage=content, **({"before": before} if before else {})
        )

    def evaluation_key(self) -> str:
        """Digest of what scores depend on."""
        evaluation = self.config.evaluation
        content = evaluation.with_goals().model_dump(mode="json")
        without = {"resident", "storage"}
        if not evaluation.document_keys:
            without.add("document_keys")
        if evaluation.backend == "transformers":
            without |= {"backend", "vllm"}
        if evaluation.backend == "transformers" or evaluation.device == "cuda":
            without.add("threads")  # on a processor, vLLM's sums depend on its threads
        if evaluation.backend == "vllm" or evaluation.device == "cpu":
            without.add("cuda_graphs")
        for name in without:
            content.pop(name)
        return self._key(evaluation=content, seed=self.config.seed)

    def parents_key(self) -> str:
        """Digest of the parents' sources, and of what they are made into."""
        parents = {
            name: source.model_dump(mode="json") for name, source in self.config.parents.items()
        }
        vocabulary = self.config.vocabulary
        if vocabulary.kind == "same":
            return self._key(parents=parents)
        bases = sorted(common_bases(self.config))
        return self._key(parents=parents, vocabulary=vocabulary.model_dump(), bases=bases)

    def baselines_key(self) -> str:
        """Digest of what the baselines' recipes depend on."""
        stage = self.config.stages[0]
        return self._key(
            baselines=[baseline.model_dump(mode="json") for baseline in self.config.baselines],
            parents=stage.parents,
            base=stage.base,
            dtype=stage.space.dtype,
            tokenizer=getattr(stage.space, "tokenizer", None),
            mask_seed=getattr(stage.space, "mask_seed", None),
            later=[[*later.parents, later.base] for later in self.config.stages[1:]],
            seed=self.config.seed,
        )

    def finalists_key(self) -> str:
        """Digest of how finalists are chosen."""
        return self._key(finalists=self.config.finalists.model_dump(mode="json"))

    def tracking_key(self) -> str:
        """Digest of where runs are tracked."""
        return self._key(tracking=self.config.tracking.model_dump(mode="json"))

    @staticmethod
    def _key(**content: Any) -> str:
        return digest(content)[:16]
