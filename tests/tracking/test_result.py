"""What MLflow is told in its own terms: data sets, source, and the winner as a registered model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_GIT_COMMIT,
    MLFLOW_PROJECT_ENTRY_POINT,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from tests.synthetic_runs import SyntheticRun
from tests.tracking.test_projection import runs
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation
from tsugiki.contracts.outcome import Scored
from tsugiki.errors import LineageError
from tsugiki.report.page import write_report
from tsugiki.tracking.marks import pending, untold
from tsugiki.tracking.projection import rebuild, track_generation, track_result
from tsugiki.tracking.store import tracking_uri


def make_result(finished: SyntheticRun, files: RunFiles) -> None:
    """A best model with a tokenizer, and the report."""
    (files.best / "tokenizer.json").write_text("{}")
    (files.best / "model.safetensors").write_bytes(b"large")
    (files.environment).write_text(json.dumps({"source": f"{'c0ffee' * 6}abcd+changes"}))
    write_report(files, finished.config)


@pytest.fixture(scope="module")
def told(
    finished: SyntheticRun, migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunFiles:
    """A finished run of which MLflow has the last stage, the final scores, and the result, twice."""
    files = RunFiles(tmp_path_factory.mktemp("told") / "synthetic")
    shutil.copytree(finished.files.root, files.root)
    shutil.copy(migrated, files.root / "mlflow.db")
    make_result(finished, files)
    for phase, number in (("ps", 0), ("ps", 1), ("finalists", 0), ("test", 0)):
        track_generation(files, phase, number, finished.config, log=pytest.fail)
    for _ in range(2):
        track_result(files, finished.config, log=pytest.fail)
    return files


def client_of(finished: SyntheticRun, files: RunFiles) -> MlflowClient:
    """MLflow's client on the run's own store."""
    return MlflowClient(tracking_uri=tracking_uri(files, finished.config))


@pytest.mark.parametrize(
    ("phase", "context"), [("ps", "search"), ("finalists", "validation"), ("test", "test")]
)
def test_each_run_names_its_documents_and_what_they_were_used_for(
    finished: SyntheticRun, told: RunFiles, phase: str, context: str
) -> None:
    """By task, with a digest that differs from set to set, and the number of documents."""
    sets = read_document_sets(told.items).tasks
    for role in ("series", "candidate"):
        run = runs(told, finished.config, role=role, series=phase)[0]
        found = {one.dataset.name: one for one in run.inputs.dataset_inputs}
        assert set(found) == {name for name, of in sets.items() if getattr(of, context)}
        for name, one in found.items():
            assert [(tag.key, tag.value) for tag in one.tags] == [(MLFLOW_DATASET_CONTEXT, context)]
            count = len(getattr(sets[name], context))
            assert json.loads(one.dataset.profile) == {"documents": count}


def test_documents_have_one_digest_a_set(finished: SyntheticRun, told: RunFiles) -> None:
    """Equal for candidates of two generations, and others for other sets."""
    digests: dict[str, set[str]] = {}
    for run in runs(told, finished.config, role="candidate"):
        for one in run.inputs.dataset_inputs:
            if one.dataset.name == "ja_maths_task" or len(run.inputs.dataset_inputs) == 1:
                digests.setdefault(one.tags[0].value, set()).add(one.dataset.digest)
    for run in runs(told, finished.config, role="candidate"):
        first = run.inputs.dataset_inputs[0]
        digests.setdefault(f"{first.tags[0].value} {first.dataset.name}", set()).add(
            first.dataset.digest
        )
    assert all(len(of) == 1 for of in digests.values())
    assert len({next(iter(of)) for of in digests.values()}) == 3


def test_each_run_names_commit_and_entry_point(finished: SyntheticRun, told: RunFiles) -> None:
    """MLflow's column Source is filled; an edited checkout is told apart from its commit."""
    for role, entry in (("series", "rank"), ("candidate", "evaluate")):
        tags = runs(told, finished.config, role=role, series="ps")[0].data.tags
        assert tags[MLFLOW_GIT_COMMIT] == f"{'c0ffee' * 6}abcd"
        assert tags["tsugiki.source.changed"] == "true"
        assert tags[MLFLOW_PROJECT_ENTRY_POINT] == entry
        assert tags[MLFLOW_SOURCE_NAME] == "tsugiki"
        assert tags[MLFLOW_SOURCE_TYPE] == "PROJECT"


def winner_of(finished: SyntheticRun, files: RunFiles) -> Any:
    """MLflow's run of the winner."""
    (run,) = runs(files, finished.config, series="test", **{"origin.kind": "evolved"})
    return run


def test_the_winner_is_a_registered_model_known_as_best(
    finished: SyntheticRun, told: RunFiles
) -> None:
    """Once, though it was told twice: signature, card and recipe, and no weights."""
    client = client_of(finished, told)
    winner = winner_of(finished, told)
    version = client.get_model_version_by_alias(finished.config.name, "best")
    assert [str(one.version) for one in client.search_model_versions("")] == ["1"]
    assert version.run_id == winner.info.run_id
    model = client.get_logged_model(version.tags["tsugiki.model"])
    assert str(model.status) == "READY"
    assert [one.model_id for one in winner.outputs.model_outputs] == [version.tags["tsugiki.model"]]
    assert model.tags["tsugiki.recipe"] == winner.data.tags["tsugiki.recipe"]

    folder = Path(model.artifact_location.removeprefix("file://"))
    assert {path.name for path in folder.iterdir()} == {"MLmodel", "README.md", "recipe.json"}
    assert (folder / "recipe.json").read_bytes() == told.best_recipe.read_bytes()
    from mlflow.models import Model

    signature = Model.load(str(folder / "MLmodel")).signature
    assert signature.inputs.input_names() == ["prompt"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert str(told.best) in card
    assert winner.data.tags["tsugiki.weights"] in card
    assert version.description == card


def test_the_model_has_the_held_out_scores(finished: SyntheticRun, told: RunFiles) -> None:
    """Those of the ledger, in MLflow's table of models."""
    client = client_of(finished, told)
    version = client.get_model_version_by_alias(finished.config.name, "best")
    shown = {
        one.key: one.value for one in client.get_logged_model(version.tags["tsugiki.model"]).metrics
    }
    entry = next(
        one
        for one in read_generation(told.phase("test").generation(0).outcomes).ranked
        if one.recipe == winner_of(finished, told).data.tags["tsugiki.recipe"]
    )
    assert isinstance(entry.outcome, Scored)
    assert shown == {
        f"objective.{name}": measured.value for name, measured in entry.outcome.measured.items()
    }


def test_the_report_and_its_figures_are_attached_to_the_parent_runs(
    finished: SyntheticRun, told: RunFiles
) -> None:
    """Of the last stage, and of the final scores."""
    client = client_of(finished, told)
    for phase in ("ps", "test"):
        (parent,) = runs(told, finished.config, role="series", series=phase)
        top = {one.path for one in client.list_artifacts(parent.info.run_id)}
        assert {"report.html", "figures"} <= top
        figures = {one.path for one in client.list_artifacts(parent.info.run_id, "figures")}
        assert figures == {f"figures/{path.name}" for path in (told.root / "figures").iterdir()}


def test_a_result_before_its_time_is_refused(finished: SyntheticRun, ready: RunFiles) -> None:
    """The report is the last thing that a run writes."""
    with pytest.raises(LineageError, match="no result to track yet"):
        track_result(ready, finished.config, log=pytest.fail)


def test_rebuilding_registers_the_winner_anew(finished: SyntheticRun, ready: RunFiles) -> None:
    """`best` is the one version there is, of the winner's new run."""
    make_result(finished, ready)
    for phase in ("ps", "baselines", "finalists"):
        ready.phase(phase).generation(0).population.unlink()
    for _ in range(2):
        rebuild(ready, finished.config)
    assert untold(ready, len(pending(ready, finished.config))) == ""
    client = client_of(finished, ready)
    (version,) = client.search_model_versions("")
    best = client.get_model_version_by_alias(finished.config.name, "best")
    assert best.version == version.version
    assert version.run_id == winner_of(finished, ready).info.run_id
    experiment = client.get_experiment_by_name(finished.config.name)
    assert len(client.search_logged_models([experiment.experiment_id])) == 1


def test_a_result_that_could_not_be_told_is_caught_up(
    finished: SyntheticRun, ready: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails at that very moment ends nothing; the next call brings it."""
    make_result(finished, ready)
    track_generation(ready, "test", 0, finished.config, log=pytest.fail)
    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_model_artifacts", _full)
        track_result(ready, finished.config, log=said.append)
    assert said == ["MLflow lags behind, the search goes on: OSError: No space left on device"]
    assert untold(ready, len(pending(ready, finished.config))) == "the result"
    track_result(ready, finished.config, log=pytest.fail)
    assert untold(ready, len(pending(ready, finished.config))) == ""
    client = client_of(finished, ready)
    assert str(client.get_model_version_by_alias(finished.config.name, "best").version) == "1"


def _full(*_: object) -> None:
    raise OSError("No space left on device")
