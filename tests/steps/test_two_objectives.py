"""A run with two objectives, from its search to the report: nothing is told of the first one alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.synthetic_runs import SyntheticRun, make_run
from tsugiki.audit.audit import check_finalists, check_front
from tsugiki.audit.phase import check_candidates, check_chain
from tsugiki.config.run import Preference
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation, read_population, scored_generations
from tsugiki.contracts.recipe import read_recipe
from tsugiki.contracts.scores import scores_of
from tsugiki.finalists.files import load_final_table, write_final_table
from tsugiki.finalists.front import read_front, write_front
from tsugiki.finalists.measures import WEIGHTED
from tsugiki.finalists.table import read_final_table, render_table, shown, shown_range
from tsugiki.progress.progress import status
from tsugiki.report.page import write_report
from tsugiki.steps.finals import write_finalists, write_test
from tsugiki.tracking.projection import catch_up

STRATEGIES: dict[str, dict[str, Any]] = {
    name: {"kind": name, "population": 8} for name in ("genetic", "nsga2")
}
TOP = 4


def run_with(root: Path, strategy: dict[str, Any]) -> SyntheticRun:
    """A finished run whose stage, finalists and test are drawn as the workflow draws them."""
    run = make_run(root, generations=4, second=True, strategy=strategy, prompts=True)
    finalists = run.config.finalists.model_copy(update={"top": TOP})
    run.config = run.config.model_copy(update={"finalists": finalists})
    run.write_search()
    run.write_baselines(parents=True)
    write_finalists(run.files, run.config)
    run.score("finalists")
    write_test(run.files, run.config)
    run.score("test")
    write_final_table(run.files, run.config)
    return run


@pytest.fixture(scope="module", params=STRATEGIES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """One for each strategy. Read only."""
    return run_with(tmp_path_factory.mktemp(request.param), STRATEGIES[request.param])


def kind(run: SyntheticRun) -> str:
    """Of its strategy."""
    return run.config.stages[0].strategy.kind


def values(files: RunFiles, run: SyntheticRun) -> list[tuple[float, ...]]:
    """Scores of the finalists on the validation documents."""
    entry = read_generation(files.phase("finalists").generation(0).outcomes)
    scores = scores_of((one.outcome for one in entry.ranked), run.config.evaluation.objectives)
    return [tuple(row) for row in scores.values.tolist()]


def test_its_ledger_is_sound(run: SyntheticRun) -> None:
    """Each generation follows from the one before, with the fitness that the strategy has."""
    for phase in ("ps", "finalists", "test"):
        assert list(check_chain(run.files, phase, run.config)) == []
        found = list(check_candidates(run.files, phase, run.config))
        assert [one for one in found if "fitness" in one.what] == []
    weighed = run.config.stages[0].strategy.weighs
    for generation in scored_generations(run.files.phase("ps")):
        assert all((entry.fitness is not None) == weighed for entry in generation.ranked)


def test_the_winner_has_the_largest_weighted_sum_of_the_finalists(run: SyntheticRun) -> None:
    """On search and validation documents, as many of each, by the weights of the configuration."""
    entry = read_generation(run.files.phase("finalists").generation(0).outcomes)
    sums = [one + 0.5 * two for one, two in values(run.files, run)]
    searched = {
        one.recipe: one.outcome.measured["ja_maths"].value
        + 0.5 * one.outcome.measured["en_maths"].value
        for generation in scored_generations(run.files.phase("ps"))
        for one in generation.ranked
        if one.outcome.status == "scored"
    }
    both = [one + searched[of.recipe] for one, of in zip(sums, entry.ranked, strict=True)]
    table, best = read_final_table(run.files.final), both.index(max(both))
    assert table.pooled
    assert table.row(table.winner).recipe == entry.ranked[best].recipe
    assert table.row(table.winner).validation == pytest.approx(sums[best])
    assert table.weights == {"ja_maths": 1.0, "en_maths": 0.5}


def test_the_table_compares_on_the_weighted_sum_and_on_each_objective(run: SyntheticRun) -> None:
    """With an interval, a paired difference and a p-value on each, and the monitors beside them."""
    table = read_final_table(run.files.final)
    assert [one.objective for one in table.comparisons] == [WEIGHTED, "ja_maths", "en_maths"]
    winner = table.row(table.winner)
    for row in table.rows:
        assert set(row.test) == {WEIGHTED, "ja_maths", "en_maths", "ja_reading", "en_reading"}
        total = row.test["ja_maths"].value + 0.5 * row.test["en_maths"].value
        assert row.test[WEIGHTED].value == pytest.approx(total)
        assert row.test[WEIGHTED].low < total < row.test[WEIGHTED].high
        for one in table.comparisons:
            against = row.of(one.objective).against_winner
            assert (against is None) == (row is winner)
            if against is not None:
                distance = winner.test[one.objective].value - row.test[one.objective].value
                assert against.value == pytest.approx(distance)
                assert against.low <= distance <= against.high
                assert 0 < against.p <= against.p_holm <= 1
    for one in table.comparisons:
        parents = [row for row in table.rows if row.kind in ("parent", "base")]
        best = max(parents, key=lambda row: row.test[one.objective].value)
        assert table.row(one.best_parent or "").test[one.objective] == best.test[one.objective]
        assert one.search_gap == pytest.approx(
            (winner.of(one.objective).search or 0.0) - winner.test[one.objective].value
        )
        assert one.selection_bias is not None
    assert load_final_table(run.files, run.config, table) == table


def test_the_terminal_shows_every_measure(run: SyntheticRun) -> None:
    """Each with its own order, and what chose the winner."""
    table = read_final_table(run.files.final)
    text = render_table(table)
    for one in table.comparisons:
        assert f"synthetic: {one.objective} on held-out items" in text
    assert "with the largest weighted sum (ja_maths + 0.5 en_maths) on search and" in text
    assert ("kept a front" in text) == (not run.config.stages[0].strategy.weighs)
    assert re.search(r"ja_maths: best so far 0\.\d+, median 0\.\d+", status(run.files, run.config))


def test_the_headline_tells_all_that_was_optimised(run: SyntheticRun) -> None:
    """Each objective with its interval; the weighted sum where a strategy optimised it."""
    page = write_report(run.files, run.config).read_text("utf-8")
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.DOTALL)
    assert lead is not None
    table = read_final_table(run.files.final)
    for name in ("ja_maths", "en_maths"):
        score = table.score(table.winner, name)
        assert score is not None
        sentence = (
            f"{shown(score.value)} ({shown_range(score)}) on {score.items} held-out items of {name}"
        )
        assert sentence in lead[1]
    assert ("as the weighted sum that was optimised" in lead[1]) == (not table.pareto)
    drawn = {path.stem for path in (run.files.root / "figures").iterdir()}
    assert {"comparison", "comparison-ja_maths", "comparison-en_maths"} <= drawn
    assert {"fitness-ja_maths", "fitness-en_maths"} <= drawn
    assert ("fitness" in drawn) == (not table.pareto)


def test_mlflow_has_the_course_of_every_objective(
    run: SyntheticRun, migrated: Path, tmp_path: Path
) -> None:
    """Best so far of each, and of the fitness where there is one; the front where there is one."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    tracking = run.config.tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/mlflow.db"})
    config = run.config.model_copy(update={"tracking": tracking})
    catch_up(run.files, config)
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.`tsugiki.series` = 'ps'")
    (parent,) = [one for one in found if one.data.tags["tsugiki.role"] == "series"]
    candidate = next(one for one in found if one.data.tags["tsugiki.role"] == "candidate")
    weighed = config.stages[0].strategy.weighs
    for name in ("ja_maths", "en_maths"):
        course = client.get_metric_history(parent.info.run_id, f"best_so_far.{name}")
        steps = [one.value for one in sorted(course, key=lambda one: one.step)]
        assert len(steps) == 4
        assert steps == sorted(steps)
        assert f"objective.{name}" in candidate.data.metrics
    assert ("best_so_far" in parent.data.metrics) == weighed
    assert ("fitness" in candidate.data.metrics) == weighed
    assert ("front" in parent.data.metrics) == (not weighed)


def test_a_table_of_the_first_objective_alone_is_still_audited(run: SyntheticRun) -> None:
    """As earlier versions recorded it; the headline says that it is not of all that was optimised."""
    table = read_final_table(run.files.final)
    first = {"version": 1, "objectives": (), "weights": {}, "pareto": False}
    before = load_final_table(run.files, run.config, table.model_copy(update=first))
    assert before.objective == "ja_maths"
    assert set(json.loads(before.to_json())) & {"objectives", "weights", "pareto"} == set()
    assert WEIGHTED not in before.row("evolved").test
    assert before.row("evolved").test["ja_maths"] == table.row("evolved").test["ja_maths"]
    then, now = (
        one.against_winner for one in (before.row("base"), table.row("base").of("ja_maths"))
    )
    assert then is not None
    assert now is not None
    assert then.model_copy(update={"p_holm": now.p_holm}) == now


def test_the_front_has_whom_no_candidate_of_the_search_beats(run: SyntheticRun) -> None:
    """With recipes, and scores on other documents where there are any; whatever the strategy looks for."""
    front = write_front(run.files, run.config)
    assert front == read_front(run.files.front)
    outcomes = {
        one.recipe: one.outcome
        for entry in scored_generations(run.files.phase("ps"))
        for one in entry.ranked
    }
    scores = scores_of(outcomes.values(), run.config.evaluation.objectives)
    found = dict(zip(outcomes, map(tuple, scores.values.tolist()), strict=True))
    unbeaten = {
        recipe
        for recipe, mine in found.items()
        if not any(
            one != mine and one[0] >= mine[0] and one[1] >= mine[1] for one in found.values()
        )
    }
    assert {one.recipe for one in front.members} == unbeaten
    table = read_final_table(run.files.final)
    rows = {row.recipe: row for row in table.rows}
    finalists = read_population(run.files.phase("finalists").generation(0).population)
    drawn = {one.recipe for one in finalists.candidates}
    for one in front.members:
        assert read_recipe(run.files.front_recipe(one.id)).digest == one.recipe
        assert (one.search["ja_maths"], one.search["en_maths"]) == found[one.recipe]
        assert (one.validation is not None) == (one.test is not None) == (one.recipe in drawn)
        if one.test is not None:
            assert one.test["en_maths"] == rows[one.recipe].test["en_maths"].value
    firsts = [one.search["ja_maths"] for one in front.members]
    assert firsts == sorted(firsts, reverse=True)
    page = write_report(run.files, run.config).read_text("utf-8")
    shown_rows = page.partition("The Pareto front</h3>")[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row">(.*?)</th>', shown_rows) == [
        one.id for one in front.members
    ]
    assert f">{shown(front.members[0].search['en_maths'])}<" in shown_rows


def test_the_audit_finds_a_front_that_was_edited(run: SyntheticRun) -> None:
    """A member that is gone, and a recipe of another; written again, nothing of an earlier front is left."""
    front = write_front(run.files, run.config)
    assert front is not None
    assert list(check_front(run.files, run.config)) == []
    edited = front.model_copy(update={"members": front.members[1:]})
    run.files.front.write_text(edited.model_dump_json())
    run.files.front_recipe(front.members[0].id).write_text("{}")
    stale = run.files.front_recipe("099-00")
    stale.write_text("{}")
    found = [one.what for one in check_front(run.files, run.config)]
    assert found == [
        "the Pareto front does not follow from the ledger",
        "does not belong here",
        "it is not the recipe of the front's member",
    ]
    write_front(run.files, run.config)
    assert list(check_front(run.files, run.config)) == []
    assert not stale.exists()


@pytest.mark.parametrize(("bound", "missed"), [(None, False), (1.0, True)])
def test_the_winner_meets_the_bounds_that_are_preferred(
    tmp_path: Path, bound: float | None, missed: bool
) -> None:
    """Here one that the weighted sum passes over; that nobody meets them is said."""
    run = run_with(tmp_path, STRATEGIES["nsga2"])
    before = read_final_table(run.files.final)
    highest = max(one[0] for one in values(run.files, run))
    assert before.row(before.winner).of("ja_maths").validation != highest
    wanted = bound or highest
    preference = Preference(bounds={"ja_maths": wanted})
    finalists = run.config.finalists.model_copy(update={"preference": preference})
    config = run.config.model_copy(update={"finalists": finalists})
    (found,) = check_finalists(run.files, config, config.stages[0])
    assert "bounds of the winner" in found.what
    write_finalists(run.files, config)
    run.score("finalists")
    assert list(check_finalists(run.files, config, config.stages[0])) == []
    write_test(run.files, config)
    run.score("test")
    table = write_final_table(run.files, config)
    assert (table.bounds, table.missed) == ({"ja_maths": wanted}, missed)
    assert table.row(table.winner).of("ja_maths").validation == highest
    assert load_final_table(run.files, config, table) == read_final_table(run.files.final)
    said = f"ja_maths at least {wanted:g} on the validation items"
    assert said in render_table(table)
    assert ("no finalist has" in render_table(table)) == missed


def test_the_winner_may_be_the_knee_of_the_front(tmp_path: Path) -> None:
    """Chosen, audited, and said in words."""
    run = run_with(tmp_path, STRATEGIES["nsga2"])
    finalists = run.config.finalists.model_copy(update={"preference": Preference(by="knee")})
    config = run.config.model_copy(update={"finalists": finalists})
    (found, *others) = check_finalists(run.files, config, config.stages[0])
    assert "what chooses the winner" in found.what
    assert others, "and the values that it is chosen by"
    write_finalists(run.files, config)
    run.score("finalists")
    assert list(check_finalists(run.files, config, config.stages[0])) == []
    write_test(run.files, config)
    run.score("test")
    table = write_final_table(run.files, config)
    assert table.knee
    assert load_final_table(run.files, config, table) == read_final_table(run.files.final)
    assert "is the knee of the finalists' front" in render_table(table)


def test_finalists_of_a_front_are_on_it(run: SyntheticRun) -> None:
    """Of all candidates of the search no other is better on one objective and as good on the other."""
    if run.config.stages[0].strategy.weighs:
        pytest.skip("this one has no front")
    history = scored_generations(run.files.phase("ps"))
    outcomes = {one.recipe: one.outcome for entry in history for one in entry.ranked}
    scores = scores_of(outcomes.values(), run.config.evaluation.objectives)
    found = dict(zip(outcomes, map(tuple, scores.values.tolist()), strict=True))
    finalists = read_population(run.files.phase("finalists").generation(0).population)
    front = {
        recipe
        for recipe, mine in found.items()
        if not any(
            one != mine and one[0] >= mine[0] and one[1] >= mine[1] for one in found.values()
        )
    }
    chosen = [one.recipe for one in finalists.candidates]
    assert len(chosen) == min(TOP, len(front))
    assert set(chosen) <= front
