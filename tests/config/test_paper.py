"""The paper's experiments: their settings against its numbers, and small copies of them to the end.

Numbers: Akiba et al., arXiv 2403.13187, sections 4.1 (parameter space: CMA-ES of Optuna, initial values 0.5, sigma 1/6,
4 + floor(3 ln n) candidates, 1,000 trials, one weight and density for each model; data-flow space: M = 64, r = 3,
T = 192, W in R^(M x M), 128 candidates, 100 generations) and 4.2 (the same for vision-language models).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from transformers import AutoConfig

from tests.evaluate.picture_tasks import write_picture_tasks
from tests.evaluate.sighted_models import llava_next
from tests.merge.models_for_tests import save_model
from tests.parents.checkpoints import CONFIG, llama_shapes, write_llama
from tests.runs_for_tests import start_run, write_tasks
from tsugiki.config.load import read_config
from tsugiki.config.parents import HubParent
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.recipe import DataflowRecipe, read_recipe
from tsugiki.finalists.table import read_final_table
from tsugiki.models.kinds.text import TEXT
from tsugiki.parents.preflight import preflight
from tsugiki.parents.preflight import render as render_parents
from tsugiki.parents.sizes import MergedTensors
from tsugiki.space.dataflow_space import build_dataflow_genome
from tsugiki.steps.estimate import render, shares
from tsugiki.strategies.cma_es import CmaEs

FOLDER = Path(__file__).parents[2] / "config" / "paper"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
MISTRAL = CONFIG | {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
"""Sizes of Mistral-7B-v0.1, from which all parents come."""
SEVEN_BILLION = {name: math.prod(shape) for name, shape in llama_shapes(MISTRAL)}
PATHS = 128 * 100
TRIALS: dict[str, dict[str, int]] = {
    "evollm-jp-untuned": {"ps": 1},
    "evollm-jp-ps": {"ps": 111 * 9},
    "evollm-jp-a": {"ps": 111 * 9},
    "evollm-jp-dfs": {"dfs": PATHS},
    "evollm-jp-hybrid": {"ps": 111 * 9, "dfs": PATHS},
    "evollm-jp-10b": {"dfs": PATHS},
    "evollm-jp-irrelevant": {"ps": 77 * 13},
    "evovlm-jp-ps": {"ps": 125 * 8},
    "evovlm-jp-dfs": {"dfs": PATHS},
    "evovlm-jp-hybrid": {"ps": 125 * 8, "dfs": PATHS},
}
"""Candidates of each stage: 6 genes make generations of 9, 22 of 13, 4 of 8."""


def stages() -> list[tuple[str, Stage]]:
    """All stages of all files."""
    return [(name, stage) for name in FILES for stage in read(name).stages]


def read(name: str) -> RunConfig:
    """One of the experiments."""
    return read_config(FOLDER / f"{name}.yaml")


SEARCHES = [pytest.param(stage, id=f"{name}-{stage.name}") for name, stage in stages()]


def test_there_is_a_file_for_each_row() -> None:
    """And a row for each file, in this table and on the page about them."""
    page = (FOLDER.parents[1] / "docs" / "replication.md").read_text(encoding="utf-8")
    assert sorted(TRIALS) == FILES
    assert [name for name in FILES if f"[{name}.yaml](" not in page] == []


@pytest.mark.parametrize("name", FILES)
def test_nobody_may_think_that_results_are_known_here(name: str) -> None:
    """Each file says that it was not run."""
    assert read(name).name == name
    assert "NOT RUN HERE" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_search_has_as_many_trials_as_the_papers(name: str) -> None:
    """1,000 in parameter space, up to one generation; 128 x 100 in data-flow space."""
    config = read(name)
    tensors = {stage.name: MergedTensors(TEXT, SEVEN_BILLION) for stage in config.stages}
    found = {share.name: share.candidates for share in shares(config, tensors)}
    assert {stage.name: found[stage.name] for stage in config.stages} == TRIALS[name]
    assert config.rivals == []


@pytest.mark.parametrize("name", FILES)
def test_without_network_a_user_is_told_what_is_needed(name: str) -> None:
    """Each parent and where it has to be, that its licence is not known yet, all evaluations, and their price."""
    config = read(name)
    report = preflight(config)
    told = render_parents(report)
    for parent, source in config.parents.items():
        assert (source.hub if isinstance(source, HubParent) else source.path) in told
        assert f"licence of {parent}: not known before it can be read" in told
    assert len(report.faults) == len(config.parents)
    price = render(config, report.tensors)
    assert all(f"{stage} {count:,} on " in price for stage, count in TRIALS[name].items())
    assert "GPU-hours for each billion parameters" in price


def test_the_sizes_are_those_of_mistral() -> None:
    """7.24 billion parameters, so that the numbers of this file are about the right models."""
    assert sum(SEVEN_BILLION.values()) == 7_241_732_096


@pytest.mark.parametrize("stage", SEARCHES)
def test_settings_are_as_published(stage: Stage) -> None:
    """For each space those of its section."""
    space = stage.space
    if space.kind == "parameter":
        assert space.method == "dare_ties"
        assert set(space.genes) == {"weight", "density"}
        for gene in space.genes.values():
            assert (gene.range, gene.start, gene.grouping) == ((0.0, 1.0), 0.5, "model")
        if isinstance(stage.strategy, CmaEs):
            assert stage.strategy.sigma == pytest.approx(1 / 6)
            assert stage.strategy.population is None
        else:
            assert stage.strategy.kind == "random"  # of the file without a search
        return
    assert (space.repeats, space.scales, space.fixed_ends) == (3, "matrix", True)
    genome = build_dataflow_genome(
        stage,
        digests=dict.fromkeys(stage.parents, "0" * 64),
        layers=dict.fromkeys(stage.parents, 32),
    )
    assert len(genome.row) == 64
    assert len(genome.places) == 192 - 2  # both fixed ends are taken in any case
    assert len(genome.start) == 190 + 64 * 64
    first = genome.decode([round(one) if binary else one for one, binary in marked(genome)])
    assert [(hop.parent, hop.layer) for hop in first.path] == [
        (stage.parents[0], layer) for layer in range(32)
    ]
    assert {hop.scale for hop in first.path} == {1.0}


def marked(genome: Any) -> list[tuple[float, bool]]:
    """Each gene's start, and whether it is an indicator."""
    return list(zip(genome.start, np.asarray(genome.kinds.binary).tolist(), strict=True))


def test_the_hybrids_paths_go_through_what_its_merge_found() -> None:
    """The merge is the paper's model A, with Shisa Gamma as B."""
    for name in ("evollm-jp-hybrid", "evovlm-jp-hybrid"):
        merge, path = read(name).stages
        assert path.parents == [merge.name, "japanese"]


LAYERS = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models that stand for the paper's: a base, and what was made of it."""
    folder = tmp_path_factory.mktemp("models")
    base = save_model(folder / "base", num_hidden_layers=LAYERS)
    names = {name for one in FILES if not sighted(one) for name in read(one).parents} - {"base"}
    for seed, name in enumerate(sorted(names), start=1):
        save_model(folder / name, seed=seed, like=base, num_hidden_layers=LAYERS)
    return folder


def sighted(name: str) -> bool:
    """Whether an experiment is about pictures."""
    return "llava" in read(name).parents


@pytest.fixture(scope="module")
def sighted_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA 1.6 that has more tokens than the text models, and another base of its positions."""
    folder = tmp_path_factory.mktemp("sighted")
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    for seed, name in enumerate(("base", "japanese")):
        write_llama(folder / name, seed=seed, num_hidden_layers=LAYERS, **mistral)
    rope = {"rope_type": "default", "rope_theta": 1e6}
    llava_next(folder / "llava", seed=2, num_hidden_layers=LAYERS, rope_parameters=rope)
    return folder


TASKS = {
    "gsm8k_ja": ("words", "even,none"),
    "mgsm_ja_paper": ("more", "even,none"),
    "jp_lmeh_paper": ("both", "even,none"),
    "ja_vg_vqa_500": ("seen", "even,none"),
    "ja_vlm_bench_in_the_wild": ("picked", "acc,none"),
}
"""A small task, or group of tasks, for each of the paper's, and its metric."""
MORE = """

def more(**kwargs):
    rows = json.loads((HERE / "documents.json").read_text())
    more = [{**row, "prompt": "w1 " + row["prompt"]} for row in rows]
    return {"test": datasets.Dataset.from_list(more)}
"""
BOTH = """
group: both
task: [words, more]
aggregate_metric_list: [{metric: even, weight_by_size: false}]
"""


def text_tasks(folder: Path) -> Path:
    """Write a task for the search, another one, and a group of both."""
    write_tasks(folder)
    with (folder / "tiny.py").open("a") as file:
        file.write(MORE)
    words = (folder / "words.yaml").read_text()
    more = words.replace("task: words", "task: more").replace("tiny.load", "tiny.more")
    (folder / "more.yaml").write_text(more)
    (folder / "both.yaml").write_text(BOTH)
    return folder


def picture_tasks(folder: Path) -> Path:
    """Write two tasks about pictures, one of which has other documents for the search."""
    write_picture_tasks(folder)
    code, task = folder / "seen.py", folder / "seen.yaml"
    parts = '{"train": of(rows[:10]), "test": of(rows[10:])}'
    whole = '{"test": datasets.Dataset.from_list(rows)}'
    divided = code.read_text().replace(whole, parts)
    code.write_text(f"{divided}\n\nof = datasets.Dataset.from_list\n")
    task.write_text(f"{task.read_text()}training_split: train\n")
    return folder


def small(evaluation: dict[str, Any], tasks: Path) -> dict[str, Any]:
    """An experiment's evaluation on few documents of small tasks."""
    changed: dict[str, Any] = {"task_paths": [str(tasks)], "batch_size": 4, "device": "cpu"}
    changed["items"] = evaluation["items"] | {"search": 8, "validation": 5, "test": 6}
    for key in ("objectives", "monitors"):
        found = [(one, *TASKS[one["task"]]) for one in evaluation[key]]
        changed[key] = [one | {"task": task, "metric": metric} for one, task, metric in found]
    if "subsets" in evaluation:
        changed["subsets"] = evaluation["subsets"] | {"per_generation": 4}
    return evaluation | changed


def copy_of(name: str, models: Path, tasks: Path, results: Path) -> dict[str, Any]:
    """An experiment on tiny models and tasks: one generation of each stage, all else as it is."""
    raw: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    raw["results"] = str(results)
    raw["parents"] = {parent: {"path": str(models / parent)} for parent in raw["parents"]}
    for stage in raw["stages"]:
        stage["budget"] = {"generations": 1}
        if stage["space"]["kind"] == "dataflow":
            stage["strategy"]["population"] = 3
    for baseline in raw["baselines"]:
        for piece in baseline.get("slices", []):
            piece[1:] = [number * LAYERS // 32 for number in piece[1:]]
    raw["evaluation"] = small(raw["evaluation"], tasks)
    raw["finalists"] = {"top": 1, "mean": False}
    return raw


@pytest.mark.parametrize("name", [name for name in FILES if not sighted(name)])
def test_a_small_copy_runs_to_its_best_model(name: str, models: Path, tmp_path: Path) -> None:
    """Parents, untuned merges and each stage's winner are rows of the table, and the winner is a model."""
    finish(copy_of(name, models, text_tasks(tmp_path / "tasks"), tmp_path / "results"))


@pytest.mark.parametrize("name", [name for name in FILES if sighted(name)])
def test_a_small_copy_is_scored_on_pictures(
    name: str, sighted_models: Path, tmp_path: Path
) -> None:
    """To its best model, which sees as LLaVA does."""
    tasks = picture_tasks(tmp_path / "tasks")
    saved = finish(copy_of(name, sighted_models, tasks, tmp_path / "results"))
    assert saved.vision_config == AutoConfig.from_pretrained(sighted_models / "llava").vision_config


def finish(raw: dict[str, Any]) -> Any:
    """Run a copy to its end, and look at its table; the best model's configuration."""
    run = start_run(raw)
    run.finish()
    config = run.config
    rows = {row.name: row for row in read_final_table(run.files.final).rows}
    assert {*config.parents, *(one.name for one in config.baselines), "evolved"} <= rows.keys()
    assert {stage.name for stage in config.stages[:-1]} <= rows.keys()
    assert rows["evolved"].test.keys() == {one.name for one in config.evaluation.measured}
    recipe = read_recipe(run.files.best / "recipe.json")
    assert recipe.space == config.stages[-1].space.kind
    saved = AutoConfig.from_pretrained(run.files.best)
    if isinstance(recipe, DataflowRecipe):
        assert saved.get_text_config().num_hidden_layers == len(recipe.path)
    return saved
