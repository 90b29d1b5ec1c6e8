"""MLflow as a projection of the ledger: it can be thrown away and written again.

A phase is a parent run; each of its candidates is a nested run. Nothing is read back from it.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tsugiki.canonical import canonical_json, digest_file
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace
from tsugiki.contracts.layout import TEST, RunFiles
from tsugiki.contracts.ledger import Entry, entries, read_generation
from tsugiki.contracts.outcome import Cost, read_cost
from tsugiki.contracts.population import Candidate
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import InfrastructureError, LineageError
from tsugiki.progress.diagnosis import Diagnosis, diagnose
from tsugiki.progress.summary import Summary, decided_objectives, summarise
from tsugiki.tracking.marks import (
    PENDING,
    mark,
    mark_result,
    mark_untold,
    pending,
    result_is_pending,
    result_is_there,
    untold,
)
from tsugiki.tracking.records import (
    PREFIX,
    Record,
    candidate_record,
    data_sets,
    generation_metrics,
    milliseconds,
    source_tags,
)
from tsugiki.tracking.store import (
    open_experiment,
    open_store,
    own_artifacts,
    retire_experiment,
    store_has_moved,
    tracking_uri,
)
from tsugiki.tracking.winner import forget, register_winner

PARAMS_A_CALL = 100
"""MLflow takes no more parameters at once."""
RUNS_A_SEARCH = 10_000
DONE = ("FINISHED", "FAILED")

Generations = Sequence[tuple[str, int]]
"""Phases and numbers, in the ledger's order."""


def track_generation(
    files: RunFiles, phase: str, generation: int, config: RunConfig, *, log: Callable[[str], None]
) -> None:
    """Log a scored generation and all others that MLflow has still to be told of; mark them in tracked.json.

    Doing it again changes nothing. A store that was moved with its folder is rebuilt as a whole. If MLflow or its
    store fails, the generation is marked as pending, and the search goes on: the next call tries again.

    Args:
        files: The run's files.
        phase: The generation's phase.
        generation: Its number.
        config: The run's configuration.
        log: Takes a line, when MLflow begins to lag behind and when it has caught up.

    Raises:
        LineageError: the generation is not scored yet, or its files are damaged.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    tracking_uri(files, config)
    scored = files.phase(phase).generation(generation)
    if not scored.outcomes.is_file():
        raise LineageError(
            "only a scored generation can be tracked",
            where=str(scored.root),
            fix="let the workflow score it first",
        )
    read_generation(scored.outcomes)
    if not config.tracking.enabled:
        mark(scored, state=False)
        return
    mark(scored, PENDING)
    _catch_up_or_say(files, config, pending(files, config), log=log)


def track_result(files: RunFiles, config: RunConfig, *, log: Callable[[str], None]) -> None:
    """Log the winner as a model, with report and figures, as `track_generation` does a generation.

    Args:
        files: The run's files.
        config: The run's configuration.
        log: Takes a line, when MLflow begins to lag behind and when it has caught up.

    Raises:
        LineageError: the run has no result yet, or its files are damaged.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    tracking_uri(files, config)
    if not result_is_there(files):
        raise LineageError(
            "there is no result to track yet",
            where=str(files.root),
            expected="final.json, best/recipe.json and report.html",
            fix="let the workflow come to its end first",
        )
    mark_result(files, PENDING if config.tracking.enabled else False)
    if config.tracking.enabled:
        _catch_up_or_say(files, config, pending(files, config), log=log)


def _catch_up_or_say(
    files: RunFiles, config: RunConfig, those: Generations, *, log: Callable[[str], None]
) -> None:
    missing, words = len(those) + result_is_pending(files), untold(files, len(those))
    try:
        _catch_up(files, config, those)
    except InfrastructureError as error:
        logging.getLogger(__name__).warning("not tracked", exc_info=True)
        if missing == 1:  # and not again for each of those that follow
            reason = error.got or error.what
            log(f"MLflow lags behind, the search goes on: {reason}")
    else:
        if missing > 1:
            log(f"MLflow has caught up: {words}")


def catch_up(files: RunFiles, config: RunConfig) -> None:
    """Log all generations that MLflow does not have as they are now.

    Raises:
        InfrastructureError: MLflow or its store fails; what was logged before is marked as such.
        LineageError: the ledger's files are damaged.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    mark_untold(files, config)
    _catch_up(files, config, pending(files, config))


def rebuild(files: RunFiles, config: RunConfig) -> None:
    """Remove what MLflow has of this run and log the whole ledger again.

    Raises:
        InfrastructureError: MLflow or its store fails; `catch_up` goes on where this ended.
        LineageError: the ledger's files are damaged.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    with open_store(files, config) as client:
        _clear(client, files, config)
        _log(client, files, config, pending(files, config))


def _catch_up(files: RunFiles, config: RunConfig, those: Generations) -> None:
    with open_store(files, config) as client:
        if store_has_moved(client, files, config):
            _clear(client, files, config)
            those = pending(files, config)
        _log(client, files, config, those)


def _clear(client: Any, files: RunFiles, config: RunConfig) -> None:
    """Remove what MLflow has of this run, once it is marked that all of it has to be told again."""
    mark_untold(files, config, all_of_them=True)
    if store_has_moved(client, files, config):
        retire_experiment(client, config)
    _Projection(client, files, config).clear()
    if config.tracking.uri is None:
        shutil.rmtree(own_artifacts(files), ignore_errors=True)


def _log(client: Any, files: RunFiles, config: RunConfig, those: Generations) -> None:
    projection = _Projection(client, files, config)
    for phase, of_phase in itertools.groupby(those, key=lambda one: one[0]):
        history = list(entries(files.phase(phase)))
        # once for all of them: each follows from the one before
        courses = summarise(
            [one.outcomes for one in history if one.outcomes is not None],
            decided_objectives(files, config),
            config.stage(phase),
        )
        course_of = {course.number: course for course in courses}
        for _, number in of_phase:
            before = history[number - 1] if number else None
            projection.log(phase, history[number], before, course_of[number])
            mark(history[number].files, state=True)
    if result_is_pending(files):
        projection.log_result()
        mark_result(files, state=True)


@dataclass(frozen=True)
class _Projection:
    """An open store, and the run whose ledger is written to it."""

    client: Any
    files: RunFiles
    config: RunConfig

    @cached_property
    def experiment(self) -> str:
        """Id of the run's experiment, which is made if need be."""
        return open_experiment(self.client, self.files, self.config)

    def clear(self) -> None:
        """Delete the run's records, and no other run's."""
        forget(self.client, self.experiment, self.config.name)
        for run in self._search():
            self.client.delete_run(run.info.run_id)

    def log_result(self) -> None:
        """Register the winner, and attach the report to its phase and to the last stage's.

        Raises:
            InfrastructureError: MLflow does not have the winner's run.
        """
        winners = self._search(role="candidate", series=TEST, **{"origin.kind": "evolved"})
        if not winners:
            raise InfrastructureError(
                "MLflow does not have the winner's scores",
                where=self.config.tracking.uri or str(self.files.root),
                fix="`tsugiki track --rebuild` with the configuration writes all anew",
            )
        recipe = winners[0].data.tags[f"{PREFIX}.recipe"]
        tags = {"run": self.config.name, "recipe": recipe, "final": digest_file(self.files.final)}
        own = {f"{PREFIX}.{key}": value for key, value in tags.items()}
        model = register_winner(self.client, self.experiment, self.files, winners[0], own)
        for phase in (self.config.stages[-1].name, TEST):
            for run in self._search(role="series", series=phase):
                self.client.set_tag(run.info.run_id, f"{PREFIX}.model", model)
                self.client.log_artifact(run.info.run_id, str(self.files.report))
                figures = self.files.figure("").parent
                if figures.is_dir():
                    self.client.log_artifacts(run.info.run_id, str(figures), "figures")

    def log(self, phase: str, entry: Entry, before: Entry | None, summary: Summary) -> None:
        """Log a generation."""
        folder = self.files.phase(phase)
        own = self.config.own_documents(phase, entry.number)
        costs = {
            candidate.recipe: read_cost(folder.candidate(candidate.recipe).of(own).cost)
            for candidate in entry.population.candidates
        }
        known = [cost for cost in costs.values() if cost is not None]
        end = max((cost.finished for cost in known), default=datetime.fromtimestamp(0, UTC))
        start = min((cost.started for cost in known), default=end)
        inputs = data_sets(self.files, entry.population.split)
        parent = self._phase_run(phase, start, inputs)
        if entry.number == 0 or phase == TEST:
            its = self.files
            once = (its.config, its.parents, its.items, its.environment, its.final, its.front)
            self._attach(parent, *once)
        if entry.population.candidates:
            spent = [cost for cost in known if cost.generation in (None, entry.number)]
            diagnosis = self._diagnosis(phase, [entry] if before is None else [before, entry])
            metrics = generation_metrics(summary, spent, diagnosis)
            self._log(parent, metrics, milliseconds(end), entry.number)
            self._log_candidates(parent, phase, entry, costs, end, inputs)
        if self._is_last(phase, entry):
            self.client.set_terminated(parent, status="FINISHED", end_time=milliseconds(end))

    def _diagnosis(self, phase: str, latest: Sequence[Entry]) -> Diagnosis | None:
        if (stage := self.config.stage(phase)) is None:
            return None
        objectives = decided_objectives(self.files, self.config)
        return diagnose(self.files.phase(phase), stage, latest, objectives)[-1]

    def _log_candidates(
        self,
        parent: str,
        phase: str,
        entry: Entry,
        costs: Mapping[str, Cost | None],
        end: datetime,
        inputs: Sequence[Any],
    ) -> None:
        place = {"role": "candidate", "series": phase, "generation": str(entry.number)}
        present = {run.data.tags.get(f"{PREFIX}.candidate"): run for run in self._search(**place)}
        for candidate, result in zip(entry.population.candidates, entry.ranked, strict=True):
            recipe = read_recipe(self.files.phase(phase).candidate(candidate.recipe).recipe)
            record = candidate_record(candidate, result, recipe, costs[candidate.recipe], end)
            run = present.pop(candidate.id, None)
            if run is not None and run.info.status in DONE and _same(run, record):
                continue
            if run is not None:  # of another outcome, or cut off: what it has cannot be changed
                self.client.delete_run(run.info.run_id)
            made = self._create(record.name, record.tags, record.started, parent, **place)
            self.client.log_inputs(made, inputs)
            self._log_candidate(made, phase, candidate, record, entry.number)
        for run in present.values():
            self.client.delete_run(run.info.run_id)

    def _log_candidate(
        self, run: str, phase: str, candidate: Candidate, record: Record, step: int
    ) -> None:
        from mlflow.entities import Param

        texts = [Param(name, value) for name, value in record.params.items()]
        self._log(run, record.metrics, record.finished, step, params=texts[:PARAMS_A_CALL])
        for start in range(PARAMS_A_CALL, len(texts), PARAMS_A_CALL):
            self.client.log_batch(run, params=texts[start : start + PARAMS_A_CALL])
        folder = self.files.phase(phase).candidate(candidate.recipe)
        scored = folder.of(self.config.own_documents(phase, step)).at(record.rung)
        self._attach(run, folder.recipe, scored.outcome, scored.items)
        if candidate.genome:
            text = canonical_json(list(candidate.genome)).decode()
            self.client.log_text(run, text, "genome.json")
        status = "FAILED" if record.failed else "FINISHED"
        self.client.set_terminated(run, status=status, end_time=record.finished)

    def _phase_run(self, phase: str, start: datetime, inputs: Sequence[Any]) -> str:
        """Id of the phase's run. Its settings are tags: MLflow lets no parameter have another value."""
        settings, place = self._settings(phase), {"role": "series", "series": phase}
        found = self._search(**place)
        if not found:
            made = self._create(phase, settings, milliseconds(start), None, **place)
            self.client.log_inputs(made, inputs)
            return made
        for key, value in settings.items():
            if found[0].data.tags.get(key) != value:
                self.client.set_tag(found[0].info.run_id, key, value)
        return str(found[0].info.run_id)

    def _settings(self, phase: str) -> dict[str, str]:
        settings = {"seed": str(self.config.seed)}
        if (stage := self.config.stage(phase)) is not None:
            settings |= {"strategy": stage.strategy.kind, "space": stage.space.kind}
            settings["generations"] = str(stage.budget.generations)
            if isinstance(stage.space, ParameterSpace):
                settings["method"] = stage.space.method
        return {f"{PREFIX}.{key}": value for key, value in settings.items()}

    def _attach(self, run: str, *paths: Path) -> None:
        for path in paths:
            if path.is_file():
                self.client.log_artifact(run, str(path))

    def _create(
        self, name: str, tags: Mapping[str, str], start: int, parent: str | None, **place: str
    ) -> str:
        """Make a run; returns its id."""
        own = {f"{PREFIX}.{key}": value for key, value in self._place(place).items()}
        own |= source_tags(self.files, "rank" if parent is None else "evaluate")
        nested = {} if parent is None else {"mlflow.parentRunId": parent}
        made = self.client.create_run(
            self.experiment, start_time=start, run_name=name, tags={**tags, **own, **nested}
        )
        return str(made.info.run_id)

    def _search(self, **place: str) -> list[Any]:
        conditions = [
            f"tags.`{PREFIX}.{key}` = '{value}'" for key, value in self._place(place).items()
        ]
        runs = self.client.search_runs(
            [self.experiment], filter_string=" and ".join(conditions), max_results=RUNS_A_SEARCH
        )
        return list(runs)

    def _place(self, place: Mapping[str, str]) -> dict[str, str]:
        return {"run": self.config.name, **place}

    def _log(
        self,
        run: str,
        metrics: Mapping[str, float],
        timestamp: int,
        step: int,
        params: Sequence[Any] = (),
    ) -> None:
        from mlflow.entities import Metric

        numbers = [Metric(name, value, timestamp, step) for name, value in metrics.items()]
        self.client.log_batch(run, metrics=numbers, params=params)

    def _is_last(self, phase: str, entry: Entry) -> bool:
        stage = self.config.stage(phase)
        if stage is None or entry.population.stopped is not None:
            return True
        return entry.number >= stage.budget.generations - 1


def _same(run: Any, record: Record) -> bool:
    key = f"{PREFIX}.ledger"
    return bool(run.data.tags.get(key) == record.tags[key])
