"""Files of a run that are cut or hold something else: one error that names the file, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.space.test_parameter_space import space_of
from tests.synthetic_runs import SyntheticRun, make_run
from tsugiki.audit.audit import check_config
from tsugiki.commands.all import main
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.ledger import read_generation, read_outcome, read_population
from tsugiki.contracts.locks import read_lock
from tsugiki.contracts.outcome import read_cost
from tsugiki.contracts.recipe import read_recipe
from tsugiki.contracts.samples import read_samples
from tsugiki.errors import TsugikiError
from tsugiki.finalists.table import read_final_table
from tsugiki.mergekit.document import read_document
from tsugiki.parents.run_models import read_stage_lock
from tsugiki.space.read import read_genome
from tsugiki.strategies.state import State, read_state
from tsugiki.yaml_file import read_yaml

READERS: dict[str, Callable[[Path], object]] = {
    "parents.lock.json": read_lock,
    "best.lock.json": read_stage_lock,
    "items.json": read_document_sets,
    "population.json": read_population,
    "outcomes.json": read_generation,
    "state.npz": read_state,
    "space.json": read_genome,
    "recipe.json": read_recipe,
    "outcome.json": read_outcome,
    "items.parquet": read_samples,
    "cost.json": read_cost,
    "final.json": read_final_table,
}
WHOLE = State("cma_es", {}, {"best": None}).to_bytes()
CONTENT = {
    "empty": b"",
    "cut text": b'{"version": 1, "run": "x", "candi',
    "cut archive": WHOLE[:-30],
    "head of an archive": WHOLE[:40],
    "another encoding": '{"version": 1}'.encode("utf-16"),
    "noise": bytes(range(256)),
    "array's head": b"\x93NUMPY\x01\x00v\x00",
    "another kind": b"[]",
    "nothing": b"null",
}


@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_damaged_is_named(tmp_path: Path, name: str, content: str) -> None:
    """Whatever it holds instead."""
    path = tmp_path / name
    path.write_bytes(CONTENT[content])
    with pytest.raises(TsugikiError) as caught:
        READERS[name](path)
    assert caught.value.where == str(path)


@pytest.fixture
def run(tmp_path: Path) -> SyntheticRun:
    """A finished run."""
    made = make_run(tmp_path / "results")
    made.write_all()
    return made


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("rank", "--series", "ps"), "population.json"),
        (("select", "--stage", "ps"), "population.json"),
        (("select", "--stage", "ps"), "outcomes.json"),
        (("select", "--stage", "ps"), "state.npz"),
        (("materialize", "--series", "ps"), "population.json"),
    ],
)
def test_a_step_names_the_damaged_file_that_it_reads(
    run: SyntheticRun, tmp_path: Path, arguments: tuple[str, ...], name: str
) -> None:
    """Status 1: another try would not help."""
    value = run.config.model_dump(mode="json")
    value |= {"results": str(run.files.root.parent), "name": run.files.root.name}
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(value))
    run.files.phase("ps").space.write_bytes(space_of().to_json())
    path = run.files.phase("ps").generation(0).root / name
    path.write_bytes(path.read_bytes()[:100])
    result = CliRunner().invoke(main, [arguments[0], str(config), *arguments[1:]])
    assert result.exit_code == 1
    assert result.stderr.startswith("tsugiki: not a valid "), result.exception
    assert f"where: {path}" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("read", [read_yaml, read_document])
def test_text_in_another_encoding_is_named(
    tmp_path: Path, read: Callable[[Path], object], encoding: str
) -> None:
    """As editors on Windows write it."""
    path = tmp_path / "mine.yaml"
    path.write_bytes("name: café\n".encode(encoding))
    with pytest.raises(TsugikiError, match="not text in UTF-8") as caught:
        read(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("read", [read_yaml, read_document])
def test_a_date_that_does_not_exist_is_named(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    """YAML makes dates of what looks like one."""
    path = tmp_path / "mine.yaml"
    path.write_text("name: 2020-13-45\n")
    with pytest.raises(TsugikiError, match="not valid YAML") as caught:
        read(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"- 1", b"name: [", b"name: x"])
def test_a_damaged_configuration_is_a_finding(run: SyntheticRun, content: bytes) -> None:
    """Of an audit, which goes on."""
    run.files.config.write_bytes(content)
    (finding,) = check_config(run.files, run.config)
    assert finding.what == "the locked configuration cannot be read"


def test_a_log_replaces_no_other_file(tmp_path: Path) -> None:
    """Only what is called a log."""
    mine, log = tmp_path / "notes.txt", tmp_path / "my.log"
    for path in (mine, log):
        path.write_text("words\n")
    invoke = partial(CliRunner().invoke, main)
    result = invoke(["--log", str(mine), "status", "nowhere.yaml"])
    assert result.exit_code == 1
    assert "another file stands where the log is to go" in result.stderr
    assert mine.read_text() == "words\n"
