"""Faults that a real GPU has: raised for the job to be tried again, and never an outcome."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import MakeRun
from tests.gpu.runs_on_gpu import evaluate, on
from tests.runs_for_tests import evaluation_section
from tsugiki.contracts.outcome import Scored
from tsugiki.errors import InfrastructureError

LOST_CONTEXT = """
import sys
from pathlib import Path

import torch

from tsugiki.config.load import read_config
from tsugiki.errors import InfrastructureError
from tsugiki.evaluate import harness
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.contracts.layout import RunFiles

real = harness.evaluate


def ask_for_a_word_that_is_not_there(**arguments):
    torch.zeros(3, device="cuda")[torch.tensor([7], device="cuda")].sum().item()
    return real(**arguments)


files = RunFiles(Path(sys.argv[1]))
for function in (ask_for_a_word_that_is_not_there, real):
    harness.evaluate = function
    try:
        ShardEvaluator(files, read_config(files.config), job=0).evaluate("ps", 0)
    except InfrastructureError as error:
        print("machine:", error.got.splitlines()[0])
"""


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The GPU has room for the models of these tests, and for no more than a few words."""
    torch.cuda.init()
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(0.5 * 2**20 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_memory_that_runs_out_is_no_outcome(make_run: MakeRun, little_memory: None) -> None:
    """The same candidate is scored where there is more."""
    del little_memory
    run = make_run()
    recipe = run.recipe(weight=0.5)
    with pytest.raises(InfrastructureError, match="machine failed") as caught:
        evaluate(run, on("cuda", run), [recipe])
    assert "OutOfMemoryError" in str(caught.value.got)
    assert [path.name for path in run.candidate(recipe).root.iterdir()] == ["recipe.json"]
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert isinstance(evaluate(run, on("cuda", run), [recipe])[0], Scored)


def test_a_lost_context_fails_no_candidate(make_run: MakeRun, tiny_tasks: Path) -> None:
    """Neither the one that it was lost with, nor those that the process has afterwards."""
    run = make_run(evaluation=evaluation_section(tiny_tasks, device="cuda"))
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    command = [sys.executable, "-c", LOST_CONTEXT, str(run.files.root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    said = [line for line in ended.stdout.splitlines() if line.startswith("machine: ")]
    assert len(said) == 2
    assert "device-side assert" in said[0]
    assert [path.name for path in run.candidate(recipe).root.iterdir()] == ["recipe.json"]
