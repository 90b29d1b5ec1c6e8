"""Run mergenetic's search on CPU; runs in mergenetic's own environment.

Usage: run_mergenetic.py INPUTS.json. Its search, its problem for maths in another language, its
DARE-TIES merger (which writes each candidate to disk) and its lm-eval evaluator are as they ship.
Three things are not. Its lm-eval path loads candidates into vLLM, which needs a GPU: `load_model`
gives lm-eval's transformers model instead. Its merger asks mergekit to keep tensors on a GPU
(`low_cpu_memory`): not here. And `fasttext`, which it imports for a detector of languages that is
switched off here, is an empty module.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

# ruff: noqa: E402 - the stand-in has to be there before mergenetic is imported
sys.modules["fasttext"] = types.ModuleType("fasttext")

import numpy as np
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from mergekit.options import MergeOptions
from mergenetic.merging import TiesDareMerger, merger
from mergenetic.optimization.predefined_problems import ConfigPE, CrossLingualMathProblem
from mergenetic.searcher import Searcher
from pymoo.algorithms.soo.nonconvex.ga import GA

from forward_clock import ForwardClock

METRIC = "exact_match"
LANGUAGE = "ja"


def options_without_gpu(**options: Any) -> MergeOptions:
    """Its options of a merge, with tensors kept in main memory."""
    return MergeOptions(**{**options, "low_cpu_memory": False})


class Problem(CrossLingualMathProblem):
    """Its problem, on CPU and timed."""

    def __init__(self, clock: ForwardClock, batch_size: int, **settings: Any) -> None:
        self._clock = clock
        super().__init__(eval_batch_size=batch_size, **settings)

    def load_model(self, path: str, verbose: bool = True) -> HFLM:
        """The merged model as lm-eval's transformers model, as its vLLM path does with vLLM."""
        del verbose
        return HFLM(
            pretrained=str(path), device="cpu", dtype="float32", batch_size=self.eval_batch_size
        )

    def _evaluate(self, x: Any, out: Any, *arguments: Any, **named: Any) -> None:
        self._clock.begin()
        super()._evaluate(x, out, *arguments, **named)
        self._clock.end(-float(np.ravel(out["F"])[0]))


class ProblemWithKeptTask(Problem):
    """The same with the task loaded once; its own problems load it for each candidate.

    The least that a problem of one's own can cost.
    """

    _task: dict[str, Any] | None = None

    def metrics_4_genotype(self, model: HFLM, tokenizer: Any = None) -> tuple[list[float], str]:
        """The share of right answers, negative: pymoo minimises."""
        del tokenizer
        name = self.lm_eval_tasks["search"][LANGUAGE]
        if self._task is None:
            folder = self.additional_templates_folder
            manager = TaskManager(include_path=folder, include_defaults=False)
            self._task = manager.load_task_or_group(name)
        results = evaluate(lm=model, task_dict=self._task, bootstrap_iters=0)
        accuracy = results["results"][name][f"{METRIC},none"]
        return [-accuracy], f"accuracy {accuracy}"


def main(path: str) -> None:
    """Search as the inputs say."""
    inputs = json.loads(Path(path).read_text(encoding="utf-8"))
    clock = ForwardClock()
    work = Path(inputs["work"])
    merger.MergeOptions = options_without_gpu
    ties_dare = TiesDareMerger(
        run_id="candidate",
        path_to_base_model=inputs["parents"]["base"],
        model_paths=[inputs["parents"][name] for name in ("japanese", "maths")],
        path_to_store_yaml=str(work / "yaml"),
        path_to_store_merged_model=str(work / "merged"),
        dtype="float32",
    )
    ids = list(range(inputs["documents"]))
    kind = ProblemWithKeptTask if inputs["keep_task"] else Problem
    problem = kind(
        clock,
        inputs["batch_size"],
        merger=ties_dare,
        search_df=None,
        test_df=None,
        lang_id=LANGUAGE,
        conf_pe=ConfigPE(
            thetas=[],
            sample_ids=ids,
            weights=np.ones(len(ids)) / len(ids),
            correct_metric=METRIC,
            bench="none",
            mode="mean",
        ),
        lm_eval_tasks={"search": {LANGUAGE: inputs["task"]}},
        n_var=4,
        n_obj=1,
        detect_lang=False,
        additional_templates_folder=inputs["tasks"],
        device="cpu",
        load_in_4bit=False,
    )
    Searcher(
        problem,
        GA(pop_size=inputs["population"]),
        str(work),
        n_iter=inputs["generations"],
        seed=1,
        run_id="search",
    ).search()


main(*sys.argv[1:])
