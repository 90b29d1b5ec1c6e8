"""MLflow as a projection of the ledger: it can be thrown away and written again.

A series is a parent run; each of its candidates is a nested run. Nothing is read back from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tsugiki.atomic import write_if_changed
from tsugiki.canonical import canonical_json, digest_file, pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace
from tsugiki.errors import LineageError
from tsugiki.evolve.population import Candidate
from tsugiki.lineage.cost import Cost, read_cost
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import TEST, Entry, entries, existing_series, new_recipes
from tsugiki.lineage.summary import summarise
from tsugiki.lineage.tracking_records import (
    PREFIX,
    Record,
    candidate_record,
    generation_metrics,
    milliseconds,
)
from tsugiki.lineage.tracking_store import (
    one_writer,
    open_client,
    open_experiment,
    own_artifacts,
    retire_experiment,
    store_has_moved,
    tracking_uri,
)
from tsugiki.recipe.read import read_recipe

PARAMS_A_CALL = 100
"""MLflow takes no more parameters at once."""
RUNS_A_SEARCH = 10_000
DONE = ("FINISHED", "FAILED")


def track_generation(files: RunFiles, series: str, generation: int, config: RunConfig) -> None:
    """Log a scored generation, then mark it in tracked.json.

    Doing it again changes nothing. A store that was moved with its folder is rebuilt as a whole.

    Raises:
        LineageError: the generation is not scored yet, or its files are damaged.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    tracking_uri(files, config)
    history = [entry for entry in entries(files.series(series)) if entry.number <= generation]
    if len(history) <= generation or history[-1].outcomes is None:
        raise LineageError(
            "only a scored generation can be tracked",
            where=str(files.series(series).generation(generation).root),
            fix="let the workflow score it first",
        )
    if config.tracking.enabled:
        with one_writer(files, config):
            client = open_client(files, config)
            if store_has_moved(client, files, config):
                _rebuild(client, files, config)
            else:
                _projection(client, files, config).log(series, history)
    mark = {"outcomes": digest_file(history[-1].files.outcomes), "mlflow": config.tracking.enabled}
    write_if_changed(history[-1].files.tracked, pretty_json(mark))


def rebuild(files: RunFiles, config: RunConfig) -> None:
    """Remove what MLflow has of this run and log the whole ledger again.

    Raises:
        LineageError: the ledger's files are damaged.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    with one_writer(files, config):
        _rebuild(open_client(files, config), files, config)


def _rebuild(client: Any, files: RunFiles, config: RunConfig) -> None:
    if store_has_moved(client, files, config):
        retire_experiment(client, config)
    if config.tracking.uri is None:
        shutil.rmtree(own_artifacts(files), ignore_errors=True)
    projection = _projection(client, files, config)
    projection.clear()
    for series in existing_series(files, config):
        history: list[Entry] = []
        for entry in entries(files.series(series)):
            if entry.outcomes is None:
                break
            history.append(entry)
            projection.log(series, history)


def _projection(client: Any, files: RunFiles, config: RunConfig) -> _Projection:
    return _Projection(client, open_experiment(client, files, config), files, config)


@dataclass(frozen=True)
class _Projection:
    """An open store, and the run whose ledger is written to it."""

    client: Any
    experiment: str
    files: RunFiles
    config: RunConfig

    def clear(self) -> None:
        """Delete the run's records, and no other run's."""
        for run in self._search():
            self.client.delete_run(run.info.run_id)

    def log(self, series: str, history: Sequence[Entry]) -> None:
        """Log the last generation of `history`, which starts with the first one."""
        entry = history[-1]
        outcomes = [one.outcomes for one in history if one.outcomes is not None]
        folder = self.files.series(series)
        costs = {
            candidate.recipe: read_cost(folder.candidate(candidate.recipe).cost)
            for candidate in entry.population.candidates
        }
        known = [cost for cost in costs.values() if cost is not None]
        end = max((cost.finished for cost in known), default=datetime.fromtimestamp(0, UTC))
        start = min((cost.started for cost in known), default=end)
        parent = self._series_run(series, start)
        if entry.number == 0 or series == TEST:
            self._log_run_files(parent)
        if entry.population.candidates:
            spent = [costs[recipe] for recipe in new_recipes(history)[-1]]
            metrics = generation_metrics(summarise(outcomes)[-1], spent)
            self._log(parent, metrics=metrics, timestamp=milliseconds(end), step=entry.number)
            self._log_candidates(parent, series, entry, costs, end)
        if self._is_last(series, entry):
            self.client.set_terminated(parent, status="FINISHED", end_time=milliseconds(end))

    def _log_candidates(
        self,
        parent: str,
        series: str,
        entry: Entry,
        costs: Mapping[str, Cost | None],
        end: datetime,
    ) -> None:
        place = {"role": "candidate", "series": series, "generation": str(entry.number)}
        present = {run.data.tags.get(f"{PREFIX}.candidate"): run for run in self._search(**place)}
        ranked = () if entry.outcomes is None else entry.outcomes.ranked
        for candidate, result in zip(entry.population.candidates, ranked, strict=True):
            recipe = read_recipe(self.files.series(series).candidate(candidate.recipe).recipe)
            cost = costs[candidate.recipe]
            record = candidate_record(candidate, result, recipe, cost, end)
            run = present.pop(candidate.id, None)
            if run is not None and not _same(run, record):
                self.client.delete_run(run.info.run_id)
                run = None
            if run is not None and run.info.status in DONE:
                continue
            if run is None:
                run = self._create(record.name, record.tags, record.started, parent, **place)
            self._log_candidate(run.info.run_id, series, candidate, record, entry.number)
        for run in present.values():
            self.client.delete_run(run.info.run_id)

    def _log_candidate(
        self, run: str, series: str, candidate: Candidate, record: Record, step: int
    ) -> None:
        self._log(
            run,
            metrics=record.metrics,
            params=record.params,
            timestamp=record.finished,
            step=step,
        )
        folder = self.files.series(series).candidate(candidate.recipe)
        for path in (folder.recipe, folder.outcome, folder.items):
            if path.is_file():
                self.client.log_artifact(run, str(path))
        if candidate.genome:
            text = canonical_json(list(candidate.genome)).decode()
            self.client.log_text(run, text, "genome.json")
        status = "FAILED" if record.failed else "FINISHED"
        self.client.set_terminated(run, status=status, end_time=record.finished)

    def _series_run(self, series: str, start: datetime) -> str:
        found = self._search(role="series", series=series)
        run = (
            found[0]
            if found
            else self._create(series, {}, milliseconds(start), None, role="series", series=series)
        )
        params = {"seed": str(self.config.seed)}
        for stage in self.config.stages:
            if stage.name == series:
                params["strategy"] = stage.strategy.kind
                params["space"] = stage.space.kind
                if isinstance(stage.space, ParameterSpace):
                    params["method"] = stage.space.method
                params["generations"] = str(stage.budget.generations)
        self._log(run.info.run_id, metrics={}, params=params, timestamp=0, step=0)
        return str(run.info.run_id)

    def _log_run_files(self, parent: str) -> None:
        files = self.files
        for path in (files.config, files.parents, files.items, files.environment, files.final):
            if path.is_file():
                self.client.log_artifact(parent, str(path))

    def _create(
        self, name: str, tags: Mapping[str, str], start: int, parent: str | None, **place: str
    ) -> Any:
        own = {f"{PREFIX}.{key}": value for key, value in self._place(place).items()}
        nested = {} if parent is None else {"mlflow.parentRunId": parent}
        return self.client.create_run(
            self.experiment, start_time=start, run_name=name, tags={**tags, **own, **nested}
        )

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
        *,
        metrics: Mapping[str, float],
        timestamp: int,
        step: int,
        params: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        numbers = [Metric(name, value, timestamp, step) for name, value in metrics.items()]
        texts = [Param(name, value) for name, value in (params or {}).items()]
        self.client.log_batch(run, metrics=numbers, params=texts[:PARAMS_A_CALL])
        for start in range(PARAMS_A_CALL, len(texts), PARAMS_A_CALL):
            self.client.log_batch(run, params=texts[start : start + PARAMS_A_CALL])

    def _is_last(self, series: str, entry: Entry) -> bool:
        for stage in self.config.stages:
            if stage.name == series and entry.population.stopped is None:
                return entry.number >= stage.budget.generations - 1
        return True


def _same(run: Any, record: Record) -> bool:
    key = f"{PREFIX}.ledger"
    return bool(run.data.tags.get(key) == record.tags[key])
