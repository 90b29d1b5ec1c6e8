"""A run as a Workflow Run RO-Crate, read by the community's validator."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.publish.conftest import Finished
from tsugiki.canonical import digest_file
from tsugiki.commands.all import main
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import ConfigError, LineageError
from tsugiki.publish.crate import write_crate

ROOT = Path(__file__).parents[2]
VALIDATOR = ROOT / os.environ.get("CRATE_VENV", ".venv-crate")
LOCK = ROOT / "envs" / "crate.lock"
ASKS_FOR_PEOPLE = ("`author`", "agent that is a Person", "`publisher`")
NOT_SO_HERE = ("README.md SHOULD", "SHOULD be an absolute URI", "SHOULD have a url")
"""There is no README in a crate, and tsugiki has no address of its own that a crate could name."""


def entities(folder: Path) -> dict[str, dict[str, Any]]:
    """What a crate describes, by identifier."""
    graph = json.loads((folder / "ro-crate-metadata.json").read_bytes())["@graph"]
    found = {one["@id"]: one for one in graph}
    assert len(found) == len(graph)
    return found


def validated(folder: Path) -> list[dict[str, Any]]:
    """Issues that the validator finds, down to what a crate SHOULD have."""
    lock = VALIDATOR / "lock"
    if not (lock.is_file() and lock.read_bytes() == LOCK.read_bytes()):
        reason = "no validator of RO-Crates here: run tests/crate/install.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    command = [VALIDATOR / "bin" / "python", ROOT / "tests/crate/validate.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["checks"] > 100
    issues: list[dict[str, Any]] = found["issues"]
    return issues


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("options", [[], ["--models"]])
def test_the_validator_finds_nothing_but_people(tmp_path: Path, options: list[str]) -> None:
    """It fulfils Workflow Run Crate 0.5, and what that recommends but names of people."""
    out = tmp_path / "crate"
    done = CliRunner().invoke(main, ["crate", "tiny.yaml", "--out", str(out), *options])
    assert done.exit_code == 0, done.output
    known = (*ASKS_FOR_PEOPLE, *NOT_SO_HERE)
    others = [
        one for one in validated(out) if one["must"] or not any(it in one["says"] for it in known)
    ]
    assert others == []


def test_the_validator_finds_what_is_missing(finished: Finished, tmp_path: Path) -> None:
    """The check above is one: without the action, or without the workflow's file, the crate is refused."""
    out = tmp_path / "crate"
    write_crate(finished.files, finished.config, out)
    place = out / "ro-crate-metadata.json"
    document = json.loads(place.read_bytes())
    document["@graph"] = [one for one in document["@graph"] if one["@type"] != "CreateAction"]
    place.write_text(json.dumps(document))
    (out / "Snakefile").unlink()
    said = " ".join(one["says"] for one in validated(out) if one["must"])
    assert "CreateAction" in said
    assert "Snakefile" in said


def test_every_file_is_named_by_its_digest(finished: Finished, tmp_path: Path) -> None:
    """The crate's files and those that it describes are one set, and sizes and SHA-256 are theirs."""
    out = tmp_path / "crate"
    write_crate(finished.files, finished.config, out, models=True)
    described = {at: one for at, one in entities(out).items() if "File" in one["@type"]}
    there = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != "ro-crate-metadata.json"
    }
    assert described.keys() == there.keys()
    for at, content in there.items():
        assert described[at]["sha256"] == hashlib.sha256(content).hexdigest()
        assert described[at]["contentSize"] == str(len(content))


def test_inputs_and_outputs_are_those_of_the_run(finished: Finished, tmp_path: Path) -> None:
    """Parents with licence and digests, the ledger byte for byte, the best model by its files."""
    out = tmp_path / "crate"
    write_crate(finished.files, finished.config, out)
    found = entities(out)
    for name, locked in read_lock(finished.files.parents).parents.items():
        parent = found[f"#parent-{name}"]
        assert parent["identifier"] == locked.digest
        parts = [found[one["@id"]] for one in parent["hasPart"]]
        assert {one["name"]: one["sha256"] for one in parts} == {
            one.name: one.sha256 for one in locked.files
        }
        assert parent["@id"] in [one["@id"] for one in found["#run"]["object"]]
    assert found["#parent-a"]["license"] == "mit (permissive)"
    weights = finished.files.best / "model.safetensors"
    assert found["#best/model.safetensors"]["sha256"] == digest_file(weights)
    assert not list(out.rglob("*.safetensors"))
    outcomes = sorted(finished.files.root.glob("*/gen-*/outcomes.json"))
    for one in outcomes:
        assert (
            out / "ledger" / one.relative_to(finished.files.root)
        ).read_bytes() == one.read_bytes()
    costs = [
        json.loads(one.read_bytes()) for one in finished.files.root.glob("*/candidates/*/cost.json")
    ]
    assert found["#run"]["startTime"][:23] == min(one["started"] for one in costs)[:23]
    assert found["#run"]["endTime"][:23] == max(one["finished"] for one in costs)[:23]


def test_times_are_those_of_every_generation_and_rung(changeable: Finished, tmp_path: Path) -> None:
    """Whose costs lie in folders of their own, where each generation has documents of its own."""
    costs = sorted(
        changeable.files.root.glob("*/candidates/*/cost.json"),
        key=lambda one: str(json.loads(one.read_bytes())["started"]),
    )
    started = json.loads(costs[0].read_bytes())["started"]
    own = costs[0].parent / "gen-000" / costs[0].name
    own.parent.mkdir()
    costs[0].rename(own)
    write_crate(changeable.files, changeable.config, tmp_path / "crate")
    assert entities(tmp_path / "crate")["#run"]["startTime"][:23] == started[:23]


def test_a_run_that_is_not_finished_is_refused(changeable: Finished, tmp_path: Path) -> None:
    """One error, and nothing is written."""
    changeable.files.final.unlink()
    with pytest.raises(LineageError, match="not finished"):
        write_crate(changeable.files, changeable.config, tmp_path / "crate")
    assert not (tmp_path / "crate").exists()


def test_a_place_that_holds_anything_is_refused(finished: Finished, tmp_path: Path) -> None:
    """What stands there stays; a run's own folder is no place either."""
    mine = tmp_path / "crate" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ConfigError, match="something else stands"):
        write_crate(finished.files, finished.config, mine.parent)
    assert mine.read_text() == "mine"
    with pytest.raises(ConfigError, match="folder of a run"):
        write_crate(finished.files, finished.config, finished.files.root / "crate")
