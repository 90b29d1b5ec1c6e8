"""Two recipes differ by their values; two runs by configuration, parents, genes and answers."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.synthetic_runs import SyntheticRun
from tsugiki.config.load import read_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.samples import read_samples
from tsugiki.lineage.differences import Differences, diff_recipes, diff_runs, render


def test_recipes_differ_in_the_values_of_their_genes(finished: SyntheticRun) -> None:
    """Each value by its parameter, parent and group; nothing else."""
    first = finished.plain("linear", "japanese", "maths", weight=0.25)
    second = finished.plain("linear", "japanese", "maths", weight=0.5)
    found = diff_recipes(first, second)
    assert found.recipe == {
        f"parameters.weight.values.{name}.model": (0.25, 0.5) for name in ("japanese", "maths")
    }
    assert diff_recipes(first, first) == Differences()


def test_a_run_does_not_differ_from_itself(finished: SyntheticRun, copied: RunFiles) -> None:
    """Wherever it lies; all its answers are as good."""
    found = diff_runs((finished.files, finished.config), (copied, finished.config))
    assert (found.configuration, found.parents, found.recipe) == ({}, {}, {})
    assert all(one.first_better == one.second_better == () for one in found.scores.values())
    assert {one.documents for one in found.scores.values()} == {finished.items}


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_runs_differ_by_configuration_parents_and_winner(
    finished: SyntheticRun, copied: RunFiles, goal: str
) -> None:
    """The key, the parent and the answers that differ are named; what is better is as the goal says."""
    lock = yaml.safe_load(copied.config.read_text())
    lock["evaluation"]["objectives"][0]["goal"] = goal
    copied.config.write_text(yaml.safe_dump(lock))
    config = read_config(copied.config)
    lock["seed"] = 99
    copied.config.write_text(yaml.safe_dump(lock))
    parents = json.loads(copied.parents.read_bytes())
    parents["parents"]["maths"]["commit"] = "f" * 40
    copied.parents.write_text(json.dumps(parents))
    population = copied.phase("test").generation(0).population
    value = json.loads(population.read_bytes())
    kinds = [one["origin"]["kind"] for one in value["candidates"]]
    winner, base = kinds.index("evolved"), kinds.index("base")
    for index, kind in ((winner, "base"), (base, "evolved")):
        value["candidates"][index]["origin"]["kind"] = kind
    population.write_text(json.dumps(value))
    found = diff_runs((finished.files, config), (copied, read_config(copied.config)))
    assert found.configuration == {"seed": (str(finished.config.seed), "99")}
    assert list(found.parents) == ["maths"]
    rows = [
        {
            row["doc_hash"]: row["value"]
            for row in read_samples(
                copied.phase("test").candidate(value["candidates"][one]["recipe"]).items
            ).to_pylist()
            if row["objective"] == "ja_maths"
        }
        for one in (winner, base)
    ]
    sign = 1 if goal == "maximize" else -1
    better = {one for one in rows[0] if sign * rows[0][one] > sign * rows[1][one]}
    assert set(found.scores["ja_maths"].first_better) == better
    assert better
    assert "seed: " in render(found)
