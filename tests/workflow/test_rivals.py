"""Rivals in a whole run: they are searched like a stage, and have rows in the final table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.workflow.small_run import UNTRACKED, settings
from tests.workflow.workspace import finished_workspace
from tsugiki.contracts.ledger import scored_generations
from tsugiki.contracts.recipe import Recipe, read_recipe


def test_rivals_have_rows_and_the_run_is_sound(tmp_path: Path) -> None:
    """Generations as large as the stage's; the climb starts from tuned task arithmetic; nothing is left."""
    config: dict[str, Any] = settings() | UNTRACKED
    config |= {"rivals": ["random", "climb"], "finalists": {"top": 2}}
    config["stages"][0] |= {"strategy": {"kind": "cma_es"}, "budget": {"generations": 2}}
    run = finished_workspace(tmp_path / "run", config)
    phase = {name: run.files.phase(name) for name in ("ps", "ps-random", "ps-climb", "baselines")}
    sizes = {
        name: [len(one.ranked) for one in scored_generations(of)] for name, of in phase.items()
    }
    assert sizes["ps-random"] == sizes["ps-climb"] == sizes["ps"]

    table = json.loads(run.files.final.read_bytes())
    rows = {row["name"]: row for row in table["rows"]}
    assert table["winner"] == "evolved"
    assert rows["random search"]["kind"] == rows["coordinate climb"]["kind"] == "rival"
    assert rows["random search"]["tried"] == rows["evolved"]["tried"] == sum(sizes["ps"])
    assert rows["arithmetic-tuned"]["tried"] == 2
    assert rows["coordinate climb"]["against_winner"]["p_holm"] <= 1
    assert "coordinate climb" in run.files.report.read_text(encoding="utf-8")

    (tried,) = scored_generations(phase["baselines"])
    tuned = [
        (entry.fitness or 0.0, recipe)
        for entry in tried.ranked
        if isinstance(
            recipe := read_recipe(phase["baselines"].candidate(entry.recipe).recipe), Recipe
        )
        and recipe.method == "task_arithmetic"
    ]
    _, best = max(tuned, key=lambda one: one[0])
    (first, *_) = scored_generations(phase["ps-climb"])[0].ranked
    start = read_recipe(phase["ps-climb"].candidate(first.recipe).recipe)
    assert isinstance(start, Recipe)
    for parent, by_group in start.parameters["weight"].values.items():
        assert set(by_group.values()) == set(best.parameters["weight"].values[parent].values())
        assert len(by_group) > 1

    audited = run.tsugiki("audit", "tiny.yaml")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert "Nothing to be done" in run.run("--quiet", "host", "--dry-run")
