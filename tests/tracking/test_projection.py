"""The real MLflow on SQLite: what it holds after tracking, tracking again, and moving."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tests.synthetic_runs import SyntheticRun, make_run
from tests.tracking.test_store import with_uri
from tsugiki.canonical import canonical_json, digest
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.population import Population
from tsugiki.errors import LineageError
from tsugiki.tracking.projection import rebuild, track_generation
from tsugiki.tracking.store import tracking_uri

WRITER = """
import sys
from pathlib import Path
import yaml
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.tracking.projection import track_generation
files = RunFiles(Path(sys.argv[1]))
config = RunConfig.model_validate(yaml.safe_load(files.config.read_text()))
track_generation(files, sys.argv[2], 0, config, log=print)
"""


@pytest.fixture(scope="session")
def tracked(finished: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """The finished run, all of it in MLflow, some of it twice. Read only."""
    files = RunFiles(tmp_path_factory.mktemp("tracked") / "synthetic")
    shutil.copytree(finished.files.root, files.root)
    for generation in (0, 1, 2, 1):
        track_generation(files, "ps", generation, finished.config, log=pytest.fail)
    track_generation(files, "test", 0, finished.config, log=pytest.fail)
    return files


def runs(files: RunFiles, config: RunConfig, **tags: str) -> list[Any]:
    """What MLflow has, oldest generation first."""
    client = MlflowClient(tracking_uri=tracking_uri(files, config))
    experiment = client.get_experiment_by_name(config.name)
    assert experiment is not None
    conditions = " and ".join(f"tags.`tsugiki.{name}` = '{value}'" for name, value in tags.items())
    return list(
        client.search_runs(
            [experiment.experiment_id], conditions, order_by=["tags.`tsugiki.candidate`"]
        )
    )


def contents(files: RunFiles, config: RunConfig) -> list[Any]:
    """All that MLflow holds but its own run ids and paths."""
    found = []
    names = {run.info.run_id: run.info.run_name for run in runs(files, config)}
    for run in runs(files, config):
        tags = {k: v for k, v in run.data.tags.items() if k != "mlflow.parentRunId"}
        parent = names.get(run.data.tags.get("mlflow.parentRunId"))
        info = run.info
        found.append((parent, info.run_name, info.status, info.start_time, info.end_time,
                      tags, run.data.params, run.data.metrics))  # fmt: skip
    return sorted(found, key=lambda one: (one[0] or "", one[1]))


def test_a_series_is_a_run_and_each_candidate_a_nested_one(
    finished: SyntheticRun, tracked: RunFiles
) -> None:
    """Three generations of four, each once although one was tracked twice."""
    (parent,) = runs(tracked, finished.config, role="series", series="ps")
    children = runs(tracked, finished.config, role="candidate", series="ps")
    assert parent.info.status == "FINISHED"
    assert len(children) == 12
    assert {run.data.tags[MLFLOW_PARENT_RUN_ID] for run in children} == {parent.info.run_id}
    assert [run.data.tags["tsugiki.candidate"] for run in children] == [
        f"{generation:03d}-{index:02d}" for generation in range(3) for index in range(4)
    ]


def test_a_candidate_has_its_scores_parameters_and_identity(
    finished: SyntheticRun, tracked: RunFiles
) -> None:
    """Found by the digest of its recipe; every number is that of the ledger."""
    entry = read_generation(tracked.phase("ps").generation(2).outcomes).ranked[1]
    (run,) = runs(tracked, finished.config, recipe=entry.recipe, series="ps")
    assert entry.outcome.status == "scored"
    assert run.data.metrics["fitness"] == entry.fitness
    assert run.data.metrics["objective.ja_maths"] == entry.outcome.measured["ja_maths"].value
    assert run.data.metrics["rate.tokens"] == 9
    assert run.data.metrics["cost.tokens"] == 9 * 40
    assert run.data.params["method"] == "dare_ties"
    assert 0 <= float(run.data.params["weight.maths.block.1"]) <= 1.5
    assert run.data.tags["tsugiki.parents"] == "japanese, maths"
    assert run.data.tags["tsugiki.parent.maths"] == finished.lock.digests["maths"]
    assert run.data.tags["tsugiki.weights"] == entry.outcome.weights
    assert run.info.end_time - run.info.start_time == pytest.approx(1750, abs=260)


def test_a_failed_candidate_is_a_failed_run_with_its_reason(
    finished: SyntheticRun, tracked: RunFiles
) -> None:
    """It has no fitness, and no number in its place."""
    (run,) = runs(tracked, finished.config, candidate="001-02", series="ps")
    assert run.info.status == "FAILED"
    assert run.data.tags["tsugiki.failure.kind"] == "model"
    assert run.data.tags["tsugiki.failure.reason"] == "the model's logits are not finite"
    assert "fitness" not in run.data.metrics


def test_the_series_has_a_curve_by_generation(finished: SyntheticRun, tracked: RunFiles) -> None:
    """Each number once for each generation, although one was tracked twice."""
    (parent,) = runs(tracked, finished.config, role="series", series="ps")
    client = MlflowClient(tracking_uri=tracking_uri(tracked, finished.config))
    curve = client.get_metric_history(parent.info.run_id, "best_so_far")
    assert [point.step for point in curve] == [0, 1, 2]
    assert [point.value for point in curve] == sorted(point.value for point in curve)
    failures = client.get_metric_history(parent.info.run_id, "failures")
    assert [point.value for point in failures] == [0, 1, 0]


def test_what_a_generation_took_is_counted_where_it_was_scored(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """Whoever comes again has its cost from the generation that scored it."""
    stage = ready.phase("ps")
    first, *others = read_population(stage.generation(0).population).candidates
    for one in (first, *others):
        path = stage.candidate(one.recipe).cost
        cost = json.loads(path.read_bytes()) | {"generation": 7 if one is first else 0}
        path.write_text(json.dumps(cost))
    track_generation(ready, "ps", 0, finished.config, log=pytest.fail)
    (parent,) = runs(ready, finished.config, role="series", series="ps")
    seconds = [json.loads(stage.candidate(one.recipe).cost.read_bytes()) for one in others]
    assert parent.data.metrics["seconds"] == pytest.approx(
        sum(one["seconds_total"] for one in seconds)
    )


def test_artifacts_hold_the_ledgers_files(
    finished: SyntheticRun, tracked: RunFiles, tmp_path: Path
) -> None:
    """Byte for byte; they lie in the run's own folder."""
    candidate = read_population(tracked.phase("ps").generation(0).population).candidates[0]
    (run,) = runs(tracked, finished.config, candidate=candidate.id, series="ps")
    client = MlflowClient(tracking_uri=tracking_uri(tracked, finished.config))
    copy = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    folder = tracked.phase("ps").candidate(candidate.recipe)
    for path in (folder.recipe, folder.outcome, folder.items):
        assert (copy / path.name).read_bytes() == path.read_bytes()
    assert (copy / "genome.json").read_bytes() == canonical_json(list(candidate.genome))
    (parent,) = runs(tracked, finished.config, role="series", series="ps")
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {
        "config.lock.yaml", "environment.json", "final.json", "items.json", "parents.lock.json"
    }  # fmt: skip
    assert run.info.artifact_uri.startswith(str(tracked.root / "mlflow-artifacts"))


def test_rows_of_the_test_series_go_by_their_names(
    finished: SyntheticRun, tracked: RunFiles
) -> None:
    """The winner is found as such."""
    (run,) = runs(tracked, finished.config, series="test", **{"origin.kind": "evolved"})
    assert run.info.run_name == "evolved"


def test_tracking_writes_its_mark_last(finished: SyntheticRun, copied: RunFiles) -> None:
    """A generation without scores is refused, and has no mark."""
    files = copied.phase("ps").generation(2)
    files.outcomes.unlink()
    with pytest.raises(LineageError, match="only a scored generation"):
        track_generation(copied, "ps", 2, finished.config, log=pytest.fail)
    assert not files.tracked.exists()


def test_a_generation_that_was_scored_again_replaces_its_runs(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """MLflow follows the ledger: what is no longer in it goes."""
    config = finished.config
    track_generation(ready, "baselines", 0, config, log=pytest.fail)
    again = make_run(ready.root.parent, baselines=[{"name": "average", "method": "linear"}])
    again.write_baselines()
    track_generation(ready, "baselines", 0, again.config, log=pytest.fail)
    found = runs(ready, config, role="candidate")
    entry = read_generation(ready.phase("baselines").generation(0).outcomes)
    assert [run.data.tags["tsugiki.recipe"] for run in found] == [entry.ranked[0].recipe]


def test_a_moved_run_is_readable_and_its_store_is_rebuilt(
    finished: SyntheticRun, ready: RunFiles, tmp_path: Path
) -> None:
    """MLflow remembers absolute paths; the ledger does not."""
    for generation in range(3):
        track_generation(ready, "ps", generation, finished.config, log=pytest.fail)
    before = [one for one in contents(ready, finished.config) if one[1] == "ps" or one[0] == "ps"]
    moved = RunFiles(tmp_path / "elsewhere")
    ready.root.rename(moved.root)
    rebuild(moved, finished.config)
    after = [one for one in contents(moved, finished.config) if one[1] == "ps" or one[0] == "ps"]
    assert after == before
    (parent,) = runs(moved, finished.config, role="series", series="ps")
    assert parent.info.artifact_uri.startswith(str(moved.root))
    ready.root.mkdir()


def test_tracking_goes_on_after_a_move(
    finished: SyntheticRun, ready: RunFiles, tmp_path: Path
) -> None:
    """The next generation finds a store of another place and rebuilds it first."""
    track_generation(ready, "ps", 0, finished.config, log=pytest.fail)
    moved = RunFiles(tmp_path / "elsewhere")
    ready.root.rename(moved.root)
    track_generation(moved, "ps", 1, finished.config, log=pytest.fail)
    children = runs(moved, finished.config, role="candidate", series="ps")
    assert {str(moved.root) in run.info.artifact_uri for run in children} == {True}
    assert {run.data.tags["tsugiki.generation"] for run in children} >= {"0", "1"}
    ready.root.mkdir()


def test_a_store_of_several_runs_loses_only_the_rebuilt_one(
    finished: SyntheticRun, copied: RunFiles, migrated: Path, tmp_path: Path
) -> None:
    """Another run in the same store and experiment stays."""
    shutil.copytree(migrated.parent, tmp_path / "shared")
    shared = with_uri(finished.config, f"sqlite:///{tmp_path}/shared/mlflow.db")
    track_generation(copied, "finalists", 0, shared, log=pytest.fail)
    client = MlflowClient(tracking_uri=tracking_uri(copied, shared))
    experiment = client.get_experiment_by_name(shared.name)
    other = client.create_run(experiment.experiment_id, tags={"tsugiki.run": "other"})
    before = [one for one in contents(copied, shared) if one[5].get("tsugiki.run") != "other"]
    for phase in ("ps", "baselines", "test"):
        copied.phase(phase).generation(0).population.unlink()
    rebuild(copied, shared)
    found = contents(copied, shared)
    assert [one for one in found if one[5].get("tsugiki.run") != "other"] == before
    assert client.get_run(other.info.run_id).info.lifecycle_stage == "active"


def test_a_large_genome_is_an_artifact_with_its_digest(migrated: Path, tmp_path: Path) -> None:
    """MLflow's parameters are too short for it, and too many for a table."""
    run = make_run(tmp_path, generations=1, population=2, blocks=48)
    run.write_stage()
    shutil.copy(migrated, run.files.root / "mlflow.db")
    track_generation(run.files, "ps", 0, run.config, log=pytest.fail)
    content = run.files.phase("ps").generation(0).population.read_bytes()
    candidate = Population.model_validate_json(content).candidates[0]
    assert len(candidate.genome) == 200
    (logged,) = runs(run.files, run.config, candidate=candidate.id)
    assert logged.data.tags["tsugiki.genome.length"] == "200"
    assert logged.data.tags["tsugiki.genome.sha256"] == digest(list(candidate.genome))
    assert len(logged.data.params) < 10
    client = MlflowClient(tracking_uri=tracking_uri(run.files, run.config))
    assert "genome.json" in {file.path for file in client.list_artifacts(logged.info.run_id)}


def test_two_writers_on_an_empty_store_take_turns(finished: SyntheticRun, copied: RunFiles) -> None:
    """Unguarded, both would migrate the new database at once and ruin it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(copied.root), phase],
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for phase in ("ps", "baselines")
    ]  # fmt: skip
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    assert len(runs(copied, finished.config, role="candidate", series="ps")) == 4
    assert len(runs(copied, finished.config, role="candidate", series="baselines")) == 6


def test_tracking_that_is_off_only_marks_the_generation(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """The workflow goes on without MLflow."""
    off = finished.config.tracking.model_copy(update={"enabled": False})
    config = finished.config.model_copy(update={"tracking": off})
    track_generation(copied, "ps", 0, config, log=pytest.fail)
    assert copied.phase("ps").generation(0).tracked.is_file()
    assert not (copied.root / "mlflow.db").exists()


def test_rebuilding_in_place_gives_the_same_records(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """In the process that wrote them, and again."""
    track_generation(ready, "finalists", 0, finished.config, log=pytest.fail)
    for phase in ("ps", "baselines", "test"):
        ready.phase(phase).generation(0).population.unlink()
    before = contents(ready, finished.config)
    rebuild(ready, finished.config)
    rebuild(ready, finished.config)
    assert contents(ready, finished.config) == before
    assert len(before) == 4
