"""The winner as MLflow's model: logged, registered, and known by the alias `best`.

Nothing large is copied: the weights stay in the run's folder `best/`, and the model says where, and
which digest they have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.recipe import read_recipe

ALIAS = "best"
MODEL = "tsugiki.model"
MODEL_TYPE = "evolved merge"
PIPELINE = "model_index.json"
"""Only image generators have it."""
BESIDE_THE_WEIGHTS = (
    *("recipe.json", "config.json", PIPELINE),
    *("generation_config.json", ".tsugiki.json"),
)
"""Small files of `best/` that are copied."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


def register_winner(
    client: Any, experiment: str, files: RunFiles, run: Any, tags: Mapping[str, str]
) -> str:
    """Log the winner as a model and make it the registered model's version `best`, unless it is.

    Args:
        client: An `MlflowClient`.
        experiment: Id of the run's experiment.
        files: The run's files; `best/` is written.
        run: The winner's run in MLflow, with its scores on the test documents.
        tags: Tell it from other models; among them `tsugiki.run`, the name it is registered by.

    Returns:
        The model's id.
    """
    name = tags["tsugiki.run"]
    model = _logged(client, experiment, run, tags) or _log(client, experiment, files, run, tags)
    versions = client.search_model_versions(f"name = '{name}'")
    known = {MODEL: model.model_id}  # MLflow finds versions without the model that they are of
    version = next((one for one in versions if known.items() <= one.tags.items()), None)
    if version is None:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, {"tsugiki.run": name})
        version = client.create_model_version(
            name, model.artifact_location, run.info.run_id, {**tags, **known}, model_id=model.model_id,
            description=card(files, run),
        )  # fmt: skip
    client.set_registered_model_alias(name, ALIAS, version.version)
    return str(model.model_id)


def forget(client: Any, experiment: str, run: str) -> None:
    """Delete all models and versions that were registered for a run of this name."""
    for version in client.search_model_versions(f"name = '{run}'"):
        if version.tags.get("tsugiki.run") == run:
            client.delete_model_version(run, version.version)
    for model in _models(client, experiment):
        if model.tags.get("tsugiki.run") == run:
            client.delete_logged_model(model.model_id)


def card(files: RunFiles, run: Any) -> str:
    """The model's card: what it is, how it scores, where its weights are and how they are loaded.

    `run` is the winner's run in MLflow.
    """
    recipe = read_recipe(files.best_recipe)
    parents = ", ".join(model.name for model in recipe.models)
    place = files.best.resolve()
    scores = [
        f"| {name.removeprefix('objective.')} | {value:.4f} |"
        for name, value in sorted(run.data.metrics.items())
        if name.startswith("objective.")
    ]
    return "\n".join(
        [
            f"# {run.data.tags['tsugiki.run']}",
            "",
            f"The winner of an evolutionary merge: {recipe.method} of {parents}.",
            "",
            "| on held-out documents | score |",
            "|---|---|",
            *scores,
            "",
            f"The weights are not in MLflow. They were written to `{place}`.",
            f"Their digest is `{run.data.tags.get('tsugiki.weights', '')}`. `tsugiki reproduce`",
            f"makes them again, by the recipe `{recipe.digest}`. They load as any checkpoint does:",
            "",
            "```python",
            *_loading(place),
            "```",
            "",
        ]
    )


def _loading(place: Path) -> list[str]:
    """The lines of a program that loads what was written."""
    if (place / PIPELINE).is_file():
        return [
            "from diffusers import DiffusionPipeline",
            f"pipeline = DiffusionPipeline.from_pretrained({str(place)!r})",
        ]
    return [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        f"model = AutoModelForCausalLM.from_pretrained({str(place)!r})",
        f"tokenizer = AutoTokenizer.from_pretrained({str(place)!r})",
    ]


def _models(client: Any, experiment: str) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_logged_models([experiment], page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _logged(client: Any, experiment: str, run: Any, tags: Mapping[str, str]) -> Any:
    """The model as it was logged before, whole and of this very run; None if it was not."""
    for model in _models(client, experiment):
        known = tags.items() <= model.tags.items() and str(model.status) == "READY"
        if known and model.source_run_id == run.info.run_id:
            return model
    return None


def _log(client: Any, experiment: str, files: RunFiles, run: Any, tags: Mapping[str, str]) -> Any:
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(
        experiment, tags["tsugiki.run"], run.info.run_id, dict(tags), dict(run.data.params), MODEL_TYPE
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), files, run, logged.model_id)
        client.log_model_artifacts(logged.model_id, folder)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, 0)])
    client.log_batch(run.info.run_id, metrics=_metrics(run, logged.model_id))
    return logged


def _write(folder: Path, files: RunFiles, run: Any, model: str) -> None:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    (folder / "README.md").write_text(card(files, run), encoding="utf-8")
    for name in BESIDE_THE_WEIGHTS:
        if (files.best / name).is_file():
            (folder / name).write_bytes((files.best / name).read_bytes())
    signature = None
    if any((files.best / name).is_file() for name in TOKENIZERS):
        signature = ModelSignature(
            Schema([ColSpec("string", "prompt")]), Schema([ColSpec("string", "response")])
        )
    metadata = {
        "weights": str(files.best.resolve()),
        "weights_digest": run.data.tags.get("tsugiki.weights", ""),
        "recipe": run.data.tags["tsugiki.recipe"],
    }
    mlmodel = Model(run_id=run.info.run_id, signature=signature, metadata=metadata, model_id=model)
    mlmodel.save(str(folder / "MLmodel"))


def _metrics(run: Any, model: str) -> list[Any]:
    """The run's scores again, as the model's: each with the data set that it was measured on."""
    from mlflow.entities import Metric

    sets = [one.dataset for one in run.inputs.dataset_inputs]
    only = sets[0] if len(sets) == 1 else None
    return [
        Metric(
            name, value, run.info.end_time, 0, model_id=model,
            dataset_name=only and only.name, dataset_digest=only and only.digest,
        )
        for name, value in run.data.metrics.items()
        if name.startswith("objective.")
    ]  # fmt: skip
