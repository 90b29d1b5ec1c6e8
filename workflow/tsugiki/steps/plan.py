"""What the rules need to know of a run: its files as Snakemake patterns, and what results depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any

from tsugiki import atomic
from tsugiki.canonical import digest
from tsugiki.config.run import RunConfig
from tsugiki.config.sources import measured_files
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import BASELINES, FLATNESS, REPEAT, TEST, GenerationFiles, RunFiles
from tsugiki.contracts.recipe import SHARED
from tsugiki.evaluate.shards import jobs_that_scored, write_splits
from tsugiki.steps.eras import Era, eras_of, write_eras
from tsugiki.steps.origins import origin_files
from tsugiki.tracking.marks import pending, untold


class Plan:
    """The static plan of a run.

    The number of generations is not among the parameters that generations depend on: a run whose
    budget is raised goes on where it ended. Nor is the number of jobs: a generation that is ranked keeps
    the one that it was split into. A generation keeps the limits, too, that it was drawn under, unless
    those of the configuration make something else of it.
    """

    def __init__(self, files: RunFiles, config: RunConfig) -> None:
        self.files = files
        self.config = config
        self._searches = {stage.name: stage for stage in config.searches}
        self.stages = list(self._searches)
        self.finalists = {config.finalists_of(name): name for name in self.stages}
        flatness = [FLATNESS] if config.finalists.flatness else []
        repeat = [REPEAT] if config.evaluation.repeat_check else []
        self.finals = [BASELINES, *self.finalists, *flatness, TEST, *repeat]
        self.rungs = config.evaluation.rungs.documents if config.evaluation.rungs else []
        self.on_disk = config.evaluation.storage == "disk"
        self.caught_up = atomic.never_there(files.root / "caught-up")
        """Says that MLflow has caught up; not there when a workflow is planned, so that this is done."""
        self._jobs_that_scored = cache(jobs_that_scored)
        self.eras = cache(self._eras)

    def path(self, name: str) -> str:
        """Pattern of a file of a generation, with the wildcards `phase` and `gen`."""
        return f"{self.files.root}/{{phase}}/gen-{{gen}}/{name}"

    def task_files(self) -> list[str]:
        """Files of the user's tasks and functions: others mean other documents and other scores."""
        return sorted(map(str, measured_files(self.config.evaluation)))

    def before(self, name: str) -> Callable[[Any], str]:
        """File of the generation before the one in the wildcards `stage` and `gen`."""

        def of(wildcards: Any) -> str:
            files = self.files.phase(wildcards.stage).generation(int(wildcards.gen) - 1)
            return str(files.root / name)

        return of

    def parents_answers(self, wildcards: Any) -> list[str]:
        """What the parents scored, where the generation in the wildcards is the first that depends on it."""
        subsets = self.config.subsets_of(wildcards.stage)
        needed = subsets is not None and subsets.informative and int(wildcards.gen) == 1
        return self._entries(BASELINES) if needed else []

    def estimated_with(self, wildcards: Any) -> list[str]:
        """What estimates are made from, where those of the generation in the wildcards are told to a strategy."""
        subsets = self.config.subsets_of(wildcards.phase)
        if subsets is None or subsets.irt is None:
            return []
        earlier = self._searches[wildcards.phase].estimated_with(int(wildcards.gen))
        return [*self._entries(BASELINES), *self._entries(wildcards.phase, earlier)]

    def modelled(self, wildcards: Any) -> list[str]:
        """What a surrogate is fitted on that screens the generation in the wildcards, but the one before it."""
        stage = self._searches[wildcards.stage]
        files, numbers = self.files.phase(stage.name), stage.modelled(int(wildcards.gen) - 1)
        earlier = [files.generation(number) for number in numbers]
        return [str(path) for one in earlier for path in (one.population, one.outcomes)]

    def evaluated_of(self, wildcards: Any) -> list[str]:
        """The files that say that the generation in the wildcards is scored: on the documents of their rung, if any."""
        files, rung = self._generation(wildcards), getattr(wildcards, "rung", None)
        of_rung = None if rung is None else int(rung)
        return [str(files.evaluated(job, of_rung)) for job in range(self.jobs_of(wildcards))]

    def promoted(self, wildcards: Any) -> list[str]:
        """Who is scored on the documents of the rung in the wildcards, of the last one without any."""
        last = len(self.rungs) - 1 if wildcards.phase in self.stages else 0
        rung = int(getattr(wildcards, "rung", last))
        return [str(self._generation(wildcards).promotion(rung - 1))] if rung > 0 else []

    def decomposed(self, wildcards: Any) -> list[str]:
        """Says that task vectors are decomposed, where the stage in the wildcards has a method that needs it."""
        stage = self._searches.get(wildcards.phase)
        return [] if stage is None else self._decomposed(stage)

    def decomposed_before(self, wildcards: Any) -> list[str]:
        """The same of the last stage, for a rival in its space: what is kept of one is for both."""
        is_rival = self.config.is_rival(wildcards.stage)
        return self._decomposed(self.config.stages[-1]) if is_rival else []

    def _decomposed(self, stage: Stage) -> list[str]:
        """A stage of an earlier version, ranked without, goes on without: nothing that is done is planned again."""
        files = self.files.phase(stage.name)
        without = files.generation(0).outcomes.is_file() and not files.decomposed.is_file()
        return [str(files.decomposed)] if stage.decomposes and not without else []

    def jobs_of(self, wildcards: Any) -> int:
        """How many jobs the generation in the wildcards is split into."""
        return self._jobs_that_scored(self._generation(wildcards)) or self.config.evaluation.jobs

    def write_splits(self) -> None:
        """Tell the jobs of generations that keep another number of jobs than is configured."""
        found = ((one, self._jobs_that_scored(one)) for one in self._generations())
        now = self.config.evaluation.jobs
        write_splits(self.files, {one: jobs for one, jobs in found if jobs and jobs != now})

    def write_eras(self) -> None:
        """Tell later plans under which limits generations were drawn, where others are configured."""
        found = {name: self.eras(name) for name in self.stages}
        limits = {name: one.budget.limits for name, one in self._searches.items()}
        changed = {name: eras for name, eras in found.items() if eras != [(0, limits[name])]}
        write_eras(self.files, changed)

    def _eras(self, name: str) -> list[Era]:
        return eras_of(self.files, self.config, self._searches[name])

    def tracked_before(self, wildcards: Any) -> list[str]:
        """What is tracked before: MLflow's store is written by one job at a time."""
        mark, marks = str(self._generation(wildcards).tracked), self.tracked()
        index = marks.index(mark) if mark in marks else 0
        return marks[index - 1 : index] if index else []

    def searched_by(self, wildcards: Any) -> list[str]:
        """Ledger entries, all generations, of the stage whose finalists the wildcards name."""
        return self.outcomes(self.finalists[wildcards.finalists])

    def state_after(self, wildcards: Any) -> str:
        """State of that stage after its last generation."""
        stage = self._searches[self.finalists[wildcards.finalists]]
        return str(self.files.phase(stage.name).generation(stage.budget.generations).state)

    def outcomes(self, stage: str) -> list[str]:
        """Ledger entries of a stage, all generations."""
        return self._entries(stage, range(self._searches[stage].budget.generations))

    def all_outcomes(self) -> list[str]:
        """Ledger entries of all stages."""
        return [path for stage in self.stages for path in self.outcomes(stage)]

    def final_outcomes(self) -> list[str]:
        """Ledger entries of the finalists of all stages."""
        return [path for name in self.finalists for path in self._entries(name)]

    def models_before(self, wildcards: Any) -> list[str]:
        """Locks of the earlier stages' best models that the stage in the wildcards merges."""
        members = self._searches[wildcards.stage].members
        return [str(self.files.phase(name).best_lock) for name in members if name in self.stages]

    def rivalled(self, wildcards: Any) -> list[str]:
        """The first generation of the last stage, for rivals that have generations of its size."""
        stage = self._searches[wildcards.stage]
        if not self.config.is_rival(stage.name) or stage.strategy.population is not None:
            return []
        last = self.config.stages[-1]
        return [str(self.files.phase(last.name).generation(0).population)]

    def origins_of(self, wildcards: Any) -> list[str]:
        """Recipes from elsewhere that the stage in the wildcards begins with, or what names them."""
        stage = self._searches[wildcards.stage]
        return sorted(map(str, origin_files(self.files, self.config, stage)))

    def baselines_for(self, wildcards: Any) -> list[str]:
        """The scored baselines, for a stage that begins with one of them."""
        origins = self._searches[wildcards.stage].origins.values()
        return self._entries(BASELINES) if any(one.is_baseline for one in origins) else []

    def finalists_before(self, wildcards: Any) -> list[str]:
        """The scored finalists of the stage in the wildcards."""
        return self._entries(self.config.finalists_of(wildcards.stage))

    def front(self) -> list[str]:
        """The Pareto front, where there are several objectives."""
        return [str(self.files.front)] if len(self.config.evaluation.objectives) > 1 else []

    def repeat(self) -> list[str]:
        """What models of the final table scored again, where some are to be."""
        return self._entries(REPEAT) if REPEAT in self.finals else []

    def flatness(self) -> list[str]:
        """The scored neighbours of the winner, where there are to be some."""
        return self._entries(FLATNESS) if FLATNESS in self.finals else []

    def tracked(self) -> list[str]:
        """Marks of everything that goes to MLflow."""
        return [str(generation.tracked) for generation in self._generations()]

    def behind(self) -> str:
        """What MLflow has still to be told of, in words; nothing where it has all."""
        if not self.config.tracking.enabled:
            return ""
        return untold(self.files, len(pending(self.files, self.config)))

    def _generation(self, wildcards: Any) -> GenerationFiles:
        """The generation in the wildcards `phase` and `gen`."""
        return self.files.phase(wildcards.phase).generation(int(wildcards.gen))

    def _generations(self) -> list[GenerationFiles]:
        """All that are scored, phase by phase."""
        return [
            self.files.phase(name).generation(g)
            for name in self.config.phases
            for g in range(self._searches[name].budget.generations if name in self.stages else 1)
        ]

    def _entries(self, phase: str, generations: Iterable[int] = (0,)) -> list[str]:
        """Ledger entries of a phase; of its first generation, which is the only one of most, if none are named."""
        files = self.files.phase(phase)
        return [str(files.generation(number).outcomes) for number in generations]

    def stage_key(self, name: str, generation: int = 0) -> str:
        """Digest of what a stage's generation depends on, those of the stages it merges included."""
        stage = self._searches[name]
        content = stage.model_dump(mode="json")
        *_, era = (one for one in self.eras(name) if one.since <= generation)
        content["budget"] = era.limits
        known = {"before": {one: self.stage_key(one) for one in self.stages_before(name)}}
        named = {one.baseline for one in stage.origins.values() if one.is_baseline}
        if (subsets := self.config.subsets_of(name)) is not None and subsets.irt is not None:
            named.add(SHARED)
        if named:
            every = {one.name for one in self.config.baselines}
            known["baselines"] = {"key": self.baselines_key(every if SHARED in named else named)}
        return self._key(
            seed=self.config.seed, stage=content, **{key: one for key, one in known.items() if one}
        )

    def stages_before(self, name: str) -> list[str]:
        """The earlier stages whose results a stage merges or begins with."""
        stage = self._searches[name]
        needed = dict.fromkeys([*stage.members, *stage.starts_from])
        return [one for one in needed if one in self.stages]

    def selected_key(self, wildcards: Any) -> str:
        """The same of the generation in the wildcards `stage` and `gen`."""
        return self.stage_key(wildcards.stage, int(wildcards.gen))

    def shard_key(self, wildcards: Any) -> str:
        """Digest of what a job's shard of the generation in the wildcards, and its scores, depend on."""
        return self.evaluation_key(jobs=self.jobs_of(wildcards))

    def items_key(self) -> str:
        """Digest of what the documents depend on.

        Like those of shards it has a number of jobs in it, which is then the one that the first ranked
        generation was split into: documents are divided, and what follows is done, once.
        """
        first = [self.files.phase(name).generation(0) for name in (*self.stages, *self.finals)]
        ranked = [files for files in first if files.outcomes.is_file()]
        oldest = min(ranked, key=lambda files: files.outcomes.stat().st_mtime_ns, default=None)
        jobs = None if oldest is None else self._jobs_that_scored(oldest)
        return self.evaluation_key(jobs=jobs or self.config.evaluation.jobs)

    def evaluation_key(self, *, jobs: int = 1) -> str:
        """Digest of what scores depend on, and of the number of jobs that they are shared out to."""
        evaluation = self.config.evaluation
        content = {**evaluation.with_goals().model_dump(mode="json"), "jobs": jobs}
        content.pop("repeat_check", None)  # changes no score
        without = {"resident", "storage"}
        if not evaluation.document_keys:
            without.add("document_keys")
        if evaluation.backend == "transformers":
            without |= {"backend", "vllm"}
        if evaluation.backend == "transformers" or evaluation.device == "cuda":
            without.add("threads")  # vLLM once ran on processors, too: keys of its runs stay
        if content["date"] is None or not evaluation.apply_chat_template:
            without.add("date")
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
        bases = sorted(self.config.common_bases)
        return self._key(parents=parents, vocabulary=vocabulary.model_dump(), bases=bases)

    def baselines_key(self, names: AbstractSet[str | None] | None = None) -> str:
        """Digest of what the recipes of baselines depend on: of all that a run scores, or of some."""
        stage = self.config.stages[0]
        return self._key(
            baselines=[
                baseline.model_dump(mode="json")
                for baseline in self.config.baselines
                if names is None or baseline.name in names
            ],
            parents=stage.parents,
            base=stage.base,
            dtype=stage.space.dtype,
            tokenizer=getattr(stage.space, "tokenizer", None),
            mask_seed=getattr(stage.space, "mask_seed", None),
            later=[[*later.parents, later.base] for later in self.config.stages[1:]]
            if names is None
            else [],
            seed=self.config.seed,
        )

    def finalists_key(self) -> str:
        """Digest of how finalists are chosen."""
        without = {"flatness"}
        if self.config.finalists.preference is None:
            without.add("preference")
        return self._key(finalists=self.config.finalists.model_dump(mode="json", exclude=without))

    def repeat_key(self) -> str:
        """Digest of how many models are scored again."""
        return self._key(repeat=self.config.evaluation.repeat_check)

    def flatness_key(self) -> str:
        """Digest of how neighbours of the winner are drawn."""
        flatness = self.config.finalists.flatness
        content = None if flatness is None else flatness.model_dump(mode="json")
        return self._key(flatness=content, seed=self.config.seed)

    def tracking_key(self) -> str:
        """Digest of where runs are tracked."""
        return self._key(tracking=self.config.tracking.model_dump(mode="json"))

    @staticmethod
    def _key(**content: Any) -> str:
        return digest(content)[:16]
