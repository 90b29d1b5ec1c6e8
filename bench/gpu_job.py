"""How long a job on a GPU takes beyond its forward passes, with candidates of a size that people merge.

    python bench/gpu_job.py [--size 7b] [--methods linear ties dare_ties] [--candidates 6] [--threads N]
                            [--items 64] [--tokens 128] [--batch 64] [--folder /dev/shm]

Makes a base and two parents of random weights, in a folder that should be in memory, and then builds and
scores candidates of a method as an `evaluate` job does, in two ways: with the parents held on the GPU, which
merges; and merged by the processor, and copied. Prints for each the seconds a candidate takes, those of
its forward passes, those of its merge, and all beside the forward passes. The first candidate, which loads,
is left out. `merge` is one merge in main memory alone, `on gpu` one on the GPU with its digest, and `copied`
one by the processor into the GPU's model.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from runs import REPOSITORY
from tsugiki.config.evaluation import Evaluation
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.demo.tokenizer import build_tokenizer
from tsugiki.evaluate import candidate_model
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.score import score
from tsugiki.merge.in_place import InPlaceMerger

NAMES = ("base", "a", "b")
DIGESTS = {name: f"{index:064x}" for index, name in enumerate(NAMES)}
TASK = "demo_ja_maths"
HELD, COPIED = "held on the GPU", "merged and copied"
DENSE = {"ties": 0.5, "dare_ties": 0.5}


@dataclass(frozen=True)
class Size:
    """What makes a llama large."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int = 32000


SIZES = {
    "0.1b": Size(768, 2048, 12, 12, 4),
    "1b": Size(2048, 5632, 22, 32, 4),
    "3b": Size(3072, 8192, 28, 24, 8),
    "7b": Size(4096, 14336, 32, 32, 8),
}
"""The last one is Mistral-7B, the one before it nearly Llama-3.2-3B, and 1b TinyLlama."""


def random_llama(name: str, device: str, *, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A llama of a size with random weights; their first words are the demo's."""
    size, tokenizer = SIZES[name], build_tokenizer()
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=dtype,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return LlamaForCausalLM(config).eval().requires_grad_(requires_grad=False)
    finally:
        torch.set_default_dtype(before)


def save_near(model: Any, folders: list[Path], *, step: float = 0.002) -> None:
    """Save a model, and models that are small random steps from it, each with the demo's tokenizer."""
    for index, folder in enumerate(folders):
        if index:
            with torch.no_grad():
                for weights in model.parameters():
                    weights.add_(torch.randn_like(weights), alpha=step)
        model.save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)


def seconds(work: Callable[[], Any]) -> float:
    """Seconds from an idle GPU until it has done some work."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


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
        owner="a",
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
    candidate_model.fits_on_device = lambda _needed, _free: way == HELD
    model = CandidateModel(folders, DIGESTS, evaluation)
    evaluators = Evaluators(evaluation)
    costs: list[dict[str, Any]] = []
    for step in range(given.candidates + 1):
        one = recipe(method, step)
        scored = score(
            partial(model.build, one),
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
        f"{method:12}{way:28}{total:8.2f} s a candidate  forward {forward:7.2f}  merge {waited:6.2f}  "
        f"beside forward {total - forward:6.2f}  ratio {total / forward:5.2f}  "
        f"first {first['seconds_total']:6.1f} s  {later[0]['tokens']} tokens",
        flush=True,
    )


def merge_alone(method: str, folders: dict[str, Path], threads: int) -> None:
    """Time merges by themselves."""
    for way, place, held in (
        ("merge", "cpu", False),
        ("copied", "cuda", False),
        ("on gpu", "cuda", True),
    ):
        model = AutoModelForCausalLM.from_pretrained(folders["a"], dtype=torch.bfloat16)
        model = model.eval().requires_grad_(requires_grad=False).to(place)
        size = sum(weights.numel() for weights in model.parameters())
        merger = InPlaceMerger(folders, DIGESTS)
        if held:
            merger.hold_on(torch.device(place))
        took = [
            seconds(partial(merger.load_into, recipe(method, step), model, threads=threads))
            for step in range(4)
        ]
        best = min(took[1:])
        print(
            f"{method:12}{way:12}{threads:3} threads{best:8.2f} s  {2 * size / best / 1e9:6.1f} GB/s  "
            f"{best * threads / size * 1e9:6.2f} ns a weight and thread  first {took[0]:5.1f} s",
            flush=True,
        )


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
            for way in (HELD, COPIED):
                measure(way, method, folders, Evaluation.model_validate(plain), given)
                gc.collect()
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
