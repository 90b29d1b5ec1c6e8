"""Folders that a run cannot use, or where something of the user's would be lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsugiki.config.load import dump_config, parse_config
from tsugiki.config.validate import validate_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.parents.locate import digest_memory, prepared_cache

Raw = dict[str, Any]


def check(raw: Raw) -> None:
    """Validate a configuration."""
    validate_config(parse_config(raw, where="x"), where="x")


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("res{x}", "`results`: 'res{x}' has a brace"),
        ("a\nb", "has a brace or a line break"),
        ("-x", "begins with `-`"),
        ("./-x", "begins with `-`"),
        ("~nobody-of-that-name/x", "home folder of a user who is not there"),
    ],
)
def test_results_that_the_workflow_cannot_use_are_refused(
    tiny_config: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str, message: str
) -> None:
    """Snakemake would take braces for wildcards, and a command what begins with `-` for an option."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        check(tiny_config | {"results": results})


def test_tasks_in_folders_that_the_workflow_cannot_use_are_refused(
    tiny_config: Raw, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Also files in them."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for path in tiny_tasks.iterdir():
        (tasks / path.name).write_bytes(path.read_bytes())
    tiny_config["evaluation"]["task_paths"] = [str(tasks)]
    check(tiny_config)
    (tasks / "{x}.json").touch()
    with pytest.raises(ConfigError, match=r"`evaluation.task_paths`: .*\{x\}.json' has a brace"):
        check(tiny_config)


@pytest.mark.parametrize("results", ["res#1?x", 'it\'s "here"', "$HOME", "a b*[c]", "é", "."])
def test_other_signs_are_fine(
    tiny_config: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str
) -> None:
    """Whatever a shell may think of them."""
    monkeypatch.chdir(tmp_path)
    check(tiny_config | {"results": results})


def test_a_home_folder_is_found_everywhere(
    tiny_config: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parents, tasks and results; the configuration is recorded as it was written."""
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    models = Path(tiny_config["parents"]["a"]["path"]).parent
    (home / "models").symlink_to(models)
    (home / "tasks").symlink_to(tiny_config["evaluation"]["task_paths"][0])
    tiny_config["parents"] = {name: {"path": f"~/models/{name}"} for name in ("base", "a", "b")}
    tiny_config["evaluation"]["task_paths"] = ["~/tasks"]
    config = parse_config(tiny_config | {"results": "~/results"}, where="x")
    validate_config(config, where="x")
    assert config.folder == home / "results" / "tiny"
    assert {digest_memory(config).parent, prepared_cache(config).parent} == {home / "results"}
    assert b"~/models/a" in dump_config(config)
    tiny_config["parents"]["b"] = {"path": "~/mdels/b"}
    with pytest.raises(ConfigError, match="there is no folder '~/mdels/b'"):
        check(tiny_config)


STANDING: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "an empty folder": lambda path: path.mkdir(parents=True),
    "locked parents": lambda path: (path.mkdir(parents=True), RunFiles(path).parents.touch()),
    "divided items": lambda path: (path.mkdir(parents=True), RunFiles(path).items.touch()),
    "a run": lambda path: (path.mkdir(parents=True), RunFiles(path).config.touch()),
    "notes": lambda path: (path.mkdir(parents=True), (path / "notes.txt").touch()),
    "a report": lambda path: (path.mkdir(parents=True), (path / "report.html").touch()),
    "a folder as a stage's": lambda path: (path / "ps").mkdir(parents=True),
    "a file": lambda path: (path.parent.mkdir(parents=True), path.touch()),
    "a folder of best things": lambda path: (path / "best").mkdir(parents=True),
}


@pytest.mark.parametrize("standing", STANDING)
def test_a_run_is_not_put_into_a_folder_that_holds_something_else(
    tiny_config: Raw, tmp_path: Path, standing: str
) -> None:
    """Its `best`, `figures` or `report.html` would be replaced."""
    results = tmp_path / "elsewhere"
    STANDING[standing](results / "tiny")
    raw = tiny_config | {"results": str(results)}
    if standing.startswith(("a file", "a folder", "a report")):
        with pytest.raises(ConfigError, match="which is no run's"):
            check(raw)
    else:
        check(raw)


def test_a_parent_in_the_runs_own_folder_is_refused(tiny_config: Raw, tmp_path: Path) -> None:
    """Say, the best model of an earlier run of that name: it would be replaced by its own child."""
    files = RunFiles(tmp_path / "results" / "tiny")
    files.best.mkdir(parents=True)
    files.config.touch()
    raw = tiny_config | {"results": str(tmp_path / "results")}
    check(raw)
    raw["parents"]["b"] = {"path": str(files.best)}
    with pytest.raises(ConfigError, match=r"`parents.b.path`: .* lies in the run's own folder"):
        check(raw)
    check(raw | {"name": "other"})
