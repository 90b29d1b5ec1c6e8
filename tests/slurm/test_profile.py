"""What the shipped profile says, without a SLURM."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.workflow.workspace import REPOSITORY

HEAVY = {"decompose", "evaluate", "evaluate_rung", "materialize", "best", "stage_best"}
"""Rules that become jobs; the others take seconds, and run where snakemake runs."""


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    """The profile."""
    text = (REPOSITORY / "config/profiles/slurm/config.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.fixture(scope="module")
def rules() -> str:
    """All rule files."""
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "rules").glob("*.smk"))
    )


def test_only_heavy_rules_become_jobs(rules: str) -> None:
    """A login node does the rest."""
    local = {
        name
        for block in re.findall(r"^localrules:\n((?:    \w+,\n)+)", rules, re.MULTILINE)
        for name in re.findall(r"\w+", block)
    }
    assert set(re.findall(r"^rule (\w+):", rules, re.MULTILINE)) - local == HEAVY


def test_only_evaluations_ask_for_a_gpu(profile: dict[str, Any]) -> None:
    """Merging and writing need none."""
    resources = profile["set-resources"]
    assert {rule for rule in resources if "gres" in resources[rule]} == {
        "evaluate",
        "evaluate_rung",
    }
    assert "gres" not in profile["default-resources"]


def test_a_second_attempt_asks_for_more(profile: dict[str, Any], rules: str) -> None:
    """Time and memory, in the profile and in the rules' own defaults."""
    assert set(profile["set-resources"]) == HEAVY
    for rule in HEAVY:
        body = re.search(rf"^rule {rule}:\n(.*?)(?=^rule |\Z)", rules, re.MULTILINE | re.DOTALL)
        assert body is not None
        for name in ("runtime", "mem_mb"):
            assert profile["set-resources"][rule][name].endswith("* attempt")
            assert re.search(rf"{name}=lambda wildcards, attempt: [\d_]+ \* attempt", body[1])


def test_files_that_a_network_shows_late_are_waited_for(profile: dict[str, Any]) -> None:
    """An output may be visible elsewhere only after ten seconds and more."""
    assert profile["latency-wait"] >= 30


def test_a_shared_controller_is_not_asked_every_second(profile: dict[str, Any]) -> None:
    """Not even when jobs have written their outputs."""
    assert profile["seconds-between-status-checks"] >= 3
    assert profile["tsugiki-slurm-init-seconds-before-status-checks"] >= 20


def test_nothing_stands_in_the_way_of_going_on(profile: dict[str, Any]) -> None:
    """After a kill the same command is enough, on a cluster as on one machine."""
    assert profile["rerun-incomplete"] is True
    assert profile["nolock"] is True
    assert profile["retries"] >= 1
