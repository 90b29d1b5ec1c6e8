"""The Python interface, and its page."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.merge.models_for_tests import digests_of, recipe_of
from tests.synthetic_runs import SyntheticRun, make_run
from tsugiki import api
from tsugiki.commands.all import main
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError, LineageError, RecipeError
from tsugiki.finalists.files import find_candidate, read_winner

PAGE = Path(__file__).parent.parent / "docs" / "python.md"
TASK_ARITHMETIC = {"merge_method": "task_arithmetic", "dtype": "float32"}


def document(trio: dict[str, Path], *weights: float) -> dict[str, Any]:
    """A mergekit configuration of `a` and `b` on `base`."""
    models = [
        {"model": str(trio[name]), "parameters": {"weight": weight}}
        for name, weight in zip("ab", weights, strict=True)
    ]
    return {**TASK_ARITHMETIC, "base_model": str(trio["base"]), "models": models}


def loaded(folder: Path) -> Any:
    """A model in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def test_every_example_of_the_page_runs(
    trio: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another, as in a notebook, on models and a run of the names that the page uses."""
    monkeypatch.chdir(tmp_path)
    for name, folder in (("base", "base"), ("maths", "a"), ("japanese", "b")):
        shutil.copytree(trio[folder], tmp_path / "models" / name)
    run = make_run(tmp_path / "results")
    run.write_all(failing=["001-02"])
    run.files.root.rename(tmp_path / "results" / "my-run")
    examples = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(examples) > 6
    notebook: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), notebook)
    assert notebook["failures"]["id"].tolist() == ["001-02"]
    assert len(notebook["wrong"]) > 0
    assert notebook["search"].generation == 3


def test_every_function_is_on_the_page() -> None:
    """And every column of the table of candidates."""
    text = PAGE.read_text("utf-8")
    assert [name for name in api.__all__ if name[0].islower() and f"{name}(" not in text] == []
    methods = [name for name in vars(api.Run) if name[0] != "_" and callable(vars(api.Run)[name])]
    assert [name for name in methods if f"run.{name}(" not in text] == []


def test_package_says_that_it_is_typed() -> None:
    """Type checkers read the annotations of a package that has this file."""
    assert (Path(api.__file__).parents[1] / "py.typed").is_file()


def test_live_model_gets_the_weights_that_a_folder_gets(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Base + 0.5 (a - base) + 0.25 (b - base), with one digest for both."""
    model, source = loaded(trio["a"]), document(trio, 0.5, 0.25)
    assert api.merge_into(model, source) == api.merge(source, tmp_path / "out")
    base, a, b = (load_file(trio[name] / "model.safetensors") for name in ("base", "a", "b"))
    for name, values in model.state_dict().items():
        expected = base[name] + 0.5 * (a[name] - base[name]) + 0.25 * (b[name] - base[name])
        torch.testing.assert_close(values, expected)
    written = loaded(tmp_path / "out").state_dict()
    assert all(torch.equal(values, written[name]) for name, values in model.state_dict().items())


def test_recipe_itself_can_be_merged(trio: dict[str, Path], tmp_path: Path) -> None:
    """Its models are those whose files have its digests."""
    api.merge(document(trio, 0.5, 0.25), tmp_path / "out")
    recipe = read_recipe(tmp_path / "out" / "recipe.json")
    digest = api.merge(recipe, tmp_path / "again", trio)
    assert digest == api.merge_into(loaded(trio["base"]), recipe, trio)
    other = recipe_of("linear", base=None, digests=digests_of(trio))
    with pytest.raises(LineageError, match="not the one that the recipe was made for"):
        api.merge(other, tmp_path / "other", {name: trio[name] for name in "ab"})


def test_path_through_layers_fits_into_no_other_model(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """It has as many layers as the path has hops."""
    source = {
        "merge_method": "passthrough",
        "slices": [
            {"sources": [{"model": str(trio[name]), "layer_range": [0, 2]}]} for name in "ab"
        ],
    }
    api.merge(source, tmp_path / "out")
    assert loaded(tmp_path / "out").config.num_hidden_layers == 4
    with pytest.raises(RecipeError, match="fits into no other"):
        api.merge_into(loaded(trio["a"]), source)


def test_run_is_opened_by_its_folder_or_its_configuration(finished: SyntheticRun) -> None:
    """Wherever its folder is now."""
    for place in (finished.files.root, str(finished.files.root)):
        run = api.open_run(place)
        assert run.files == RunFiles(finished.files.root)
        assert run.config == finished.config
    assert api.open_run(finished.files.config).config == finished.config
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        api.open_run(finished.files.root / "ps")


def test_command_line_takes_a_runs_folder_too(finished: SyntheticRun) -> None:
    """And says what the function says."""
    result = CliRunner().invoke(main, ["status", str(finished.files.root)])
    assert result.exit_code == 0, result.output
    assert result.output == api.open_run(finished.files.root).status() + "\n"


def test_each_candidate_is_a_row_with_its_scores(finished: SyntheticRun) -> None:
    """Three generations of four; the fourth is drawn, but never scored, and one candidate failed."""
    table = api.open_run(finished.files.root).candidates()
    assert table["id"].tolist() == [f"{g:03d}-{i:02d}" for g in range(3) for i in range(4)]
    assert set(table["stage"]) == {"ps"}
    failed = table[table["status"] == "failed"].iloc[0]
    assert (failed["id"], failed["failure"]) == ("001-02", "model")
    assert "not finite" in failed["reason"]
    scored = table[table["status"] == "scored"]
    assert len(scored) == 11
    assert (scored["score.ja_maths"] == scored["fitness"]).all(), "the only objective, of weight 1"
    for column in ("score.ja_maths", "rate.tokens", "cost.seconds_total"):
        assert scored[column].notna().all()
        assert pd.isna(failed[column]) or column.startswith("cost.")


def test_candidate_that_is_not_ranked_yet_has_its_own_outcome(copied: RunFiles) -> None:
    """Of a run that goes on: some are scored, the others wait."""
    generation = copied.phase("ps").generation(2)
    generation.outcomes.unlink()
    before = api.open_run(copied.root).candidates()
    waiting = before[before["generation"] == 2].iloc[0]["recipe"]
    copied.phase("ps").candidate(waiting).outcome.unlink()
    table = api.open_run(copied.root).candidates()
    latest = table[table["generation"] == 2]
    assert latest["status"].tolist() == ["waiting", "scored", "scored", "scored"]
    assert latest["fitness"].isna().all()
    assert latest["score.ja_maths"].notna().sum() == 3


def test_samples_are_the_record_of_a_candidate(finished: SyntheticRun) -> None:
    """By its id, its name, or its recipe; their mean is its score."""
    run = api.open_run(finished.files.root)
    row = run.candidates().iloc[0]
    samples = run.samples("000-00")
    own = samples[samples["objective"] == "ja_maths"]
    assert own["value"].mean() == pytest.approx(row["score.ja_maths"])
    assert {"doc_id", "response", "target"} <= set(samples.columns)
    pd.testing.assert_frame_equal(samples, run.samples(row["recipe"][:12], "ps"))
    assert run.recipe("000-00").digest == row["recipe"]
    assert run.best_recipe().digest == read_winner(finished.files.phase("finalists")).recipe
    with pytest.raises(LineageError, match="no such candidate"):
        run.samples("000-99")


def test_a_name_goes_before_the_start_of_a_digest(finished: SyntheticRun) -> None:
    """A model that is called `a` is not the first candidate whose digest begins so."""
    (entry,) = entries(finished.files.phase("baselines"))
    first, second, *_ = entry.population.candidates
    candidates = (
        first.model_copy(update={"recipe": "a" * 64}),
        second.model_copy(update={"recipe": "b" * 64, "origin": {"name": "a"}}),
    )
    population = entry.population.model_copy(update={"candidates": candidates})
    found = [replace(entry, population=population)]
    assert find_candidate(found, "a", where="here") == candidates[1]
    assert find_candidate(found, "aa", where="here") == candidates[0]
    with pytest.raises(LineageError, match="several digests begin so"):
        find_candidate(found, "", where="here")


def test_final_table_has_a_row_for_each_model(finished: SyntheticRun) -> None:
    """With the columns of final.json."""
    rows = api.open_run(finished.files.root).final_table().set_index("name")
    assert rows.loc["evolved", "kind"] == "evolved"
    assert {"base", "japanese", "maths"} <= set(rows.index)
    low, value, high = rows.loc["evolved", [f"test.ja_maths.{k}" for k in ("low", "value", "high")]]
    assert low <= value <= high


@pytest.mark.parametrize("kind", ["cma_es", "sep_cma", "genetic", "random"])
def test_search_finds_the_top_of_a_hill(kind: str) -> None:
    """The best of its last points is nearer to it than most of a cube's points are."""
    search = api.strategy(kind, [0.5] * 3, population=12, seed=3)
    nearest = 1.0
    for _ in range(25):
        points = search.ask()
        assert points.shape == (12, 3)
        assert ((points >= 0) & (points <= 1)).all()
        np.testing.assert_array_equal(points, search.ask())
        distances = np.linalg.norm(points - 0.8, axis=1)
        nearest = min(nearest, distances.min())
        search.tell(-distances)
    assert nearest < 0.15


def test_scores_of_several_objectives_are_added_and_none_is_the_worst() -> None:
    """A row of two is the sum of both; NaN counts like a score below all others."""
    one, two, lost, worst = (api.strategy("cma_es", [0.5] * 3, population=4) for _ in range(4))
    scores = np.array([1.0, 4.0, 2.0, 3.0])
    one.tell(scores)
    two.tell(np.stack([scores - 1, np.ones(4)], axis=1))
    np.testing.assert_array_equal(one.ask(), two.ask())
    lost.tell([np.nan, 4.0, 2.0, 3.0])
    worst.tell([0.0, 4.0, 2.0, 3.0])
    np.testing.assert_array_equal(lost.ask(), worst.ask())
    with pytest.raises(ValueError, match="4 points"):
        one.tell([1.0, 2.0])


def test_unknown_strategy_or_setting_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(ValueError, match="'cma_es'"):
        api.strategy("cmaes", [0.5])
    with pytest.raises(ValueError, match="sigmaa"):
        api.strategy("cma_es", [0.5], sigmaa=1)
