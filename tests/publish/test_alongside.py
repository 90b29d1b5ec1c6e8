"""Citations: of the project, and of the models that a published one is merged from."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.publish.conftest import CITED
from tsugiki import __version__
from tsugiki.contracts.locks import LockedCard, LockedFile, LockedParent, digest_of_files
from tsugiki.publish.alongside import citation_entries, citation_file
from tsugiki.publish.sources import Source

FILES = (LockedFile(name="model.safetensors", size=1, sha256="0" * 64),)
COMMIT = "c" * 40


def of_hub(repo: str, citation: str | None = None) -> Source:
    """A source model on the Hub."""
    locked = LockedParent(
        source={"hub": repo, "revision": "main"},
        commit=COMMIT,
        files=FILES,
        digest=digest_of_files(FILES),
    )
    return Source(repo.partition("/")[2], locked, LockedCard(citation=citation), None)


def test_each_parent_is_a_reference_at_its_commit() -> None:
    """Citation File Format 1.2.0 asks for a title and authors; the Hub's address and the commit pin it."""
    content = yaml.safe_load(citation_file("merge", "someone", [of_hub("org/one")]))
    assert content["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= content.keys()
    first, last = content["references"]
    assert first == {
        "type": "software",
        "title": "org/one",
        "authors": [{"name": "org"}],
        "url": "https://huggingface.co/org/one",
        "commit": COMMIT,
    }
    assert last["version"] == __version__


def test_entries_of_the_parents_cards_are_kept() -> None:
    """Under the name of each; there is no file if no card has any."""
    entries = citation_entries([of_hub("org/one", CITED), of_hub("org/two")])
    assert entries == f"% org/one\n{CITED}\n".encode()
    assert citation_entries([of_hub("org/two")]) is None


def test_the_project_can_be_cited() -> None:
    """Its own file has what the format asks for, and the version of the package."""
    path = Path(__file__).parents[2] / "CITATION.cff"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= content.keys()
    assert content["version"] == __version__
