"""A job's shard of a generation: build, score and record each candidate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import ValidationError

from tsugiki import atomic
from tsugiki.canonical import digest, digest_bytes, digest_file, pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.contracts.document_sets import DocumentSets, read_document_sets
from tsugiki.contracts.layout import CandidateFiles, GenerationFiles, PhaseFiles, RunFiles
from tsugiki.contracts.ledger import (
    evaluation_of,
    read_population,
    require_one_evaluation,
)
from tsugiki.contracts.outcome import OUTCOME, Failed, Scored, read_cost
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, read_recipe
from tsugiki.contracts.rungs import left_at
from tsugiki.contracts.samples import read_samples, rows_again
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.backends import Candidates, open_backend, require_backend
from tsugiki.evaluate.chat import GENERATION, decides_ends, open_chat
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.materialized import read_weights_digest
from tsugiki.evaluate.rungs import Ids, documents_by_rung
from tsugiki.evaluate.score import Earlier, Evaluated, Own, score
from tsugiki.evaluate.shards import read_split, shard_of
from tsugiki.merge.write import write_merge
from tsugiki.parents.run_models import RunModels, models_of


class ShardEvaluator:
    """Scores shards of generations; holds parents and tasks in memory between them.

    Args:
        files: The run's.
        config: Its configuration.
        job: Number of the job whose shards it scores, if not told otherwise, and of the GPU among those that it sees.
    """

    _models: RunModels
    _model: Candidates

    def __init__(self, files: RunFiles, config: RunConfig, *, job: int) -> None:
        torch.set_num_threads(config.evaluation.threads)
        self._files = files
        self._job = job
        self._evaluators = Evaluators(config.evaluation)
        require_backend(self._evaluators)
        self._items = read_document_sets(files.items)
        self._evaluators.expected = self._items.hashes()
        self._config = dated(config, self._items)
        self._digests: dict[str, str] | None = None

    def evaluate(
        self,
        phase: str,
        generation: int,
        *,
        job: int | None = None,
        rung: int | None = None,
        only: Collection[str] | None = None,
        log: Callable[[str], None] = print,
        should_continue: Callable[[], bool] = lambda: True,
    ) -> None:
        """Score a job's shard of a generation.

        A candidate that has been scored before, by the same evaluation, is not scored again. The
        job's file is written last: it exists only if every candidate of the shard has an outcome.

        Args:
            phase: Stage name, phase of its finalists, or `baselines`, `test`.
            generation: Its number.
            job: The job's number; that of this evaluator if absent.
            rung: Number of a rung before the last: score the candidates that reached it, on its documents. If absent, all
                documents (with rungs, of the last one).
            only: Digests of the recipes of the shard to score; all of them if absent.
            log: Takes a line for every candidate, once its outcome is on the disk.
            should_continue: Called before each candidate; the shard is left unfinished when it returns False.

        Raises:
            ConfigError: there is no such rung.
            LineageError: the stage was scored by another evaluation before, or it has not been decided yet which
                candidates reached the rung.
        """
        self._hold_models_of(phase)
        job = self._job if job is None else job
        phase_files = self._files.phase(phase)
        files = phase_files.generation(generation)
        population = read_population(files.population)
        population_bytes = files.population.read_bytes()
        rungs = documents_by_rung(
            self._config,
            self._items,
            phase,
            population.split,
            generation,
            population.left_out,
        )
        number, documents = _step(rungs, rung)
        own = self._config.own_documents(phase, generation)
        identity = self._identity(population, phase_files, rungs)
        if self._config.stage(phase) is not None:  # before anything recorded is scored anew
            before = evaluation_of(phase_files)
            require_one_evaluation([identity], before, where=str(files.root))
        jobs = read_split(self._files, files, self._config.evaluation.jobs)
        mine = shard_of(population, job, jobs)
        if only is not None:
            mine = [one for one in mine if one in only]
        left = left_at(files, range(number))
        asked_by = _generations(phase_files, mine, generation) if own is not None else {}
        recipes = {
            one: read_recipe(phase_files.candidate(one).recipe) for one in mine if one not in left
        }
        for index, one in enumerate(self._in_groups(recipes), start=1):
            if not should_continue():
                return
            candidate = phase_files.candidate(one)
            place = candidate.of(own).at(rung)
            outcome = known_outcome(place, identity)
            if outcome is None:
                ids, times = documents, asked_by.get(one, [])
                earlier = None
                if number:
                    earlier = self._earlier(files, candidate.at(number - 1), identity)
                elif times:
                    earlier = self._of_generations(phase_files, candidate, times, identity)
                    ids = _unasked(ids, earlier)
                written = files.weights(job) / candidate.root.name
                evaluated = score(
                    partial(self._build, recipes[one], written),
                    self._evaluators,
                    recipe=one,
                    ids=ids,
                    evaluation=identity,
                    prompts=population.split == "test",
                    part=rung
                    if own is None
                    else Own(documents, len(times) + 1, population.left_out or {}),
                    earlier=earlier,
                )
                record(place, evaluated, self._model.hardware, population.generation)
                outcome = evaluated.outcome
            log(f"[{index}/{len(recipes)}] {one[:12]} {describe(outcome)}")
        places = {one: phase_files.candidate(one).of(own).at(left.get(one, rung)) for one in mine}
        if rung is not None:
            places = {one: place for one, place in places.items() if one in recipes}
        finish(files.evaluated(job, rung), population_bytes, places)

    def _earlier(self, files: GenerationFiles, place: CandidateFiles, identity: str) -> Earlier:
        """What came of a candidate on the documents of the rung before, or of a generation.

        Raises:
            LineageError: its record is damaged, or another evaluation made it. The marks that the
                generation is scored are removed: the next run looks at each candidate again.
        """
        outcome = known_outcome(place, identity)
        if not isinstance(outcome, Scored):
            for mark in files.all_evaluated():
                mark.unlink(missing_ok=True)
            raise LineageError(
                "what a candidate scored on the rung before cannot be used"
                if place.root.name.startswith("rung-")
                else "what a candidate scored in an earlier generation cannot be used",
                where=str(place.outcome),
                expected=f"a score by evaluation {identity}, and the record that it names",
                fix="give the same command again: what is not as it should be is scored anew",
            )
        tasks = {one.name: one.task for one in self._evaluators.objectives}
        cost = read_cost(place.cost)
        return Earlier(
            outcome,
            rows_again(read_samples(place.items), tasks),
            {} if cost is None else cost.model_dump(mode="json"),
        )

    def _of_generations(
        self,
        phase: PhaseFiles,
        candidate: CandidateFiles,
        generations: Sequence[int],
        identity: str,
    ) -> Earlier | None:
        """What came of a candidate on the documents of earlier generations, each of them once.

        None if it failed: then it is tried anew.

        Raises:
            LineageError: a record is damaged, or another evaluation made it.
        """
        found: list[Earlier] = []
        for generation in generations:
            place = candidate.of(generation)
            if isinstance(known_outcome(place, identity), Failed):
                continue
            found.append(self._earlier(phase.generation(generation), place, identity))
        rows = {(row["objective"], row["doc_id"]): row for earlier in found for row in earlier.rows}
        return Earlier(found[-1].outcome, list(rows.values()), {}) if found else None

    def _identity(self, population: Population, phase: PhaseFiles, rungs: Sequence[Ids]) -> str:
        """Digest of everything, but the recipe, that determines the outcomes of a population.

        It is the same for all rungs of a generation, and for all generations: which of them an outcome is of,
        it says itself, or its place.
        """
        computed = dict(self._model.identity)
        if self._items.version == 1:
            computed.pop("threads", None)  # not named then, and such a run goes on
        drawn: dict[str, Any] = {}
        subsets = self._config.subsets_of(population.phase)
        if subsets is not None:
            how = {"informative": True} if subsets.informative else {}
            size, seed = subsets.per_generation, self._config.seed
            drawn = {"subsets": {"size": size, "seed": seed, "stage": population.phase, **how}}
        elif list(rungs) != [self._items.ids(population.split)]:
            drawn = {"rungs": list(rungs)}
        recipes = [read_recipe(phase.candidate(one.recipe).recipe) for one in population.candidates]
        owners = {recipe.owner for recipe in recipes}
        paths = {recipe.owner for recipe in recipes if isinstance(recipe, DataflowRecipe)}
        trusted = self._config.trusted
        if any(decides_ends(self._models.folders[name], trust=name in trusted) for name in paths):
            computed["ends_of_paths"] = GENERATION  # once they ended by config.json alone
        return digest(
            {
                **self._evaluators.identity(),
                "items": self._items.digest(population.split),
                **computed,
                **self._chat.identity(
                    self._config, {name: self._models.folders[name] for name in owners}
                ),
                **drawn,
            }
        )

    def _in_groups(self, recipes: Mapping[str, AnyRecipe]) -> list[str]:
        """Digests of recipes, those together that the backend builds more cheaply so."""
        groups: dict[str, list[str]] = {}
        for digest_of_recipe, recipe in recipes.items():
            groups.setdefault(self._model.group(recipe), []).append(digest_of_recipe)
        return [recipe for members in groups.values() for recipe in members]

    def _hold_models_of(self, phase: str) -> None:
        """Keep the models in memory as long as a phase is made from the same ones."""
        models = models_of(self._files, self._config, phase)
        if self._digests != models.digests:
            before = None if self._digests is None else self._model
            parents = {name: models.folders[name] for name in self._config.parents}
            self._chat = open_chat(self._config, parents)
            self._model = open_backend(
                models, self._config, job=self._job, before=before, chat=self._chat
            )
        self._models, self._digests = models, models.digests

    def _build(self, recipe: AnyRecipe, written: Path) -> Any:
        """Make a recipe's model, by way of what `storage` says."""
        match self._config.evaluation.storage:
            case "disk":
                return self._model.read(recipe, written, read_weights_digest(written))
            case "scratch":  # needs a disk for one model, and no memory for the merge
                threads = self._config.evaluation.threads
                with TemporaryDirectory(prefix="tsugiki-") as scratch:
                    folder = Path(scratch) / "model"
                    given = (recipe, self._models.folders, self._models.digests)
                    kept = self._models.decompositions
                    weights = write_merge(*given, folder, decompositions=kept, threads=threads)
                    return self._model.read(recipe, folder, weights)
            case "memory":
                return self._model.build(recipe)


def _step(rungs: Sequence[Ids], rung: int | None) -> tuple[int, Ids]:
    """The number of a rung, or of the last one, and its documents that no rung before had, by task."""
    number = len(rungs) - 1 if rung is None else rung
    if not 0 <= number < len(rungs) - (rung is not None):
        raise ConfigError(f"there is no rung {rung} before the last one", where="evaluation.rungs")
    if not number:
        return 0, rungs[0]
    before = rungs[number - 1]
    new = {
        task: sorted(set(ids) - set(before.get(task, ()))) for task, ids in rungs[number].items()
    }
    return number, {task: ids for task, ids in new.items() if ids}


def _generations(phase: PhaseFiles, recipes: Sequence[str], before: int) -> dict[str, list[int]]:
    """Which generations before one asked each recipe that came already, in their order."""
    found: dict[str, list[int]] = {}
    for number in range(before):
        drawn = read_population(phase.generation(number).population).candidates
        for recipe in {one.recipe for one in drawn} & set(recipes):
            found.setdefault(recipe, []).append(number)
    return found


def _unasked(ids: Ids, earlier: Earlier | None) -> Ids:
    """Those documents that a candidate was not asked earlier."""
    if earlier is None:
        return ids
    asked = {(row["task"], row["doc_id"]) for row in earlier.rows}
    new = {
        task: [one for one in of_task if (task, one) not in asked] for task, of_task in ids.items()
    }
    return {task: of_task for task, of_task in new.items() if of_task}


def dated(config: RunConfig, items: DocumentSets) -> RunConfig:
    """A configuration with the date that the run's items were divided for."""
    if items.date is None:
        return config
    evaluation = config.evaluation.model_copy(update={"date": items.date})
    return config.model_copy(update={"evaluation": evaluation})


def known_outcome(candidate: CandidateFiles, identity: str) -> Scored | Failed | None:
    """A candidate's outcome, if it is whole and of the same evaluation."""
    try:
        outcome = OUTCOME.validate_json(candidate.outcome.read_bytes())
        if isinstance(outcome, Scored) and digest_file(candidate.items) != outcome.records:
            return None
    except (OSError, ValidationError):
        return None
    return outcome if outcome.evaluation == identity else None


def record(candidate: CandidateFiles, evaluated: Evaluated, device: str, generation: int) -> None:
    """Write a candidate's files, the outcome last, which holds the digest of the records."""
    cost = {**evaluated.cost, "device": device, "generation": generation}
    if evaluated.items is not None:
        atomic.write_bytes(candidate.items, evaluated.items, synced=False)
    atomic.write_bytes(candidate.cost, pretty_json(cost), synced=False)
    atomic.write_bytes(candidate.outcome, evaluated.outcome.to_json())


def finish(mark: Path, population: bytes, places: Mapping[str, CandidateFiles]) -> None:
    """Write the mark of a finished shard: digests of its population and of the outcome of each recipe."""
    content = {
        "population": digest_bytes(population),
        "outcomes": {recipe: digest_file(place.outcome) for recipe, place in places.items()},
    }
    atomic.write_bytes(mark, pretty_json(content))


def describe(outcome: Scored | Failed) -> str:
    """One line about an outcome."""
    if isinstance(outcome, Failed):
        return f"failed ({outcome.kind}): {outcome.reason.splitlines()[0]}"
    scores = [f"{name} {one.value:.4f}" for name, one in sorted(outcome.measured.items())]
    if "cut" in outcome.rates:
        scores.append(
            f"{outcome.rates['cut']:.0%} of the prompts cut: longer than the model can read"
        )
    if "unclosed" in outcome.rates:
        scores.append(
            f"{outcome.rates['unclosed']:.0%} of the answers did not close their thinking"
        )
    return "  ".join(scores)
