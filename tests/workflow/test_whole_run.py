"""A small run from the configuration to the report."""

from __future__ import annotations

import json
import sqlite3

import transformers

from tests.workflow.workspace import Workspace
from tsugiki.contracts.population import Generation, Population


def test_best_model_loads_with_stock_transformers(finished: Workspace) -> None:
    """results/<run>/best is an ordinary checkpoint, with weights, tokenizer and recipe."""
    model = transformers.AutoModelForCausalLM.from_pretrained(finished.files.best)
    tokenizer = transformers.AutoTokenizer.from_pretrained(finished.files.best)
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert tokenizer("w3 w5")["input_ids"] == [6, 8]
    recipe = json.loads((finished.files.best / "recipe.json").read_text())
    assert recipe["method"] == "dare_ties"


def test_final_table_has_every_parent_and_baseline(finished: Workspace) -> None:
    """Parents, base, baselines and the evolved merge are all tested on the held-out items."""
    table = json.loads(finished.files.final.read_text())
    rows = {row["name"]: row for row in table["rows"]}
    assert {"evolved", "left", "right", "base", "average", "arithmetic-tuned"} <= set(rows)
    assert all(row["test"]["choice"]["items"] == 30 for row in rows.values())


def test_generations_are_chained_by_digest(finished: Workspace) -> None:
    """Each population names the outcomes before it, each ledger entry its population."""
    phase = finished.files.phase("ps")
    for number in range(3):
        files = phase.generation(number)
        following = phase.generation(number + 1)
        from tsugiki.canonical import digest_file

        entry = Generation.model_validate_json(files.outcomes.read_bytes())
        population = Population.model_validate_json(following.population.read_bytes())
        assert entry.population == digest_file(files.population)
        assert population.previous == digest_file(files.outcomes)
        assert population.state == digest_file(following.state)


def test_a_second_run_does_nothing(finished: Workspace) -> None:
    """With nothing changed there is nothing to do."""
    assert "Nothing to be done" in finished.run("--quiet", "host", "--dry-run")


def test_mlflow_has_a_run_for_every_candidate(finished: Workspace) -> None:
    """The SQLite store holds a parent run per phase and a nested run per candidate."""
    with sqlite3.connect(finished.files.root / "mlflow.db") as database:
        (nested,) = database.execute(
            "select count(*) from tags where key = 'mlflow.parentRunId'"
        ).fetchone()
        (runs,) = database.execute("select count(*) from runs").fetchone()
    candidates = sum(
        len(Population.model_validate_json(path.read_bytes()).candidates)
        for path in finished.files.root.rglob("population.json")
        if (path.parent / "outcomes.json").is_file()
    )
    assert nested == candidates
    assert runs == candidates + 4


def test_the_run_can_be_audited_and_reproduced(finished: Workspace) -> None:
    """Every generation can be drawn again, and the best model built again bit for bit."""
    config = str(finished.files.config)
    audit = finished.tsugiki("audit", config)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    again = finished.tsugiki("reproduce", config, "--out", str(finished.root / "again"))
    assert again.returncode == 0, again.stdout + again.stderr


def test_progress_is_printed(finished: Workspace, tmp_path_factory: object) -> None:
    """Each generation prints a line with its number, the best and the spread."""
    del tmp_path_factory
    log = (finished.files.root / "logs/ps/gen-002/rank.log").read_text()
    assert "generation 3 of 3" in log
    assert "best" in log
    assert "spread" in log


def test_no_temporary_file_is_left(finished: Workspace) -> None:
    """Nothing half-written, and no candidate's weights, outlive the run."""
    left = [path for path in finished.files.root.rglob("*") if path.name.endswith(".tmp")]
    weights = [
        path
        for path in finished.files.root.rglob("*.safetensors")
        if finished.files.best not in path.parents
    ]
    assert (left, weights) == ([], [])


def test_report_page_stands_alone(finished: Workspace) -> None:
    """report.html needs nothing from the network."""
    page = finished.files.report.read_text(encoding="utf-8")
    assert "<svg" in page
    assert 'src="http' not in page
    assert '<link rel="stylesheet" href="http' not in page


def test_no_output_holds_a_file_of_snakemakes(finished: Workspace) -> None:
    """It would be uploaded with the model."""
    assert (finished.files.best / ".tsugiki.json").is_file()
    assert list(finished.files.root.rglob(".snakemake*")) == []
