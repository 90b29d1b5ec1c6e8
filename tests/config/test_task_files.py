"""Which files of a task's folder are part of the score's identity."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.runs_for_tests import write_tasks
from tsugiki.canonical import digest
from tsugiki.config.lm_eval_tasks import source_digest, used_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks with code and documents."""
    return write_tasks(tmp_path / "tasks")


def names(folder: Path) -> set[str]:
    """What counts, relative to the folder."""
    return {path.relative_to(folder).as_posix() for path in used_files(folder)}


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt", "README.md", "LICENSE", "scores.xlsx", ".gitignore", ".ipynb_checkpoints/a.py",
        "tiny.py~", "#tiny.py#", ".tiny.py.swp", "words.yaml.bak", "tiny.py.orig",
        "__pycache__/tiny.cpython-311.pyc",
    ],
)  # fmt: skip
def test_files_that_no_task_reads_do_not_count(folder: Path, name: str) -> None:
    """Notes, hidden files, backups and caches change no score."""
    before = source_digest(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("anything")
    assert name not in names(folder)
    assert source_digest(folder) == before


@pytest.mark.parametrize(
    "name",
    ["more.py", "sub/more.yml", "a.json", "a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.arrow"],
)
def test_code_and_data_count(folder: Path, name: str) -> None:
    """Whether or not they are named somewhere: a file may be found by a pattern."""
    before = source_digest(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("anything")
    assert name in names(folder)
    assert source_digest(folder) != before


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("questions.txt", "rows = (HERE / 'questions.txt').read_text()"),
        ("questions.txt", "rows = [path.read_text() for path in HERE.glob('*.txt')]"),
        ("questions.jsonl.gz", "rows = gzip.open(HERE / f'{name}.jsonl.gz')"),
        ("pictures/one.png", "rows = [open(path) for path in (HERE / 'pictures').iterdir()]"),
    ],
)
def test_other_files_count_if_code_names_them(folder: Path, name: str, code: str) -> None:
    """By their name, their suffix as a pattern, or their folder."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("anything")
    assert name not in names(folder)
    (folder / "more.py").write_text(code)
    assert name in names(folder)


def test_what_a_task_includes_counts(folder: Path) -> None:
    """Whatever its name, in another folder too, and what it includes itself."""
    (folder.parent / "common").write_text("include: other.yaml\nnum_fewshot: 0\n")
    (folder.parent / "other.yaml").write_text("output_type: multiple_choice\n")
    choice = folder / "choice.yaml"
    choice.write_text("include: ../common\n" + choice.read_text())
    found = {path.resolve() for path in used_files(folder)}
    assert {folder.parent / "common", folder.parent / "other.yaml"} <= found
    before = source_digest(folder)
    (folder.parent / "other.yaml").write_text("output_type: generate_until\n")
    assert source_digest(folder) != before


def test_the_digest_is_of_names_and_contents(folder: Path) -> None:
    """By the formula that recorded runs have."""
    listed = [
        [name, hashlib.sha256((folder / name).read_bytes()).hexdigest()]
        for name in ("choice.yaml", "documents.json", "tiny.py", "words.yaml")
    ]
    assert source_digest(folder) == digest(listed)
