"""A job on its node: the rule's command, as Snakemake would run it."""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.benchmark import BenchmarkTimer

from tsugiki.errors import InfrastructureError
from tsugiki.slurm.job import NodeJob, main, run

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
WORDS = st.lists(TEXT, max_size=3).map(tuple)


@given(TEXT, st.integers(1, 99), WORDS, WORDS, st.none() | TEXT, st.floats(0, 1e6))
def test_a_description_makes_the_same_job(
    command: str,
    threads: int,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    benchmark: str | None,
    patience: float,
) -> None:
    """Whatever is in a command or a name."""
    job = NodeJob(command, threads, inputs, outputs, inputs, outputs, benchmark, patience=patience)
    assert NodeJob.of_json(job.to_json()) == job


def test_a_command_runs_in_strict_mode(tmp_path: Path) -> None:
    """A program that fails within a pipe fails the job; so does a variable that is not set."""
    written = tmp_path / "written"
    assert run(NodeJob(f"echo $((1 + 1)) > '{written}'")) == 0
    assert written.read_text() == "2\n"
    assert run(NodeJob("false | true")) == 1
    assert run(NodeJob("echo $not_set_at_all; true")) != 0


def test_the_workflow_learns_how_a_command_ended() -> None:
    """By its status: 75 says a fault of the machine; or by its signal, as a shell has it."""
    assert run(NodeJob("exit 75")) == 75
    assert run(NodeJob("kill -KILL $$")) == 128 + 9


@pytest.mark.parametrize(
    ("command", "inputs", "status"),
    [("true", (), 0), ("exit 75", (), 75), ("true", ("never",), 1)],
    ids=["well", "failed", "not begun"],
)
def test_a_job_says_that_it_has_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    inputs: tuple[str, ...],
    status: int,
) -> None:
    """However it fails; not one that goes well, whose outputs say so."""
    monkeypatch.chdir(tmp_path)
    for file in (tmp_path / "failed", tmp_path / "nowhere/failed"):
        job = NodeJob(command, inputs=inputs, patience=0.0, failed=str(file))
        monkeypatch.setattr(sys, "argv", ["job", job.to_json()])
        assert main() == status
    assert [path.name for path in tmp_path.iterdir()] == ["failed"] * bool(status)


def test_a_command_sees_its_threads_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's name has a variable of the node, and the folder is made."""
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    written = tmp_path / "written"
    command = f'echo $OMP_NUM_THREADS $MKL_NUM_THREADS $TMPDIR > "{written}"; command -v tsugiki'
    assert run(NodeJob(command, threads=3, tmpdir="$NODE_DISK/mine")) == 0
    assert written.read_text() == f"3 3 {tmp_path}/disk/mine\n"
    assert (tmp_path / "disk/mine").is_dir()


def test_the_nodes_own_folder_is_the_default(tmp_path: Path) -> None:
    """The workflow's may not exist there."""
    written = tmp_path / "written"
    assert run(NodeJob(f"echo $TMPDIR > '{written}'")) == 0
    assert written.read_text().strip() == tempfile.gettempdir()


def test_a_folder_that_cannot_be_had_is_one_clear_error(tmp_path: Path) -> None:
    """And the command does not run."""
    (tmp_path / "file").touch()
    for folder, words in (("$NOT_SET_AT_ALL/x", "not set"), (f"{tmp_path}/file/x", "be made")):
        with pytest.raises(InfrastructureError, match=words):
            run(NodeJob(f"touch {tmp_path}/ran", tmpdir=folder))
    assert not (tmp_path / "ran").exists()


def test_nothing_of_an_earlier_attempt_is_left(tmp_path: Path) -> None:
    """Outputs, folders among them, and logs; and the command finds their folders made."""
    folder, output, log = tmp_path / "weights", tmp_path / "new/out.json", tmp_path / "logs/job.log"
    folder.mkdir()
    (folder / "old").touch()
    log.parent.mkdir()
    log.write_text("old")
    job = NodeJob(
        f"test ! -e {folder} && test ! -e {log} && mkdir {folder} && touch {output}",
        outputs=(str(output),),
        folders=(str(folder),),
        logs=(str(log),),
    )
    assert run(job) == 0
    assert output.exists()


def test_a_folder_that_nobody_called_an_output_is_left_alone(tmp_path: Path) -> None:
    """As Snakemake leaves it: a rule may name a folder without knowing what else is in it."""
    kept = tmp_path / "data/kept"
    kept.parent.mkdir()
    kept.touch()
    assert run(NodeJob("true", outputs=(str(kept.parent),), logs=(str(kept.parent),))) == 0
    assert kept.exists()


def test_a_command_that_leaves_an_output_out_fails_its_job(tmp_path: Path) -> None:
    """At once: the workflow would wait a minute for it, and for nothing else meanwhile."""
    missing = tmp_path / "evaluated-0.json"
    with pytest.raises(InfrastructureError, match=r"no .*/evaluated-0\.json"):
        run(NodeJob("true", outputs=(str(missing),)))
    assert run(NodeJob("exit 75", outputs=(str(missing),))) == 75


def test_a_late_input_is_waited_for(tmp_path: Path) -> None:
    """A network file system may show it seconds after it was written."""
    late = tmp_path / "folder/late"

    def write() -> None:
        late.parent.mkdir()
        late.touch()

    timer = threading.Timer(0.3, write)
    timer.start()
    assert run(NodeJob("true", inputs=(str(late),), patience=600.0)) == 0
    timer.join()


def test_an_input_that_never_comes_ends_the_job(tmp_path: Path) -> None:
    """With its name, and the node's."""
    job = NodeJob("true", inputs=(str(tmp_path / "missing"),), patience=0.0)
    done = subprocess.run(
        [sys.executable, "-m", "tsugiki.slurm.job", job.to_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{tmp_path}/missing on " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_is_measured_as_by_snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report sums up these files; of a job that failed there is none."""
    path = tmp_path / "benchmarks/evaluate-0.tsv"
    assert run(NodeJob("exit 1", benchmark=str(path))) == 1
    assert not path.exists()

    seen, measure = tmp_path / "seen", BenchmarkTimer.work

    def measure_and_tell(timer: BenchmarkTimer) -> None:
        measure(timer)
        if (timer.bench_record.max_rss or 0) >= 50:
            seen.touch()

    monkeypatch.setattr(BenchmarkTimer, "work", measure_and_tell)
    program = f"import os, time; x = bytearray(50 << 20)\nwhile not os.path.exists({str(seen)!r}):"
    command = shlex.join([sys.executable, "-c", f"{program} time.sleep(0.1)"])
    assert run(NodeJob(f"sleep 0.2; {command}", benchmark=str(path))) == 0
    with path.open() as content:
        (row,) = csv.DictReader(content, delimiter="\t")
    assert float(row["s"]) >= 0.2
    assert float(row["max_rss"]) >= 50
