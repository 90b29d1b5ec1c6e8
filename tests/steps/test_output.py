"""Places that users name: what stands there is never lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tsugiki.canonical import digest_file, pretty_json
from tsugiki.commands.all import main
from tsugiki.contracts.outcome import Measured, Scored
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.errors import ConfigError
from tsugiki.merge.marker import MARKER
from tsugiki.steps.output import require_place

COMMANDS = ("reproduce", "best", "merge")


@pytest.fixture
def run(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyRun:
    """A run with a winner and its own parents, in the folder that a user works in."""
    made = make_run()
    recipe = made.recipe(weight=0.25)
    made.write_population([recipe], phase="finalists")
    scored = Scored(
        recipe=recipe.digest,
        evaluation="",
        measured={"even": Measured(value=0.5, items=5)},
        rates={},
        weights="",
        records="",
    )
    entry = Ranked(id="000-00", recipe=recipe.digest, fitness=0.5, outcome=scored)
    generation = Generation(
        run="tiny", phase="finalists", generation=0, population="0" * 64, ranked=(entry,)
    )
    path = made.files.phase("finalists").generation(0).outcomes
    path.write_bytes(pretty_json(generation.model_dump(mode="json")))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return made


def invoke(run: TinyRun, command: str, out: Path | str) -> Result:
    """Have a command write the winner, or its recipe's model, to a place."""
    options: list[str] = [str(run.files.config)]
    if command == "merge":
        options = [str(run.candidate(run.recipe(weight=0.25), phase="finalists").recipe)]
        for name, source in run.config.parents.items():
            options += ["--models", f"{name}={source.folder}"]
    return CliRunner().invoke(main, [command, *options, "--out", str(out)])


def stand(kind: str, place: Path) -> None:
    """Put something of the user's at a place."""
    if kind == "a file":
        place.write_text("mine")
        return
    if kind == "a link to an empty folder":
        place.with_name("elsewhere").mkdir()
        place.symlink_to("elsewhere")
        return
    if kind == "a broken link":
        place.symlink_to("nowhere")
        return
    place.mkdir()
    (place / "chapter1.txt").write_text("years of work")
    if kind == "a folder with a recipe":
        (place / "recipe.json").write_text("{}")


def content(folder: Path) -> dict[str, str]:
    """Everything below a folder: links by their targets, files by their digests."""
    return {
        str(path): f"-> {path.readlink()}"
        if path.is_symlink()
        else digest_file(path)
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "kind",
    [
        "a file",
        "a folder",
        "a folder with a recipe",
        "a link to an empty folder",
        "a broken link",
    ],
)
def test_what_is_the_users_stays(
    run: TinyRun, command: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear error, before any work."""
    for module in ("tsugiki.steps.merge_once", "tsugiki.merge.write"):
        monkeypatch.setattr(f"{module}.open_merge", lambda *_: pytest.fail("it began"))
    stand(kind, Path("mine"))
    before = content(Path.cwd())
    result = invoke(run, command, "mine")
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("tsugiki: "), result.exception
    assert "where: mine" in result.stderr
    assert content(Path.cwd()) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_an_earlier_model_is_replaced_until_it_is_changed(run: TinyRun, command: str) -> None:
    """An empty folder too; and `~` is the home folder, also where no shell has seen to it."""
    if command == "reproduce":
        assert invoke(run, "best", run.files.best).exit_code == 0
    out = Path("again")
    out.mkdir()
    for _ in range(2):
        result = invoke(run, command, out)
        assert result.exit_code == 0, result.output
    assert (out / MARKER).is_file()
    (out / "notes.txt").write_text("mine")
    before = content(Path.cwd())
    result = invoke(run, command, out)
    assert result.exit_code == 1
    assert "notes.txt does not belong to it" in result.stderr
    assert content(Path.cwd()) == before


PLACES: dict[str, Callable[[TinyRun], Path]] = {
    "a parent": lambda run: run.config.parents["base"].folder,
    "in a parent": lambda run: run.config.parents["a"].folder / "merged",
    "above the parents": lambda run: run.config.parents["base"].folder.parent,
    "the results": lambda run: run.config.results_folder,
    "above the results": lambda run: run.config.results_folder.parent,
    "the run": lambda run: run.files.root,
    "in the run": lambda run: run.files.root / "again",
    "a stage of the run": lambda run: run.files.phase("ps").best,
    "prepared parents": lambda run: run.config.results_folder / "prepared-parents",
    "among the demo's models": lambda run: run.config.results_folder / "demo-parents" / "x",
    "the working folder": lambda _: Path(),
    "above the working folder": lambda _: Path(".."),
    "below a file": lambda run: run.config.parents["base"].folder / "config.json" / "x",
    "the root": lambda _: Path("/"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_a_run_needs_stays(run: TinyRun, command: str, place: str) -> None:
    """Even where nothing stands as yet."""
    if command == "merge" and place in ("prepared parents", "among the demo's models"):
        pytest.skip("a merge knows of no run's results")
    before = content(run.files.root)
    parents = {name: content(source.folder) for name, source in run.config.parents.items()}
    result = invoke(run, command, PLACES[place](run))
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("tsugiki: "), result.exception
    assert content(run.files.root) == before
    assert {name: content(one.folder) for name, one in run.config.parents.items()} == parents


def test_a_parent_that_tsugiki_wrote_is_not_replaced(run: TinyRun, tmp_path: Path) -> None:
    """Its marker says that it could be made again; but it is to be read now. Links lead to it too."""
    first = tmp_path / "first"
    assert invoke(run, "merge", first).exit_code == 0
    (tmp_path / "link").symlink_to(first)
    assert require_place(first, [])
    for model in (first, tmp_path / "link", first / "below"):
        with pytest.raises(ConfigError, match="overwrite model"):
            require_place(first, [model])


def test_a_runs_own_best_model_is_replaced_by_the_run_alone(run: TinyRun) -> None:
    """Also one without a marker, as earlier versions wrote it; `reproduce` would compare it with itself."""
    for out in ("", str(run.files.best)):
        options = ["--out", out] if out else []
        result = CliRunner().invoke(main, ["best", str(run.files.config), *options])
        assert result.exit_code == 0, result.output
        (run.files.best / MARKER).unlink()
        (run.files.best / ".snakemake_timestamp").touch()
    before = content(run.files.best)
    for command in ("reproduce", "merge"):
        result = invoke(run, command, run.files.best)
        assert result.exit_code == 1
        assert "in the folder of a run" in result.stderr
    assert content(run.files.best) == before


def test_a_home_folder_is_found_without_a_shell(
    run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `--out=~/merged`, which bash leaves as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    result = invoke(run, "best", "~/merged")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "home" / "merged" / MARKER).is_file()
    assert not Path("~").exists()


def test_an_export_replaces_no_other_file(run: TinyRun) -> None:
    """The same text may be written again."""
    command = ["export", str(run.files.config), "--mergekit", "--out"]
    for _ in range(2):
        assert CliRunner().invoke(main, [*command, "merge.yaml"]).exit_code == 0
    Path("notes.txt").write_text("mine")
    Path("link").symlink_to("merge.yaml")
    for out in ("notes.txt", "link", "."):
        result = CliRunner().invoke(main, [*command, out])
        assert result.exit_code == 1
        assert "something else stands" in result.stderr
    assert Path("notes.txt").read_text() == "mine"
    assert Path("link").is_symlink()
