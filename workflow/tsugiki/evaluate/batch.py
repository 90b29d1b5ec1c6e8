"""A job's share of a generation: build, score and record each candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from tsugiki import atomic
from tsugiki.canonical import digest, digest_bytes, digest_file, pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import CandidateFiles, GenerationFiles, RunFiles, SeriesFiles
from tsugiki.contracts.ledger import evaluation_of, read_population, require_one_evaluation
from tsugiki.contracts.outcome import OUTCOME, Failed, Scored
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.evaluate.backends import Candidates, open_backend, require_backend
from tsugiki.evaluate.chat_template import chat_identity
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.items import ItemSets, read_items
from tsugiki.evaluate.materialized import read_weights_digest
from tsugiki.evaluate.meanwhile import one_after_another
from tsugiki.evaluate.score import Evaluated, score
from tsugiki.evaluate.share import read_split, share_of
from tsugiki.parents.run_models import models_of


class Evaluator:
    """Scores shares of generations; holds parents and tasks in memory between them."""

    _model: Candidates

    def __init__(self, files: RunFiles, config: RunConfig, *, job: int) -> None:
        torch.set_num_threads(config.evaluation.threads)
        self._files = files
        self._job = job
        self._evaluators = Evaluators(config.evaluation)
        require_backend(self._evaluators)
        self._items = read_items(files.items)
        self._config = dated(config, self._items)
        self._digests: dict[str, str] | None = None

    def evaluate(
        self,
        series: str,
        generation: int,
        *,
        say: Callable[[str], None] = print,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Score this job's share of a generation.

        A candidate that has been scored before, by the same evaluation, is not scored again. The
        job's file is written last: it exists only if every candidate of the share has an outcome.

        Args:
            series: Stage name, series of its finalists, or `baselines`, `test`.
            generation: Its number.
            say: Takes a line for every candidate, once its outcome is on the disk.
            go_on: Asked before each candidate; the work is left as it is when it says no.

        Raises:
            LineageError: another evaluation scored the stage until now.
        """
        self._hold_models_of(series)
        series_files = self._files.series(series)
        files = series_files.generation(generation)
        population = read_population(files.population)
        population_bytes = files.population.read_bytes()
        chats = self._chats(population, series_files)
        identity = evaluation_identity(
            self._evaluators, self._items, population, self._model, chats
        )
        if self._config.stage(series) is not None:  # before anything recorded is scored anew
            before = evaluation_of(series_files)
            require_one_evaluation([identity], before, where=str(files.root))
        jobs = read_split(self._files, files, self._config.evaluation.jobs)
        mine = share_of(population, self._job, jobs)
        recipes = {one: read_recipe(series_files.candidate(one).recipe) for one in mine}
        order = self._in_groups(recipes)
        known = {one: known_outcome(series_files.candidate(one), identity) for one in order}
        following = dict(pairwise(one for one in order if known[one] is None))
        with one_after_another() as meanwhile:
            for index, one in enumerate(order, start=1):
                if not go_on():
                    return
                candidate = series_files.candidate(one)
                outcome: Evaluated | Scored | Failed | None = known[one]
                if outcome is None:
                    written = files.weights(self._job) / candidate.root.name
                    outcome = score(
                        partial(
                            self._build, recipes[one], written, recipes.get(following.get(one, ""))
                        ),
                        self._evaluators,
                        recipe=one,
                        ids=self._items.ids(population.split),
                        evaluation=identity,
                        hardware=self._model.hardware,
                        prompts=population.split == "test",
                    )
                place = f"[{index}/{len(mine)}] {one[:12]}"
                meanwhile(partial(_note, candidate, outcome, place, say))
        finish(files, series_files, self._job, population_bytes, mine)

    def _in_groups(self, recipes: Mapping[str, AnyRecipe]) -> list[str]:
        """The same recipes, those together that the backend builds more cheaply so."""
        groups: dict[str, list[str]] = {}
        for digest_of_recipe, recipe in recipes.items():
            groups.setdefault(self._model.group(recipe), []).append(digest_of_recipe)
        return [recipe for members in groups.values() for recipe in members]

    def _chats(self, population: Population, series: SeriesFiles) -> dict[str, Any]:
        """What the chat templates of a population's models add to its identity."""
        evaluation = self._config.evaluation
        if not evaluation.apply_chat_template:
            return {}
        recipes = (
            read_recipe(series.candidate(one.recipe).recipe) for one in population.candidates
        )
        owners = sorted({recipe.tokenizer for recipe in recipes})
        return chat_identity([self._folders[owner] for owner in owners], evaluation.date)

    def _hold_models_of(self, series: str) -> None:
        """Keep the models in memory as long as a series is made from the same ones."""
        models = models_of(self._files, self._config, series)
        self._folders = models.folders
        if models.digests != self._digests:
            before = None if self._digests is None else self._model
            self._model = open_backend(models, self._config, job=self._job, before=before)
            self._digests = models.digests

    def _build(self, recipe: AnyRecipe, written: Path, following: AnyRecipe | None) -> Any:
        """Make a recipe's model, and have the next one begun where that goes on beside it."""
        match self._config.evaluation.storage:
            case "disk":
                return self._model.read(recipe, written, read_weights_digest(written))
            case "scratch":
                return self._model.build_through_scratch(recipe)
            case "memory":
                built = self._model.build(recipe)
                if following is not None:
                    self._model.begin(following)
                return built


def evaluation_identity(
    evaluators: Evaluators,
    items: ItemSets,
    population: Population,
    model: Candidates,
    chats: Mapping[str, Any],
) -> str:
    """Digest of everything, but the recipe, that determines an outcome."""
    computed = dict(model.identity)
    if items.version == 1:
        computed.pop("threads", None)  # not named then, and such a run goes on
    return digest(
        {
            **evaluators.identity(),
            "items": items.digest(population.split),
            **computed,
            **chats,
        }
    )


def dated(config: RunConfig, items: ItemSets) -> RunConfig:
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


def _note(
    candidate: CandidateFiles,
    known: Evaluated | Scored | Failed,
    place: str,
    say: Callable[[str], None],
) -> None:
    """Write what is new, and say what there is."""
    if isinstance(known, Evaluated):
        record(candidate, known)
        known = known.outcome
    say(f"{place} {describe(known)}")


def record(candidate: CandidateFiles, evaluated: Evaluated) -> None:
    """Write a candidate's files, the outcome last, which holds the digest of the records."""
    if evaluated.items is not None:
        atomic.write_bytes(candidate.items, evaluated.items, synced=False)
    atomic.write_bytes(candidate.cost, pretty_json(evaluated.cost), synced=False)
    atomic.write_bytes(candidate.outcome, pretty_json(evaluated.outcome.model_dump(mode="json")))


def finish(
    files: GenerationFiles, series: SeriesFiles, job: int, population: bytes, recipes: list[str]
) -> None:
    """Write the file that says that a share is done."""
    content = {
        "population": digest_bytes(population),
        "outcomes": {recipe: digest_file(series.candidate(recipe).outcome) for recipe in recipes},
    }
    atomic.write_bytes(files.evaluated(job), pretty_json(content))


def describe(outcome: Scored | Failed) -> str:
    """One line about an outcome."""
    if isinstance(outcome, Failed):
        return f"failed ({outcome.kind}): {outcome.reason.splitlines()[0]}"
    scores = [f"{name} {one.value:.4f}" for name, one in sorted(outcome.measured.items())]
    if "cut" in outcome.rates:
        scores.append(
            f"{outcome.rates['cut']:.0%} of the prompts cut: longer than the model can read"
        )
    return "  ".join(scores)
