"""Names that tsugiki uses itself are refused before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import raw_config
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.contracts.layout import FILES, RunFiles, run_is_taken, stage_is_taken
from tsugiki.contracts.outcome import Measured, Scored
from tsugiki.contracts.population import Ranked
from tsugiki.errors import ConfigError
from tsugiki.finalists.choose import finalist_population
from tsugiki.parents.locate import demo_cache, prepared_cache
from tsugiki.tracking.store import own_artifacts, own_database

Raw = dict[str, Any]


def rename_parent(raw: Raw, name: str) -> None:
    """Give parent `b` another name."""
    raw["parents"][name] = raw["parents"].pop("b")
    raw["stages"][0]["parents"] = ["a", name]


def rename_stage(raw: Raw, name: str) -> None:
    """Give the stage another name."""
    raw["stages"][0]["name"] = name


def rename_baseline(raw: Raw, name: str) -> None:
    """Have one baseline, of that name."""
    raw["baselines"] = [{"name": name, "method": "linear", "parameters": {"weight": 1.0}}]


def rename_run(raw: Raw, name: str) -> None:
    """Give the run another name."""
    raw["name"] = name


@pytest.mark.parametrize(
    ("rename", "name", "key"),
    [
        (rename_parent, "evolved", "parents.evolved"),
        (rename_baseline, "evolved", "name"),
        (rename_baseline, "base", "name"),
        (rename_baseline, "ps", "name"),
        (rename_stage, "evolved", "name"),
        (rename_stage, "test", "name"),
        (rename_stage, "finalists-a", "name"),
        (rename_stage, "a", "name"),
        (rename_run, "demo-parents", "name"),
        (rename_run, "prepared-parents", "name"),
        (rename_run, "decompositions", "name"),
    ],
)
def test_a_name_that_is_taken_is_refused(
    tiny_config: Raw, rename: Callable[[Raw, str], None], name: str, key: str
) -> None:
    """By tsugiki, or by another part of the configuration."""
    rename(tiny_config, name)
    with pytest.raises(ConfigError, match=re.escape(f"{key}`: '{name}' is")):
        validate_config(parse_config(tiny_config, where="x"), where="x")


@pytest.mark.parametrize("name", ["test", "baselines", "finalists", "best", "final", "mean"])
def test_names_that_meet_nothing_are_allowed(tiny_config: Raw, name: str) -> None:
    """A parent or baseline has a row in the table, and no folder in a run."""
    rename_parent(tiny_config, name)
    rename_baseline(tiny_config, f"{name}-merged")
    validate_config(parse_config(tiny_config, where="x"), where="x")


def test_every_folder_that_a_run_has_is_reserved() -> None:
    """A stage of that name would write into it."""
    raw = raw_config(Path("models"), Path("tasks"), Path("results"))
    raw["stages"].append({**raw["stages"][0], "name": "later"})
    config = parse_config(raw, where="x")
    files = RunFiles(config.folder)
    own = {files.best.name, files.figure("x").parent.name, own_artifacts(files).name}
    own |= {"logs", "benchmarks"} | set(config.phases) - {"ps", "later"}
    assert "finalists-ps" in own
    assert {name for name in own if not stage_is_taken(name)} == set()
    once = {files.final, files.folding, files.report, files.environment, files.tracked}
    once |= {own_database(files)}
    assert {path.name for path in once} == FILES
    assert run_is_taken(demo_cache(config).name)
    assert run_is_taken(prepared_cache(config).name)
    rules = "".join(path.read_text() for path in Path(__file__).parents[2].glob("rules/*.smk"))
    named = set(re.findall(r'RUN\.root / "([a-z0-9-]+)/', rules))
    assert {name for name in named if not stage_is_taken(name)} == set()


def test_names_of_finalists_are_no_valid_names() -> None:
    """So that none can be a parent's, a stage's or a baseline's."""
    measured = {"m": Measured(value=0.5, items=8)}
    outcome = Scored.model_construct(recipe="0" * 64, measured=measured)
    chosen = [Ranked(id="003-07", recipe="0" * 64, fitness=0.5, outcome=outcome)]
    population = finalist_population("run", chosen, "1" * 64, [])
    for candidate in population.candidates:
        raw = raw_config(Path("models"), Path("tasks"), Path("results"))
        rename_parent(raw, str(candidate.origin["name"]))
        with pytest.raises(ConfigError, match="not a valid name: lower-case letters, digits"):
            parse_config(raw, where="x")


def test_the_rule_for_names_is_in_the_message(tiny_config: Raw) -> None:
    """Not a regular expression alone."""
    rename_stage(tiny_config, "My Stage")
    with pytest.raises(ConfigError, match=r"digits, `-` and `_`; at most 64.*got 'My Stage'"):
        parse_config(tiny_config, where="x")
