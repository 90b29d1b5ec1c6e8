"""The final table says what can be counted by hand in the items."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.synthetic_runs import SyntheticRun, make_run
from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation, scored_generations
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Candidate, Generation, Population, Ranked
from tsugiki.contracts.recipe import ParentRef, Recipe
from tsugiki.errors import LineageError
from tsugiki.evaluate.statistics import exact_mcnemar, holm, wilson_interval
from tsugiki.finalists.compare import _adjusted, final_table
from tsugiki.finalists.files import load_final_table
from tsugiki.finalists.table import FinalTable, Row, read_final_table


def recipe(number: int) -> Recipe:
    """One of many recipes."""
    return Recipe(
        method="ties", parents=(ParentRef(name="a", digest="a" * 64),), mask_seed=number,
        owner="a",
    )  # fmt: skip


def items(values: Sequence[Any], *, shuffled: bool = False) -> pa.Table:
    """A table of items of the objective `m`; what is no number stands in the column `part`."""
    order = list(range(len(values)))
    if shuffled:
        order.reverse()
    return pa.table(
        {
            "objective": ["m"] * len(values),
            "doc_id": [10 + index for index in order],
            "doc_hash": [f"hash {index}" for index in order],
            "value": [number(values[index]) for index in order],
            "part": pa.array([part(values[index]) for index in order], pa.string()),
        }
    )


def number(value: Any) -> float | None:
    """A row's value."""
    return None if isinstance(value, tuple) else float(value)


def part(value: Any) -> str | None:
    """What a row contributes that is no number."""
    return json.dumps(value) if isinstance(value, tuple) else None


def config_with(config: RunConfig, **objective: Any) -> RunConfig:
    """The configuration with the objective `m` alone."""
    only = LmEvalObjective(name="m", task="t", metric="x", **objective)
    evaluation = config.evaluation.model_copy(update={"objectives": [only], "monitors": []})
    return config.model_copy(update={"evaluation": evaluation})


def table_of(
    config: RunConfig,
    rows: Mapping[str, tuple[str, Sequence[Any] | None]],
    *,
    aggregation: str | None = None,
    **more: Any,
) -> FinalTable:
    """The table of rows given as name: (kind, values or None for a failure)."""
    recipes = {name: recipe(number) for number, name in enumerate(rows)}
    candidates, ranked, tables = [], [], {}
    for index, (name, (kind, values)) in enumerate(rows.items()):
        digest = recipes[name].digest
        origin: dict[str, str | list[str]] = {"name": name, "kind": kind}
        candidates.append(Candidate(id=f"000-{index:02d}", recipe=digest, genome=(), origin=origin))
        outcome: Scored | Failed = Failed(
            recipe=digest, evaluation="e", kind="model", reason="broken"
        )
        if values is not None:
            # Rows of a file may stand in any order.
            tables[digest] = items(values, shuffled=index % 2 == 1)
            measured = {"m": Measured(value=0.0, items=len(values), aggregation=aggregation)}
            outcome = Scored(recipe=digest, evaluation="e", measured=measured, rates={},
                             weights="w", records="r")  # fmt: skip
        ranked.append(Ranked(id=f"000-{index:02d}", recipe=digest, fitness=None, outcome=outcome))
    population = Population(run="r", phase="test", generation=0, split="test", previous=None,
                            state=None, candidates=tuple(candidates))  # fmt: skip
    generation = Generation(
        run="r", phase="test", generation=0, population="p", ranked=tuple(ranked)
    )
    by_digest = {one.digest: one for one in recipes.values()}
    return final_table(population, generation, tables, config, recipes=by_digest, **more)


@pytest.fixture
def config(finished: SyntheticRun) -> RunConfig:
    """One objective, larger is better."""
    return config_with(finished.config)


ROWS = {
    "ours": ("evolved", [1, 1, 1, 1, 1, 0, 0, 0]),
    "first": ("parent", [1, 1, 0, 0, 0, 1, 0, 0]),
    "second": ("parent", [0, 0, 1, 0, 0, 0, 0, 0]),
    "origin": ("base", [0, 0, 0, 0, 0, 0, 1, 0]),
    "average": ("baseline", [1, 0, 0, 0, 0, 0, 0, 1]),
}


def test_gains_losses_and_unsolved_items_are_counted(config: RunConfig) -> None:
    """Items 12, 13, 14 gained and 15 lost against `first`; no parent or base solves 13 and 14."""
    table = table_of(config, ROWS)
    assert (table.winner, table.best_parent, table.best_baseline) == ("ours", "first", "average")
    assert (table.gained, table.lost) == ((12, 13, 14), (15,))
    assert table.solved_by_no_parent == 2
    difference = table.row("first").against_winner
    assert difference is not None
    assert (difference.gained, difference.lost, difference.items) == (3, 1, 8)
    assert difference.value == pytest.approx(2 / 8)
    assert difference.low <= 2 / 8 <= difference.high
    assert difference.p == exact_mcnemar(3, 1)
    assert table.score("ours") == wilson_interval(5, 8)


def test_p_values_are_adjusted_over_all_rows(config: RunConfig) -> None:
    """The smallest of four is multiplied by four."""
    table = table_of(config, ROWS)
    differences = [row.against_winner for row in table.rows if row.against_winner is not None]
    smallest = min(differences, key=lambda one: one.p)
    assert len(differences) == 4
    assert smallest.p_holm == pytest.approx(min(1.0, 4 * smallest.p))
    assert table.row("ours").against_winner is None


def test_smaller_is_better_where_the_goal_says_so(finished: SyntheticRun) -> None:
    """Graded losses: the best parent is the one with the smallest mean."""
    table = table_of(
        config_with(finished.config, goal="minimize"),
        {
            "ours": ("evolved", [0.1, 0.2, 0.3, 0.9]),
            "low": ("parent", [0.4, 0.1, 0.5, 0.6]),
            "high": ("parent", [0.9, 0.9, 0.8, 0.95]),
        },
        measured={"search": {recipe(0).digest: {"m": 0.2}}},
    )
    assert table.best_parent == "low"
    assert (table.gained, table.lost) == ((10, 12), (11, 13))
    assert table.solved_by_no_parent == 2
    assert table.search_gap == pytest.approx(0.375 - 0.2)


LIKELIHOODS: dict[str, tuple[str, Sequence[Any]]] = {
    "ours": ("evolved", [(-2.0, 2), (-9.0, 3), (-4.0, 5), (-6.0, 2), (-3.0, 3), (-5.0, 4)]),
    "first": ("parent", [(-3.0, 2), (-8.0, 3), (-9.0, 5), (-9.0, 2), (-6.0, 3), (-9.0, 4)]),
    "second": ("parent", [(-30.0, 2), (-90.0, 3), (-40.0, 5), (-60.0, 2), (-30.0, 3), (-50.0, 4)]),
}


def test_a_score_that_is_no_mean_is_aggregated_and_resampled(finished: SyntheticRun) -> None:
    """Word perplexities: exp of minus all log-likelihoods over all words; smaller is better."""
    table = table_of(
        config_with(finished.config, goal="minimize"),
        LIKELIHOODS,
        aggregation="weighted_perplexity",
    )
    expected = {
        name: np.exp(-sum(ll for ll, _ in parts) / sum(words for _, words in parts))
        for name, (_, parts) in LIKELIHOODS.items()
    }
    for name, value in expected.items():
        found = table.score(name)
        assert found is not None
        assert found.value == pytest.approx(value)
        assert found.low < value < found.high
        assert found.items == 6
    assert table.best_parent == "first"
    difference = table.row("first").against_winner
    assert difference is not None
    assert difference.value == pytest.approx(expected["ours"] - expected["first"])
    assert difference.low <= difference.value <= difference.high
    # document by document, `first` is better on the second alone
    assert (table.gained, table.lost) == ((10, 12, 13, 14, 15), (11,))
    assert (difference.gained, difference.lost, table.solved_by_no_parent) == (5, 1, 5)


def test_the_paired_test_of_a_score_that_is_no_mean_is_by_permutation(
    finished: SyntheticRun,
) -> None:
    """A model against itself, and against one that is worse on each of 6 items: 2 ways of 64."""
    rows = {**LIKELIHOODS, "same": ("parent", LIKELIHOODS["ours"][1])}
    table = table_of(
        config_with(finished.config, goal="minimize"), rows, aggregation="weighted_perplexity"
    )
    same, worse = (table.row(name).against_winner for name in ("same", "second"))
    assert same is not None
    assert worse is not None
    assert (same.p, same.value, same.low, same.high) == (1.0, 0.0, 0.0, 0.0)
    assert worse.p == pytest.approx(2 / 64, abs=0.02)


def test_parents_have_no_method_and_others_their_recipes(config: RunConfig) -> None:
    """A parent is scored as it is."""
    table = table_of(config, ROWS)
    assert {row.name: row.method for row in table.rows} == {
        "ours": "ties", "first": None, "second": None, "origin": None, "average": "ties"
    }  # fmt: skip


def test_a_failed_row_keeps_its_reason_and_is_never_best(config: RunConfig) -> None:
    """It has no score, not a score of 0."""
    table = table_of(config, {**ROWS, "first": ("parent", None)})
    assert table.row("first").failed == "broken"
    assert table.row("first").test == {}
    assert table.row("first").against_winner is None
    assert table.best_parent in {"second", "origin"}


def test_a_failed_winner_leaves_a_table_without_comparisons(config: RunConfig) -> None:
    """The other rows are still worth reading."""
    table = table_of(config, {**ROWS, "ours": ("evolved", None)})
    assert table.score("ours") is None
    assert table.solved_by_no_parent is None
    assert all(row.against_winner is None for row in table.rows)
    assert table.best_parent == "first"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"first": ("parent", [1])}, "does not make a table"),
        ({"a": ("evolved", [1]), "b": ("evolved", [0])}, "does not make a table"),
        ({"a": ("evolved", [1]), "b": ("winner", [0])}, "no known kind"),
        ({"a": ("evolved", [1, 0]), "b": ("parent", [0])}, "different documents"),
    ],
)
def test_a_series_that_makes_no_table_is_refused(
    config: RunConfig, rows: Any, message: str
) -> None:
    """The message names what is wrong."""
    with pytest.raises(LineageError, match=message):
        table_of(config, rows)


def test_a_population_that_was_not_scored_is_refused(tmp_path: Path) -> None:
    """Such as one that was rewritten by hand after it was scored: fewer candidates, or another order."""
    run = make_run(tmp_path)
    run.write_all()
    path = run.files.phase("test").generation(0).population
    written = json.loads(path.read_bytes())
    for candidates in (written["candidates"][:-1], written["candidates"][::-1]):
        path.write_text(json.dumps({**written, "candidates": candidates}))
        with pytest.raises(LineageError, match="not the one that was scored"):
            load_final_table(run.files, run.config)


def test_an_objective_without_items_is_refused(finished: SyntheticRun) -> None:
    """Not taken for a score of 0."""
    other = config_with(finished.config)
    monitors = [LmEvalObjective(name="other", task="t", metric="x")]
    evaluation = other.evaluation.model_copy(update={"monitors": monitors})
    with pytest.raises(LineageError, match="do not cover `other`"):
        table_of(other.model_copy(update={"evaluation": evaluation}), ROWS)


def test_the_table_of_a_run_has_search_and_validation_scores(finished: SyntheticRun) -> None:
    """From the stage, the baselines and the finalists; read back as it was written."""
    table = read_final_table(finished.files.final)
    winner, average = table.row("evolved"), table.row("average")
    assert winner.search is not None
    assert winner.validation is not None
    assert average.search is not None
    assert average.validation is None
    assert set(winner.test) == {"ja_maths", "en_maths", "ja_reading", "en_reading"}
    assert table.search_gap == pytest.approx(winner.search - winner.test["ja_maths"].value)
    assert table.selection_bias is not None
    assert table.selection_bias > 0
    assert load_final_table(finished.files, finished.config) == table


def test_the_search_score_is_that_on_all_documents_whoever_was_left_at_a_rung_later(
    finished: SyntheticRun, tmp_path: Path
) -> None:
    """An elite that comes again may be left on the first documents: its score there is another one."""
    shutil.copytree(finished.files.root, tmp_path / "run")
    files = RunFiles(tmp_path / "run")
    winner = read_final_table(files.final).row("evolved")
    phase = files.phase("ps")
    ranked = [one for of in scored_generations(phase) for one in of.ranked]
    whole = next(one for one in ranked if one.recipe == winner.recipe)
    assert isinstance(whole.outcome, Scored)
    measured = {
        name: one.model_copy(update={"value": 0.01}) for name, one in whole.outcome.measured.items()
    }
    left = whole.outcome.model_copy(update={"rung": 0, "measured": measured})
    last = read_generation(phase.generation(2).outcomes)
    again = whole.model_copy(update={"id": "002-04", "outcome": left, "fitness": None})
    last = last.model_copy(update={"ranked": (*last.ranked, again)})
    phase.generation(2).outcomes.write_bytes(last.to_json())
    place = phase.candidate(winner.recipe)
    place.at(0).root.mkdir()
    shutil.copy(place.items, place.at(0).items)
    table = load_final_table(files, finished.config)
    assert table.row("evolved").search == winner.search != 0.01


def test_the_table_has_the_same_bytes_every_time(finished: SyntheticRun) -> None:
    """Its random numbers are keyed."""
    again = load_final_table(finished.files, finished.config)
    assert again.to_json() == finished.files.final.read_bytes()


def test_missing_items_are_named(tmp_path: Any) -> None:
    """The error is of the files, not of the reader."""
    run = make_run(tmp_path)
    run.write_stage()
    run.write_test()
    next(run.files.phase("test").root.glob("candidates/*/items.parquet")).unlink()
    with pytest.raises(LineageError, match=r"items\.parquet"):
        load_final_table(run.files, run.config)
    with pytest.raises(LineageError, match="final table is missing"):
        read_final_table(run.files.final)


def test_finalists_that_lost_are_a_family_of_p_values_of_their_own() -> None:
    """Of Holm's method: what is claimed against parents does not pay for more of the same search."""
    tests = {("m", "parent"): 0.02, ("m", "base"): 0.01, ("m", "one"): 0.03, ("m", "two"): 0.04}
    families = {key: (key[1] in {"one", "two"},) for key in tests}
    assert _adjusted(tests, families) == {
        ("m", "parent"): 0.02,
        ("m", "base"): 0.02,
        ("m", "one"): 0.06,
        ("m", "two"): 0.06,
    }


def test_each_row_is_adjusted_within_its_family(finished: SyntheticRun) -> None:
    """Tables of version 1 have one family of all rows, and keep it."""
    table = read_final_table(finished.files.final)
    before = load_final_table(
        finished.files, finished.config, table.model_copy(update={"version": 1})
    )
    for one, families in ((table, 2), (before, 1)):
        rows = [row for row in one.rows if row.against_winner is not None]
        groups: dict[object, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.kind == "finalist" if families == 2 else None, []).append(row)
        assert len(groups) == families
        for group in groups.values():
            found = [row.against_winner for row in group if row.against_winner is not None]
            assert [d.p_holm for d in found] == holm([d.p for d in found])
    assert before.selection_interval is None
    assert table.selection_interval is not None
    assert table.selection_bias is not None
    assert table.selection_interval[0] <= table.selection_bias <= table.selection_interval[1]
