"""Licences and ancestry of parents, read from model cards and licence files and locked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.parents.checkpoints import write_llama
from tests.parents.hub_stand_in import Hub
from tests.parents.runs import run_of
from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import LockedCard, read_lock
from tsugiki.models.sources import FolderFiles
from tsugiki.parents.licences import read_card
from tsugiki.parents.preflight import preflight, render
from tsugiki.parents.resolve import lock_parents
from tsugiki.report.data import load
from tsugiki.report.page import figures
from tsugiki.report.page import render as page

CARD = """---
license: other
license_name: Llama 3 Community License
license_link: https://example.com
base_model: [org/one, org/two]
language:
- ja
---
# A model
"""


def quiet(_line: str) -> None:
    """Say nothing."""


def test_a_card_says_licence_ancestry_and_language(tmp_path: Path) -> None:
    """The metadata at its head, and digests of licence files and notices."""
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "NOTICE.txt").write_text("a notice")
    assert read_card(FolderFiles(tmp_path)) == LockedCard(
        license="other",
        license_name="Llama 3 Community License",
        license_link="https://example.com",
        files={"NOTICE.txt": digest_bytes(b"a notice")},
        base_models=("org/one", "org/two"),
        languages=("ja",),
    )


def test_what_says_nothing_leaves_no_trace(tmp_path: Path) -> None:
    """A folder without a card, or with metadata that is no YAML, has none; its lock has the bytes it had."""
    assert read_card(FolderFiles(tmp_path)) is None
    (tmp_path / "README.md").write_text("---\n: [\n---\n")
    assert read_card(FolderFiles(tmp_path)) is None
    write_llama(tmp_path / "one")
    lock_parents(run_of({"one": {"path": str(tmp_path / "one")}}), tmp_path / "lock", log=quiet)
    assert set(json.loads((tmp_path / "lock").read_bytes())["parents"]["one"]) == {
        "source", "commit", "folder", "files", "digest",
    }  # fmt: skip


def test_the_licence_is_locked_with_the_parent_and_shown(tmp_path: Path) -> None:
    """In the lock, by `tsugiki check` and in the report; a lock that is there stays as it is."""
    for name, licence in (("one", "mit"), ("two", "cc-by-sa-4.0")):
        write_llama(tmp_path / name)
        (tmp_path / name / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    config = run_of({name: {"path": str(tmp_path / name)} for name in ("one", "two")})
    files = RunFiles(tmp_path / "run")
    lock_parents(config, files.parents, log=quiet)
    before = digest_file(files.parents)
    (tmp_path / "one" / "README.md").write_text("---\nlicense: gemma\n---\n")
    lock = lock_parents(config, files.parents, log=quiet)
    assert digest_file(files.parents) == before
    said = lock.parents["one"].card
    assert said is not None
    assert said.license == "mit"
    shown = render(preflight(config, read_lock(files.parents)))
    assert "licence of one: mit (permissive)" in shown
    assert "licence of two: cc-by-sa-4.0 (share-alike)" in shown
    assert "licence of the merge: cc-by-sa-4.0" in shown
    data = load(files, config)
    assert "Licence of the merge: cc-by-sa-4.0" in page(data, figures(data))


def test_a_card_on_the_hub_is_read_at_the_commit(hub: Hub, tmp_path: Path) -> None:
    """When the parent is fetched, and later from the cache alone."""
    write_llama(tmp_path / "one")
    content = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    hub.repo("org/one").push({**content, "README.md": b"---\nlicense: mit\n---\n", "LICENSE": b"x"})
    config = run_of({"one": {"hub": "org/one"}})
    card = lock_parents(config, tmp_path / "lock", log=quiet).parents["one"].card
    assert card == LockedCard(license="mit", files={"LICENSE": digest_bytes(b"x")})
    hub.repo("org/one").refusal = (500, "")
    shutil.rmtree(tmp_path / "one")
    assert lock_parents(config, tmp_path / "again", log=quiet).parents["one"].card == card
