"""Image generators from a finished run to the Hub: whole folders, with a card that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import ModelCard

from tests.pipelines import needs_diffusers, write_tiny_diffusion
from tests.publish.hub_for_uploads import UploadHub
from tests.runs_for_tests import TinyRun, start_run
from tsugiki import api
from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.commands.all import main
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import LineageError, RecipeError
from tsugiki.merge.marker import MARKER, read_marker
from tsugiki.publish.crate import write_crate
from tsugiki.publish.publish import publish
from tsugiki.steps.export_mergekit import export_best

pytestmark = needs_diffusers
REPO = "someone/pictures"
SCORES = '''
"""How light a picture of a prompt is."""


def light(model, documents):
    prompts = [one["prompt"] for one in documents]
    pictures = model.model(prompts, num_inference_steps=1, height=8, width=8, output_type="pt").images
    return pictures.mean((1, 2, 3))


def documents():
    return [{"prompt": "a " * number} for number in range(1, 13)]
'''


def quiet(_line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A search between two pipelines that turn a prompt into a picture, to its end. Read only."""
    root = tmp_path_factory.mktemp("drawing")
    for seed, name in enumerate("ab"):
        write_tiny_diffusion(root / name, seed)
        card = "---\nlicense: creativeml-openrail-m\nbase_model: org/older\n---\n"
        (root / name / "README.md").write_text(card)
    (root / "scores.py").write_text(SCORES)
    genes = {"weight": {"range": [0.0, 1.0], "grouping": "block"}}
    run = start_run(
        {
            "name": "drawing",
            "results": str(root / "results"),
            "parents": {name: {"path": str(root / name)} for name in "ab"},
            "stages": [
                {
                    "name": "ps",
                    "parents": ["a", "b"],
                    "space": {
                        "method": "linear",
                        "dtype": "float32",
                        "tokenizer": "b",
                        "genes": genes,
                    },
                    "strategy": {"kind": "random", "population": 2},
                    "budget": {"generations": 1},
                }
            ],
            "evaluation": {
                "objectives": [{"name": "light", "function": f"{root}/scores.py:light"}],
                "items": {"search": 4, "validation": 4, "test": 4},
                "device": "cpu",
            },
            "finalists": {"top": 1},
            "baselines": [],
            "rivals": [],
        }
    )
    run.finish()
    return run


def published(run: TinyRun, out: Path, **options: Any) -> Path:
    """The folder that a model is published to."""
    publish(run.files, run.config, out=out, log=quiet, **options)
    return out


def weights_of_unet(folder: Path) -> dict[str, torch.Tensor]:
    """As stock diffusers loads them."""
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert type(pipeline) is diffusers.StableDiffusionPipeline
    state: dict[str, torch.Tensor] = pipeline.unet.state_dict()
    return state


def test_a_published_image_generator_is_a_whole_folder_with_its_own_card(
    finished: TinyRun, tmp_path: Path
) -> None:
    """The bytes of best/ in the folders of components, which diffusers loads."""
    out = published(finished, tmp_path / "out")
    files = [path for path in finished.files.best.rglob("[!.]*") if path.is_file()]
    folders = {path.relative_to(finished.files.best).parts[0] for path in files}
    assert {"unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"} <= folders
    for path in files:
        assert digest_file(out / path.relative_to(finished.files.best)) == digest_file(path)
    card = ModelCard.load(out / "README.md")
    assert card.data.pipeline_tag == "text-to-image"
    assert card.data.library_name == "diffusers"
    assert card.data.base_model == ["org/older"]
    assert card.data.license == "creativeml-openrail-m"
    assert [one.task_type for one in card.data.eval_results] == ["text-to-image"]
    assert "Merged: unet. All other components and all settings are those of `b`" in card.content
    assert "chat template" not in card.content
    assert read_marker(finished.files.best / MARKER).weights in card.content
    assert (out / "lineage/final.json").is_file()
    loaded, best = weights_of_unet(out), weights_of_unet(finished.files.best)
    assert all(torch.equal(values, best[name]) for name, values in loaded.items())


def test_every_file_of_an_image_generator_is_read_back_from_the_hub(
    finished: TinyRun, hub: UploadHub
) -> None:
    """Under its component's folder; one that has changed there is found."""
    publish(finished.files, finished.config, repository=REPO, log=quiet)
    files = hub.repos[REPO].commits[hub.repos[REPO].branches["main"]]
    name = "unet/diffusion_pytorch_model.safetensors"
    assert digest_bytes(files[name]) == digest_file(finished.files.best / name)
    assert "scheduler/scheduler_config.json" in files
    hub.damaged = {name}
    with pytest.raises(LineageError, match=f"other bytes than were sent: {name}"):
        publish(finished.files, finished.config, repository=f"{REPO}-2", log=quiet)


def test_any_candidate_is_published_and_built(finished: TinyRun, tmp_path: Path) -> None:
    """By `publish` and by `best`, the same bytes."""
    out = published(finished, tmp_path / "one", candidate=("ps", "000-01"))
    arguments = ["--candidate", "000-01", "--out", str(tmp_path / "two")]
    done = CliRunner().invoke(main, ["best", str(finished.files.config), *arguments])
    assert done.exit_code == 0, done.output
    for path in (tmp_path / "two").rglob("[!.]*"):
        if path.is_file():
            again = out / path.relative_to(tmp_path / "two")
            assert digest_file(again) == digest_file(path)


def test_the_best_image_generator_is_built_and_scored_again(
    finished: TinyRun, tmp_path: Path
) -> None:
    """By the audit, `reproduce` and a merge of its recipe, into a folder and into a live pipeline."""
    import diffusers

    run = api.open_run(finished.files.root)
    assert run.audit(rebuild=True) == []
    assert run.rescore(2).verdict == "agrees"
    assert "the same bytes" in run.reproduce(tmp_path / "again")
    recipe = finished.files.best_recipe
    folders = {name: finished.config.parents[name].path for name in "ab"}  # type: ignore[union-attr]
    weights = api.merge(recipe, tmp_path / "merged", folders)
    assert weights == read_marker(finished.files.best / MARKER).weights
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folders["b"], local_files_only=True)
    parts = torch.nn.ModuleDict({"unet": pipeline.unet})
    assert api.merge_into(parts, recipe, folders) == weights
    best = weights_of_unet(tmp_path / "merged")
    live = pipeline.unet.state_dict()
    assert all(torch.equal(values, best[name]) for name, values in live.items())


def test_a_changed_component_of_the_best_model_is_found(finished: TinyRun, tmp_path: Path) -> None:
    """A file in a folder below counts as much as one in the folder itself."""
    run = api.open_run(finished.files.root)
    file = finished.files.best / "scheduler" / "scheduler_config.json"
    before = file.read_bytes()
    try:
        file.write_bytes(before + b" ")
        assert any("scheduler_config.json has changed" in one.what for one in run.audit())
        with pytest.raises(LineageError, match="could not be reproduced"):
            run.reproduce(tmp_path / "again")
    finally:
        file.write_bytes(before)


def test_a_run_of_image_generators_is_described_as_a_crate(
    finished: TinyRun, tmp_path: Path
) -> None:
    """With each file of each component of the parents, by its digest."""
    (finished.files.environment).write_text(
        "{}"
    ) if not finished.files.environment.is_file() else None
    write_crate(finished.files, finished.config, tmp_path / "crate", models=True)
    graph = json.loads((tmp_path / "crate/ro-crate-metadata.json").read_bytes())["@graph"]
    known = {one["@id"]: one for one in graph}
    file = "unet/diffusion_pytorch_model.safetensors"
    assert known[f"best/{file}"]["sha256"] == digest_file(finished.files.best / file)
    parent = Path(finished.config.parents["a"].path)  # type: ignore[union-attr]
    assert known[f"#parent-a/{file}"]["sha256"] == digest_file(parent / file)


def test_the_lineage_of_an_image_generator_is_told(finished: TinyRun) -> None:
    """From the winner to its parents."""
    done = CliRunner().invoke(main, ["lineage", str(finished.files.root)])
    assert done.exit_code == 0, done.output
    assert "model a:" in done.output
    assert "licence creativeml-openrail-m" in done.output


def test_mergekit_is_not_given_an_image_generator(finished: TinyRun) -> None:
    """Which it could not merge; the message says so."""
    assert read_recipe(finished.files.best_recipe).owner == "b"
    with pytest.raises(RecipeError, match="mergekit merges language models, and `a` is an image"):
        export_best(finished.files, finished.config, {})
