"""A flipped byte, a lost file and an added one are named, for each kind of file that a real run has."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recorded.test_recorded_run import ARCHIVE
from tsugiki.api import Run, open_run
from tsugiki.audit.finding import Finding
from tsugiki.merge.marker import weights_of, write_marker

NOT_DERIVED = re.compile(
    r".*/cost\.json|environment\.json|folding\.json|report\.html|figures/.*|logs/.*|benchmarks/.*"
)
"""Measurements of a machine, and views: nothing in a run was made from them."""
SPARE = re.compile(r".*/tracked\.json|best/recipe\.json|best/.tsugiki\.json")
"""Files whose loss no other file tells of: what MLflow has is found out again."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The recorded run, with the marker in its best model that versions of today write."""
    root = tmp_path_factory.mktemp("recorded")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        opened = open_run("tiny.yaml")
        write_marker(opened.files.best, weights_of(opened.files.best))
        assert opened.audit() == []
        yield opened


def kinds(root: Path) -> dict[str, Path]:
    """One file of each kind, by what stands for it; hidden ones are no part of a run."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or (path.name.startswith(".") and path.name != ".tsugiki.json"):
            continue
        name = re.sub(r"^(logs|benchmarks)/.*", r"\1/", name)
        name = re.sub(r"^(baselines|finalists-ps|finalists|test)/", "others/", name)
        name = re.sub(r"^(ps|ps-dfs)/", "stage/", name)
        name = re.sub(r"cand-[0-9a-f]{12}|gen-\d+|evaluated-\d", "N", name)
        found.setdefault(name, path)
    return found


def named(findings: list[Finding], path: Path) -> bool:
    """Whether a finding names a file, in its place or in its words."""
    return any(path.name in str(one) for one in findings)


def audited(run: Run, path: Path, content: bytes | None) -> list[Finding]:
    """Findings with another content in a file, or without it; the file is put back."""
    before = path.read_bytes()
    try:
        path.unlink() if content is None else path.write_bytes(content)
        return run.audit()
    finally:
        path.write_bytes(before)


def test_a_flipped_byte_is_named(run: Run) -> None:
    """In each kind of file that others follow from, or that follows from others."""
    unnamed = []
    for kind, path in kinds(run.files.root).items():
        if NOT_DERIVED.fullmatch(path.relative_to(run.files.root).as_posix()):
            continue
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        if not named(audited(run, path, bytes(content)), path):
            unnamed.append(kind)
    assert unnamed == []


def test_a_lost_file_is_named(run: Run) -> None:
    """If others were made from it."""
    unnamed = []
    for kind, path in kinds(run.files.root).items():
        place = path.relative_to(run.files.root).as_posix()
        if NOT_DERIVED.fullmatch(place) or SPARE.fullmatch(place):
            continue
        if not named(audited(run, path, None), path):
            unnamed.append(kind)
    assert unnamed == []


def test_an_added_file_is_named(run: Run) -> None:
    """In each folder of a phase, and in those of models."""
    root = run.files.root
    for folder in (
        run.files.best,
        run.files.phase("ps").best,
        run.files.phase("ps").generation(0).root,
        run.files.phase("test").generation(0).root,
        next((root / "ps" / "candidates").iterdir()),
        root / "ps" / "candidates",
    ):
        added = folder / "better.json"
        added.write_text("{}")
        findings = run.audit()
        added.unlink()
        assert any(added.relative_to(root).as_posix() in str(one) for one in findings) or (
            folder == run.files.best and "better.json does not belong" in str(findings[0])
        ), folder


def test_a_candidate_that_no_generation_has_is_named(run: Run) -> None:
    """As one that was scored and left out would be."""
    phase = run.files.phase("ps").root / "candidates"
    added = phase / "cand-0123456789ab"
    shutil.copytree(next(phase.iterdir()), added)
    try:
        findings = [str(one) for one in run.audit()]
    finally:
        shutil.rmtree(added)
    assert any(
        "cand-0123456789ab: it was scored, but no generation has it" in one for one in findings
    )
    assert any("cand-0123456789ab/recipe.json: is another recipe" in one for one in findings)


def test_a_rebuilt_model_tells_of_files_that_no_digest_covers(run: Run) -> None:
    """As in a model of an earlier version, which has no marker: its tokenizer is compared byte by byte."""
    path, marker = run.files.best / "tokenizer_config.json", run.files.best / ".tsugiki.json"
    before, marked = path.read_bytes(), marker.read_bytes()
    marker.unlink()
    path.write_bytes(before + b" ")
    try:
        assert run.audit() == []
        assert named(run.audit(rebuild=True), path)
    finally:
        path.write_bytes(before)
        marker.write_bytes(marked)
    assert run.audit(rebuild=True) == []
