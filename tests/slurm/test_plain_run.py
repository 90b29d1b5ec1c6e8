"""The shipped profile, as it is, on a cluster where nothing goes wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.small_run import small
from tests.slurm.workspace import make_slurm_workspace
from tests.workflow.workspace import Workspace

pytestmark = pytest.mark.slurm


def test_a_run_on_the_cluster_gives_the_bytes_of_a_run_on_one_machine(
    cluster: Cluster, local_run: Workspace, tmp_path: Path
) -> None:
    """Jobs on one node have a GPU each, no network, and no workers that outlive them."""
    workspace = make_slurm_workspace(tmp_path / "run", cluster, small(jobs=1, resident=True))
    workspace.close("ps-0-0", "baselines-0-0")
    with cluster.only("n1"):
        run = workspace.launch()
        together = [run.wait_for(job) for job in ("ps-0-0", "baselines-0-0")]
    assert {one.node for one in together} == {"n1"}
    assert {one.environment["CUDA_VISIBLE_DEVICES"] for one in together} == {"0", "1"}
    for one in together:
        assert one.environment["HF_HUB_OFFLINE"] == one.environment["HF_DATASETS_OFFLINE"] == "1"
    workspace.open("ps-0-0", "baselines-0-0")
    output = run.finish()
    assert workspace.digests() == local_run.digests()
    assert "generation 2 of 2" in output
    assert "Execute " not in output
    assert not list(workspace.files.root.glob("logs/resident-*"))
    assert set(re.findall(r"/rule_(\w+?)/", output)) == {"evaluate", "best"}
