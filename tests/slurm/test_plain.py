"""Which folders for temporary files a node can find without Snakemake."""

from __future__ import annotations

import pytest
from snakemake.resources import Resource

from tsugiki.slurm.job import SYSTEM_TMPDIR
from tsugiki.slurm.plain import temporary_folder


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("system_tmpdir", SYSTEM_TMPDIR),
        ("/scratch/me", "/scratch/me"),
        ("'/scratch/me'", "/scratch/me"),
        ("$SLURM_TMPDIR", "$SLURM_TMPDIR"),
        ("${SCRATCH}/$USER-tmp", "${SCRATCH}/$USER-tmp"),
        ("~/tmp", "~/tmp"),
    ],
)
def test_a_folder_may_name_variables_that_the_node_knows(given: str, folder: str) -> None:
    """They are filled in there, not where the workflow runs."""
    assert temporary_folder(Resource("tmpdir", given)) == folder


@pytest.mark.parametrize(
    "given", ["'/scratch' if attempt > 1 else '/tmp'", "input.size_mb", "/scratch/a b"]
)
def test_an_expression_is_left_to_snakemake(given: str) -> None:
    """Only it can evaluate one."""
    assert temporary_folder(Resource("tmpdir", given)) is None


def test_no_resource_means_the_nodes_own_folder() -> None:
    """As Snakemake has it."""
    assert temporary_folder(None) == SYSTEM_TMPDIR
