"""A sound run has no findings; every kind of tampering is found and its file named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.synthetic_runs import SyntheticRun
from tsugiki.audit.audit import audit
from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import CandidateFiles, RunFiles
from tsugiki.contracts.ledger import Entry
from tsugiki.contracts.population import Population


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def first_candidate(files: RunFiles) -> CandidateFiles:
    """The first candidate of the stage."""
    population = files.phase("ps").generation(0).population.read_bytes()
    return files.phase("ps").candidate(
        Population.model_validate_json(population).candidates[0].recipe
    )


def change_outcomes(files: RunFiles) -> str:
    """Raise a fitness in the ledger."""
    path = files.phase("ps").generation(0).outcomes
    edit(path, lambda value: value["ranked"][0].update(fitness=0.99))
    return "ps/gen-000/outcomes.json: candidate 000-00 has another fitness"


def change_outcomes_silently(files: RunFiles) -> str:
    """Only white space: every value is as it was, but the next generation knows the bytes."""
    path = files.phase("ps").generation(0).outcomes
    path.write_bytes(path.read_bytes() + b"\n")
    return "ps/gen-001/population.json: does not follow from the generation before"


def change_population(files: RunFiles) -> str:
    """Move a gene of one candidate."""
    path = files.phase("ps").generation(1).population
    edit(path, lambda value: value["candidates"][0]["genome"].__setitem__(0, 0.123))
    return "ps/gen-001/outcomes.json: ranks another population"


def change_state(files: RunFiles) -> str:
    """Swap the strategy's state."""
    files.phase("ps").generation(1).state.write_bytes(b"another")
    return "ps/gen-001/population.json: was not drawn from this state"


def change_recipe(files: RunFiles) -> str:
    """Another mask seed."""
    edit(first_candidate(files).recipe, lambda value: value.update(mask_seed=7))
    return "recipe.json: is not the recipe of candidate 000-00"


def lose_recipe(files: RunFiles) -> str:
    """Remove a recipe."""
    first_candidate(files).recipe.unlink()
    return "recipe.json: the recipe is missing"


def change_search_score(files: RunFiles) -> str:
    """A finalist is said to have searched better than it did."""
    path = files.phase("finalists").generation(0).population
    edit(path, lambda value: value["candidates"][0]["origin"].update(search="0.99", items="8"))
    return "the search score of finalist 000-00 is not the ledger's"


def change_outcome(files: RunFiles) -> str:
    """A candidate's own outcome contradicts the ledger."""
    edit(first_candidate(files).outcome, lambda value: value.update(weights="f" * 64))
    return "outcome.json: is not what the ledger says of candidate 000-00"


def mix_evaluations(files: RunFiles) -> str:
    """Another evaluation scored a candidate of a later generation, in the ledger as in its outcome."""
    path = files.phase("ps").generation(1).outcomes
    ledger = json.loads(path.read_bytes())
    ledger["ranked"][0]["outcome"]["evaluation"] = "1" * 64
    path.write_text(json.dumps(ledger))
    candidate = files.phase("ps").candidate(ledger["ranked"][0]["recipe"])
    edit(candidate.outcome, lambda value: value.update(evaluation="1" * 64))
    return "candidate 001-00 was scored by another evaluation than the first one"


def change_items(files: RunFiles) -> str:
    """One item more is right."""
    path = first_candidate(files).items
    table = pq.read_table(path)
    values = table["value"].to_pylist()
    values[values.index(0.0)] = 1.0
    column = table.schema.get_field_index("value")
    pq.write_table(table.set_column(column, "value", [values]), path)
    return "items.parquet: `ja_maths` has another mean"


def change_items_silently(files: RunFiles) -> str:
    """Compress the same rows in another way."""
    path = first_candidate(files).items
    pq.write_table(pq.read_table(path), path, compression="gzip")
    return "items.parquet: has changed since it was scored"


def lose_items(files: RunFiles) -> str:
    """Remove the record of the items."""
    first_candidate(files).items.unlink()
    return "items.parquet: the record of the items is missing"


def change_item_sets(files: RunFiles) -> str:
    """Swap search and validation documents."""

    def swap(value: Any) -> None:
        sets = value["tasks"]["demo_ja_maths"]
        sets["search"], sets["validation"] = sets["validation"], sets["search"]

    edit(files.items, swap)
    return "items.parquet: `ja_maths` was scored on documents of another set"


def overlap_item_sets(files: RunFiles) -> str:
    """A search document is also a test document."""

    def overlap(value: Any) -> None:
        sets = value["tasks"]["demo_ja_maths"]
        sets["test"][0] = sets["search"][0]

    edit(files.items, overlap)
    return "items.json: not a valid division of the items"


def change_config(files: RunFiles) -> str:
    """Another seed was locked."""
    value = yaml.safe_load(files.config.read_text())
    value["seed"] = 99
    files.config.write_text(yaml.safe_dump(value))
    return "config.lock.yaml: the configuration has changed since it was locked, in `seed`"


def lose_config(files: RunFiles) -> str:
    """No lock of the configuration."""
    files.config.unlink()
    return "config.lock.yaml: the locked configuration is missing"


def damage_config(files: RunFiles) -> str:
    """Not a configuration."""
    files.config.write_text("name: [")
    return "config.lock.yaml: the locked configuration cannot be read"


def move_parent(files: RunFiles) -> str:
    """A parent was locked from another folder."""
    edit(files.parents, lambda value: value["parents"]["maths"]["source"].update(path="elsewhere"))
    return "parents.lock.json: parent maths was locked from another source"


def unlock_parent(files: RunFiles) -> str:
    """A parent is not locked."""
    edit(files.parents, lambda value: value["parents"].pop("maths"))
    return "parents.lock.json: parent maths is not locked"


def change_parent(files: RunFiles) -> str:
    """The lock lists another file than the recipes were made from."""

    def change(value: Any) -> None:
        value["parents"]["maths"] = value["parents"]["japanese"] | {
            "source": value["parents"]["maths"]["source"]
        }

    edit(files.parents, change)
    return "names other weights for maths"


def change_final(files: RunFiles) -> str:
    """The final table claims more than the items show."""
    edit(files.final, lambda value: value.update(solved_by_no_parent=39))
    return "final.json: the final table does not follow from the scored items"


def change_best(files: RunFiles) -> str:
    """The best model was made from another recipe."""
    edit(files.best / "recipe.json", lambda value: value.update(mask_seed=7))
    return "best/recipe.json: the best model was not made from the winner's recipe"


def damage_generation(files: RunFiles) -> str:
    """Half a file."""
    path = files.phase("ps").generation(1).population
    path.write_bytes(path.read_bytes()[:100])
    return "not a valid population"


def test_a_sound_run_has_no_findings(finished: SyntheticRun) -> None:
    """A failed candidate is no fault of the run."""
    assert audit(finished.files, finished.config) == []


@pytest.mark.parametrize(
    "tamper",
    [
        change_outcomes, change_outcomes_silently, change_population, change_state,
        change_recipe, lose_recipe, change_outcome, mix_evaluations, change_items, change_items_silently,
        lose_items, change_item_sets, overlap_item_sets, change_config, lose_config,
        damage_config, move_parent, unlock_parent, change_parent, change_final, change_best,
        change_search_score, damage_generation,
    ],
)  # fmt: skip
def test_tampering_is_found(
    finished: SyntheticRun, copied: RunFiles, tamper: Callable[[RunFiles], str]
) -> None:
    """The finding names the file and what is wrong with it."""
    expected = tamper(copied)
    findings = [str(finding) for finding in audit(copied, finished.config)]
    assert any(expected in finding for finding in findings), findings


def test_a_run_that_was_locked_with_its_goals_written_out_is_sound(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """As all were before tasks were asked for them; its items.json names none."""
    lock = yaml.safe_load(copied.config.read_text())
    for one in [*lock["evaluation"]["objectives"], *lock["evaluation"]["monitors"]]:
        assert one["goal"] is None
        one["goal"] = "maximize"
    copied.config.write_text(yaml.safe_dump(lock))
    assert audit(copied, finished.config) == []


def test_a_run_of_a_version_with_other_defaults_is_sound(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """What the configuration leaves to them is what was recorded.

    And a final table need not say how many candidates were tried.
    """
    lock = yaml.safe_load(copied.config.read_text())
    lock["baselines"].pop()
    del lock["rivals"]
    copied.config.write_text(yaml.safe_dump(lock))
    table = json.loads(copied.final.read_bytes())
    assert sum("tried" in row for row in table["rows"]) > len(lock["baselines"])
    for row in table["rows"]:
        row.pop("tried", None)
    copied.final.write_text(json.dumps(table))
    left_out = finished.config.model_dump(exclude={"rivals", "baselines"})
    assert audit(copied, RunConfig.model_validate(left_out)) == []
    assert any(
        "`baselines[" in str(one)
        for one in audit(copied, RunConfig.model_validate(finished.config.model_dump()))
    )


def test_goals_that_the_tasks_decided_are_part_of_the_audit(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """Fitness follows from the goals that items.json records."""
    edit(copied.items, lambda value: value.update(goals={"ja_maths": "minimize"}))
    findings = [str(finding) for finding in audit(copied, finished.config)]
    assert any("candidate 000-00 has another fitness" in one for one in findings)


def test_a_run_under_way_is_sound_as_far_as_it_has_come(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """What is not there yet is no finding."""
    shutil.rmtree(copied.phase("ps").generation(3).root)
    copied.phase("ps").generation(2).outcomes.unlink()
    for phase in ("baselines", "finalists", "test"):
        shutil.rmtree(copied.phase(phase).root)
    shutil.rmtree(copied.best)
    copied.final.unlink()
    assert audit(copied, finished.config) == []


def test_a_moved_run_is_as_sound_as_before(
    finished: SyntheticRun, copied: RunFiles, tmp_path: Path
) -> None:
    """Nothing in the ledger names an absolute path."""
    moved = RunFiles(tmp_path / "elsewhere" / "renamed")
    moved.root.parent.mkdir()
    copied.root.rename(moved.root)
    assert audit(moved, finished.config) == []
    moved.root.rename(copied.root)


def test_each_generation_is_selected_again_from_the_one_before(finished: SyntheticRun) -> None:
    """The callback gets consecutive generations, after none the first; faults are the second's."""
    asked = []

    def reselect(first: Entry | None, second: Entry) -> str | None:
        if second.population.phase == "ps":
            asked.append((None if first is None else first.number, second.number))
        differs = second.number == 2
        return "selecting again gives other candidates" if differs else None

    findings = audit(finished.files, finished.config, reselect=reselect)
    assert asked == [(None, 0), (0, 1), (1, 2), (2, 3)]
    assert [str(finding) for finding in findings] == [
        "ps/gen-002/population.json: selecting again gives other candidates"
    ]


def test_auditing_changes_nothing(finished: SyntheticRun, copied: RunFiles) -> None:
    """Not a byte of the run."""
    before = {path: digest_file(path) for path in copied.root.rglob("*") if path.is_file()}
    audit(copied, finished.config)
    after = {path: digest_file(path) for path in copied.root.rglob("*") if path.is_file()}
    assert after == before
