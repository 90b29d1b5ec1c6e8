"""Sums of costs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.outcome import Cost
from tsugiki.report.costs import PhaseCost, StepCost, cost_figure, phase_cost, step_costs
from tsugiki.report.data import load

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def cost(merge: float, forward: float, total: float) -> Cost:
    """A candidate's cost."""
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    return Cost(seconds_merge=merge, seconds_forward=forward, seconds_total=total, tokens=10,
                host="h", device="cpu", started=instant, finished=instant)  # fmt: skip


def test_a_series_costs_the_sum_of_its_candidates() -> None:
    """By hand; what is neither merging nor scoring is the rest."""
    found = phase_cost("ps", [cost(1, 2, 4), cost(0.5, 3, 3.5)])
    assert found == PhaseCost("ps", 2, merging=1.5, scoring=5, other=1, tokens=20)
    assert found.total == 7.5


def test_benchmark_files_are_summed_by_step(tmp_path: Path) -> None:
    """Over generations and jobs; what Snakemake could not measure counts as nothing."""
    for name, row in {
        "ps/gen-000/evaluate-0.tsv": "2.5\t0:00:02\t100.5\t1\t1\t1\t0\t0\t9\t2",
        "ps/gen-001/evaluate-1.tsv": "3.5\t0:00:03\t80.0\t1\t1\t1\t0\t0\t9\t2",
        "report.tsv": "1.0\t0:00:01\tNA\t-\t-\t-\t-\t-\t-\t-",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEADER}{row}\n")
    (tmp_path / "empty-3.tsv").write_text(HEADER)
    assert step_costs(tmp_path) == [
        StepCost("evaluate", jobs=2, seconds=6.0, memory=100.5),
        StepCost("report", jobs=1, seconds=1.0, memory=0.0),
    ]
    assert step_costs(tmp_path / "nowhere") == []


def test_each_recipe_of_a_run_is_counted_once(finished: SyntheticRun) -> None:
    """The sums are those of the files."""
    costs = {one.phase: one for one in load(finished.files, finished.config).costs}
    files = list((finished.files.phase("ps").root / "candidates").glob("*/cost.json"))
    expected = sum(Cost.model_validate_json(f.read_bytes()).seconds_total for f in files)
    assert costs["ps"].candidates == len(files) == 12
    assert costs["ps"].total == pytest.approx(expected)


def test_no_cost_is_no_figure() -> None:
    """Not an empty one."""
    assert cost_figure([]) is None
    assert cost_figure([PhaseCost("ps", 1, 0, 0, 0, 0)]) is None
