"""A run whose second stage merges the result of the first, in another space."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests.workflow.small_run import UNTRACKED, settings
from tests.workflow.workspace import Workspace, finished_workspace
from tsugiki.canonical import digest_file
from tsugiki.contracts.locks import read_decompositions_lock
from tsugiki.contracts.recipe import read_recipe
from tsugiki.finalists.files import read_winner
from tsugiki.parents.run_models import read_stage_lock

STAGE = {
    "name": "dfs",
    "parents": ["ps", "left"],
    "space": {"kind": "dataflow", "repeats": 2, "dtype": "float32"},
    "strategy": {"kind": "bit_cma", "population": 5},
    "budget": {"generations": 2},
}


def hybrid() -> dict[str, Any]:
    """Parameter space, then data-flow space over its result, as in the paper."""
    config = settings() | UNTRACKED
    config["stages"][0]["budget"]["generations"] = 2
    weight = {"range": [0.0, 1.5], "start": 0.6, "grouping": "block"}
    config["stages"][0]["space"].update(
        method="svd_task_arithmetic", genes={"weight": weight, "rest": weight}, options={}
    )
    config["stages"].append(copy.deepcopy(STAGE))
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished run. Tests must not change it."""
    return finished_workspace(tmp_path_factory.mktemp("hybrid") / "run", hybrid())


@pytest.fixture
def copied(run: Workspace, tmp_path: Path) -> Workspace:
    """A copy to change."""
    shutil.copytree(run.root, tmp_path / "run", symlinks=True)
    return Workspace(tmp_path / "run")


def test_the_second_stage_starts_from_the_first_ones_best_model(run: Workspace) -> None:
    """It is an ordinary checkpoint, and its digest is in the recipes that are made from it."""
    locked = read_stage_lock(run.files.phase("ps").best_lock)
    best = run.files.phase("ps").best
    transformers.AutoModelForCausalLM.from_pretrained(best)
    assert {file.name: digest_file(best / file.name) for file in locked.files} == {
        file.name: file.sha256 for file in locked.files
    }
    first = json.loads(run.files.phase("dfs").generation(0).population.read_bytes())
    recipes = [
        read_recipe(run.files.phase("dfs").candidate(one["recipe"]).recipe)
        for one in first["candidates"]
    ]
    digests = [{ref.name: ref.digest for ref in recipe.models} for recipe in recipes]
    assert all(one["ps"] == locked.digest for one in digests)
    assert recipes[0].space == "dataflow"


def test_task_vectors_are_decomposed_once_before_candidates_are_scored(run: Workspace) -> None:
    """In a folder of all runs, one decomposition for each parent."""
    written = read_decompositions_lock(run.files.phase("ps").decomposed).decompositions.values()
    assert sorted(one.parent for one in written) == ["left", "right"]
    cache = run.root / "results/decompositions"
    assert {path.name for path in cache.iterdir()} == {one.folder for one in written}
    first = run.files.phase("ps").generation(0).evaluated(0)
    assert run.files.phase("ps").decomposed.stat().st_mtime <= first.stat().st_mtime
    assert not run.files.phase("dfs").decomposed.exists()


def test_a_stages_best_model_is_chosen_on_validation_items(run: Workspace) -> None:
    """And on search items: not by its search score alone, which owes much to luck."""
    files = run.files.phase("finalists-ps").generation(0)
    assert json.loads(files.population.read_bytes())["split"] == "validation"
    won = read_winner(run.files.phase("finalists-ps"))
    assert read_recipe(run.files.phase("ps").best / "recipe.json").digest == won.recipe


def test_the_table_has_a_row_for_each_stage(run: Workspace) -> None:
    """Earlier stages' winners are tested beside the run's."""
    rows = {row["name"]: row for row in json.loads(run.files.final.read_bytes())["rows"]}
    assert rows["ps"]["kind"] == "stage"
    assert rows["ps"]["method"] == "svd_task_arithmetic"
    assert rows["evolved"]["method"] == "dataflow"
    assert rows["ps"]["test"]["choice"]["items"] == 30


def test_the_best_model_loads_with_stock_transformers(run: Workspace) -> None:
    """Whatever path it takes."""
    model = transformers.AutoModelForCausalLM.from_pretrained(run.files.best)
    recipe = read_recipe(run.files.best / "recipe.json")
    assert recipe.space == "dataflow"
    assert model.config.num_hidden_layers == len(recipe.path)


def test_a_finished_run_has_nothing_to_do(run: Workspace) -> None:
    """Locks and folders of stages included."""
    assert "Nothing to be done" in run.run("--quiet", "host", "--dry-run")


def test_the_audit_follows_the_chain(copied: Workspace) -> None:
    """Sound as it is; another model in the first stage's place is found."""
    done = copied.tsugiki("audit", "tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    config = copied.files.phase("ps").best / "config.json"
    config.write_text(config.read_text().replace("llama", "LLAMA", 1))
    done = copied.tsugiki("audit", "tiny.yaml")
    assert done.returncode == 1
    assert "config.json" in done.stderr


def test_decompositions_that_are_gone_or_others_are_refused_and_made_again(
    copied: Workspace,
) -> None:
    """Before anything is merged from them; the audit names a lock of other ones."""
    lock = copied.files.phase("ps").decomposed
    written = lock.read_bytes()
    one, other = read_decompositions_lock(lock).decompositions.values()
    cache = copied.root / "results/decompositions"
    again = ("decompose", "tiny.yaml", "--stage", "ps")
    best = ("best", "tiny.yaml", "--stage", "ps", "--candidate", "000-00", "--out", "again")
    shutil.rmtree(cache / one.folder)
    done = copied.tsugiki(*best)
    assert done.returncode == 75, done.stdout + done.stderr
    assert "tsugiki decompose" in done.stderr
    file = cache / other.folder / other.file.name
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert copied.tsugiki(*again).returncode == 0
    assert lock.read_bytes() == written
    assert copied.tsugiki(*best).returncode == 0
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = copied.tsugiki(*best)
    assert done.returncode == 1
    assert "not those that were locked" in done.stderr
    changed = json.loads(written)
    changed["decompositions"]["0" * 16] = changed["decompositions"].popitem()[1]
    lock.write_text(json.dumps(changed))
    done = copied.tsugiki("audit", "tiny.yaml")
    assert "decompositions of other models or options" in done.stderr


def test_reproduction_builds_the_first_stages_best_model_again(copied: Workspace) -> None:
    """From the parents and the recipes alone: the stage's own folder may be gone."""
    shutil.rmtree(copied.files.phase("ps").best)
    done = copied.tsugiki("reproduce", "tiny.yaml", "--out", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    again = {path.name: digest_file(path) for path in (copied.root / "again").glob("[!.]*")}
    best = {path.name: digest_file(path) for path in copied.files.best.glob("[!.]*")}
    assert again == best
    assert not list(copied.root.glob(".again*"))


def planned(workspace: Workspace, config: dict[str, Any]) -> set[str]:
    """The stages' files that a run with this configuration would write."""
    workspace.configure(config)
    printed = workspace.run("--dry-run", "--quiet", "progress")
    outputs = " ".join(re.findall(r"output: (.*)", printed))
    return set(re.findall(r"results/tiny/(\w+/(?:space|best\.lock)\.json)", outputs))


def test_recorded_stages_are_not_started_anew(copied: Workspace) -> None:
    """Neither by a change of their own nor by one of a stage that they merge; the first is named."""
    config = hybrid()
    config["stages"][1]["strategy"]["flips"] = 2.0
    copied.configure(config)
    assert "stage dfs starts anew" in copied.run("--dry-run", fails=True)
    config = hybrid()
    config["stages"][0]["budget"]["generations"] = 3
    copied.configure(config)
    printed = copied.run("--dry-run", fails=True)
    assert "`stages[ps].budget.generations` 2 → 3: what follows from stage ps" in printed


def test_a_change_of_a_stage_that_has_not_begun_leaves_the_first_alone(copied: Workspace) -> None:
    """Only what depends on it is planned."""
    shutil.rmtree(copied.files.phase("dfs").root)
    config = hybrid()
    config["stages"][1]["strategy"]["flips"] = 2.0
    assert planned(copied, config) == {"dfs/space.json"}
    config = hybrid()
    config["stages"][0]["budget"]["generations"] = 3
    assert planned(copied, config) == {"ps/best.lock.json", "dfs/space.json"}
