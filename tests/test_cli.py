"""The command line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tsugiki.commands.all import main
from tsugiki.contracts.population import Population
from tsugiki.errors import InfrastructureError


def invoke(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, list(arguments))


def evaluated_run(make_run: MakeRun) -> TinyRun:
    """A run whose first generation is drawn, scored and ranked by the commands."""
    run = make_run()
    config = str(run.files.config)
    for arguments in (
        ("start", config, "--stage", "ps"),
        ("evaluate", config, "--series", "ps"),
        ("rank", config, "--series", "ps"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
    return run


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    """Without running anything."""
    command = main.commands[name]
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert command.help.splitlines()[0] in " ".join(result.output.split())


def test_the_commands_of_the_workflow_draw_score_rank_and_select(make_run: MakeRun) -> None:
    """Each writes what the next reads."""
    run = evaluated_run(make_run)
    result = invoke("select", str(run.files.config), "--stage", "ps")
    assert result.exit_code == 0, result.output
    written = run.files.phase("ps").generation(1).population.read_bytes()
    assert len(Population.model_validate_json(written).candidates) == 4


def test_a_fault_of_the_configuration_is_printed_without_a_traceback(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Exit status 1."""
    tiny_config["stages"][0]["strategy"]["sigmaa"] = 1
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_config))
    done = subprocess.run(
        [sys.executable, "-m", "tsugiki.cli", "start", str(path), "--stage", "ps"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("tsugiki: 1 fault in the configuration\n")
    assert "`stages[0].strategy.sigmaa`: unknown key; nearest valid names: `sigma`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rank", "nowhere.yaml", "--series", "ps"), "cannot read the configuration"),
        (("start", "{config}", "--stage", "pss"), "unknown stage 'pss'"),
        (("start", "{config}", "--stage", "ps"), "not locked yet"),
        (("rank", "{config}", "--series", "ps"), "ps/gen-000/population.json"),
        (("best", "{config}"), "not locked yet"),
        (("reproduce", "{config}", "--out", "x"), "finalists/gen-000/population.json"),
        (("compare", "{config}"), "test/gen-000/population.json"),
        (("finalists", "{config}"), "ps/gen-003/state.npz"),
        (("evaluate", "{config}", "--series", "ps"), "items.json"),
        (("select", "{config}", "--stage", "ps"), "ps/space.json"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_that_comes_too_early_says_what_is_missing(
    tiny_config: dict[str, Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """Exit status 1 and no traceback, whatever has not been made yet."""
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_config))
    result = invoke(*(part.format(config=path) for part in arguments))
    assert result.exit_code == 1
    assert result.stderr.startswith("tsugiki: "), result.exception
    assert message in result.stderr


def test_a_fault_of_the_machine_has_an_exit_status_of_its_own(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """75, EX_TEMPFAIL: the workflow tries the job again."""
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_config))

    def fail(*_arguments: object) -> None:
        raise InfrastructureError("the disk is full", where="/scratch")

    monkeypatch.setattr("tsugiki.steps.start.write_first", fail)
    result = invoke("start", str(path), "--stage", "ps")
    assert result.exit_code == 75
    assert result.stderr == "tsugiki: the disk is full\n  where: /scratch\n"


def test_ctrl_c_says_how_to_go_on(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a traceback, and in a job of the workflow, which says it itself, without a word."""
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_config))

    def stop(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tsugiki.steps.start.write_first", stop)
    result = invoke("start", str(path), "--stage", "ps")
    assert result.exit_code == 130
    assert result.stderr.strip() == "stopped; give the same command to go on"
    result = invoke("--log", str(tmp_path / "log"), "start", str(path), "--stage", "ps")
    assert result.exit_code == 130
    assert result.output == ""


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/scratch/x"), 75),
        (OSError(errno.ESTALE, "Stale file handle", "/scratch/x"), 75),
        (PermissionError(errno.EACCES, "Permission denied", "/scratch/x"), 1),
    ],
    ids=["full disk", "file server", "permission"],
)
def test_an_error_of_the_system_names_its_file(
    tiny_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: OSError,
    status: int,
) -> None:
    """Tried again where that may help."""
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_config))

    def fail(*_arguments: object) -> None:
        raise fault

    monkeypatch.setattr("tsugiki.steps.start.write_first", fail)
    result = invoke("start", str(path), "--stage", "ps")
    assert result.exit_code == status
    assert result.stderr == f"tsugiki: {fault.strerror}\n  where: /scratch/x\n"


def test_schema_notices_what_is_out_of_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And writes it when asked to."""
    monkeypatch.chdir(tmp_path)
    result = invoke("schema")
    assert result.exit_code == 1
    assert "run `tsugiki schema --write`" in result.stderr
    assert invoke("schema", "--write").exit_code == 0
    assert invoke("schema").exit_code == 0
    page = Path("config/README.md")
    page.write_text(page.read_text() + "more\n")
    assert invoke("schema").exit_code == 1


@pytest.mark.parametrize("page", ["config/README.md", "workflow/schemas/config.schema.json"])
def test_schema_replaces_only_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """A user's own folder may have a page of that name."""
    monkeypatch.chdir(tmp_path)
    path = Path(page)
    path.parent.mkdir(parents=True)
    path.write_text("# Mine\n")
    result = invoke("schema", "--write")
    assert result.exit_code == 1
    assert f"where: {page}" in result.stderr
    assert [file for file in Path().rglob("*") if file.is_file()] == [path]
    assert path.read_text() == "# Mine\n"


def test_init_writes_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says where."""
    monkeypatch.chdir(tmp_path)
    result = invoke("init", "my-merge")
    assert result.output == "config/my-merge.yaml\n"
    assert Path("config/my-merge.yaml").is_file()
    again = invoke("init", "my-merge")
    assert again.exit_code == 1
    assert "there already" in again.stderr
    Path("config/other.yaml").symlink_to("nowhere.yaml")
    assert invoke("init", "other").exit_code == 1
    assert Path("config/other.yaml").is_symlink()


def test_check_prints_what_it_found(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    """Exit status 0 for parents that can be merged."""
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tiny_config))
    result = invoke("check", str(path))
    assert result.exit_code == 0, result.output
    assert not list((tmp_path / "results").rglob("*.safetensors"))


def test_the_installed_command_is_the_same_program() -> None:
    """`tsugiki` and `python -m tsugiki.cli`."""
    command = Path(sys.executable).parent / "tsugiki"
    shown = [
        subprocess.run(call, check=True, capture_output=True, text=True, env=os.environ).stdout
        for call in (
            [str(command), "--version"],
            [sys.executable, "-m", "tsugiki.cli", "--version"],
        )
    ]
    assert shown[0].split()[-1] == shown[1].split()[-1]
