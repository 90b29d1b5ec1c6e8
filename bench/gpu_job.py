"""How long a job on a GPU takes beyond its forward passes, with candidates of a size that people merge.

    python bench/gpu_job.py [--size 7b] [--methods linear ties dare_ties] [--candidates 6] [--threads N]
                            [--items 64] [--tokens 128] [--batch 64] [--folder /dev/shm]

Makes a base and two parents of random weights, in a folder that should be in memory, and then builds and
scores candidates of a method as an `evaluate` job does, in two ways: with the next candidate merged
while one is scored, as jobs do; and merged when its turn comes. Prints for each the seconds a candidate takes, those of its forward passes, those that it
waits for its merge, and all beside the forward passes. The first candidate, which loads, is left
out. `merge` is one merge in main memory alone, `copy` the driver's copy of a model to the GPU, and
`staged copy` the one that jobs of more than one thread use.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from gpu_seconds import seconds
from llama_shapes import SIZES, random_llama, save_near
from runs import REPOSITORY
from tsugiki.config.evaluation import Evaluation
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.evaluate import candidate_model
from tsugiki.evaluate.ahead import Ahead, twin
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.score import score
from tsugiki.evaluate.staging import Staging
from tsugiki.merge.resident import ResidentMerger

NAMES = ("base", "a", "b")
DIGESTS = {name: f"{index:064x}" for index, name in enumerate(NAMES)}
TASK = "demo_ja_maths"
DENSE = {"ties": 0.5, "dare_ties": 0.5}


class WithoutBeginning(Ahead):
    """Merges beside the GPU's model, but only when it is a candidate's turn."""

    def begin(self, merger: Any, recipe: Recipe) -> None:
        """Nothing."""


def recipe(method: str, step: int) -> Recipe:
    """A merge with weights of its own at each step."""
    values = {"weight": 0.4 + 0.01 * step}
    if method in DENSE:
        values["density"] = DENSE[method]
    return Recipe(
        method=method,
        base=None if method == "linear" else ParentRef(name="base", digest=DIGESTS["base"]),
        parents=tuple(ParentRef(name=name, digest=DIGESTS[name]) for name in NAMES[1:]),
        parameters={
            name: Parameter(values={"*": {"model": value}}) for name, value in values.items()
        },
        dtype="bfloat16",
        tokenizer="a",
    )


def write_task(folder: Path, tokens: int) -> str:
    """The demo's tasks, with longer answers."""
    shutil.copytree(REPOSITORY / "config/tasks/demo", folder)
    path = folder / f"{TASK}.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("max_gen_toks: 10", f"max_gen_toks: {tokens}"), encoding="utf-8")
    return str(folder)


def measure(
    way: str, method: str, folders: dict[str, Path], evaluation: Evaluation, given: Any
) -> None:
    """Score candidates, and print what the later ones cost."""
    merging = Ahead if way == "merged ahead" else WithoutBeginning
    candidate_model.Ahead = merging  # type: ignore[misc]
    model = CandidateModel(folders, DIGESTS, evaluation)
    evaluators = Evaluators(evaluation)
    costs: list[dict[str, Any]] = []
    recipes = [recipe(method, step) for step in range(given.candidates + 1)]
    for one, following in zip(recipes, [*recipes[1:], None], strict=True):
        scored = score(
            partial(built, model, one, following),
            evaluators,
            recipe=one.digest,
            ids={TASK: list(range(given.items))},
            evaluation="",
        )
        if not isinstance(scored.outcome, Scored):
            raise SystemExit(f"{way}: {scored.outcome}")
        costs.append(scored.cost)
    first, later = costs[0], costs[1:]
    total, forward, waited = (
        statistics.median(cost[f"seconds_{name}"] for cost in later)
        for name in ("total", "forward", "merge")
    )
    print(
        f"{method:12}{way:28}{total:8.2f} s a candidate  forward {forward:7.2f}  waits {waited:6.2f}  "
        f"beside forward {total - forward:6.2f}  ratio {total / forward:5.2f}  "
        f"first {first['seconds_total']:6.1f} s  {later[0]['tokens']} tokens",
        flush=True,
    )


def built(model: CandidateModel, one: Recipe, following: Recipe | None) -> Any:
    """Build a candidate, and have the next one begun."""
    found = model.build(one)
    if following is not None:
        model.begin(following)
    return found


def merge_alone(method: str, folders: dict[str, Path], threads: int) -> None:
    """Time merges and copies by themselves."""
    model = parent_in_memory(folders["a"])
    merger = ResidentMerger(folders, DIGESTS)
    size = sum(weights.numel() for weights in model.parameters())
    live = twin(model, torch.device("cuda"))
    pairs = [(weights, live.state_dict()[name]) for name, weights in model.state_dict().items()]
    staging = Staging(torch.device("cuda"))
    ways: dict[str, Callable[[int], Any]] = {
        "merge": lambda step: merger.load_into(recipe(method, step), model, threads=threads),
        "copy": lambda _step: live.load_state_dict(model.state_dict()),
        "staged copy": lambda _step: staging.copy(pairs),
    }
    for way, work in ways.items():
        took = [seconds(partial(work, step)) for step in range(4)]
        best = min(took[1:])
        print(
            f"{method:12}{way:12}{threads:3} threads{best:8.2f} s  {2 * size / best / 1e9:6.1f} GB/s  "
            f"{best * threads / size * 1e9:6.2f} ns a weight and thread  first {took[0]:5.1f} s",
            flush=True,
        )


def parent_in_memory(folder: Path) -> Any:
    """A parent in main memory."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    return model.eval().requires_grad_(requires_grad=False)


def main() -> None:
    """Make parents, and time the methods in all ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--methods", nargs="+", default=["linear", "ties", "dare_ties"])
    parser.add_argument("--candidates", type=int, default=6)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as root, torch.no_grad():
        folders = {name: Path(root) / name for name in NAMES}
        started = time.perf_counter()
        save_near(random_llama(given.size, "cuda"), list(folders.values()))
        print(f"{given.size} parents made in {time.perf_counter() - started:.0f} s", flush=True)
        torch.cuda.empty_cache()
        torch.set_num_threads(given.threads)
        tasks = write_task(Path(root) / "tasks", given.tokens)
        plain = {
            "task_paths": [tasks],
            "objectives": [{"name": "maths", "task": TASK, "metric": "exact_match,none"}],
            "batch_size": given.batch,
            "threads": given.threads,
            "device": "cuda",
        }
        for method in given.methods:
            merge_alone(method, folders, given.threads)
            torch.cuda.empty_cache()
            for way in ("merged ahead", "merged in its turn"):
                measure(way, method, folders, Evaluation.model_validate(plain), given)
                gc.collect()
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
