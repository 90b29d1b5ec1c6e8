"""How fast a merged model is written, beside a plain copy of the same bytes and beside mergekit.

Usage: python bench/materialize.py [--layers N] [--threads N] [--rounds N] [--environment FOLDER]
       [--skip-mergekit] [--only METHOD ...]

Makes a base and three parents (llama, bfloat16, four shards each; 16 layers are 0.86 billion
parameters), and merges them in one run, with a warm page cache and output in memory where there is
a /dev/shm. Prints for every method the bytes read and written per second, the ratio to a copy (all
input files read, as many bytes written as the merge writes, in pieces, by one thread), the ratio to
mergekit (its merging alone, without start-up), and the peak of anonymous memory. Each ratio is given
for the time on the clock, and for the processor's time of all threads, which other work on the
machine disturbs less. Copy and merge take turns; the best of all rounds counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file

from peer_environments import peer_python
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.merge.write import write_merge

HERE = Path(__file__).parent
NAMES = ("base", "a", "b", "c")
DIGESTS = {name: f"{index:064x}" for index, name in enumerate(NAMES)}
SHARDS = 4
PIECE = 1 << 23
HIDDEN, INNER, VOCABULARY, KEYS = 2048, 5632, 32000, 512


WITH_BASE, WITHOUT_BASE = ("base", "a", "b"), ("a", "b", "c")


@dataclass(frozen=True)
class Case:
    """A merge that is timed."""

    method: str
    models: tuple[str, ...] = WITH_BASE
    """Models that are read: three, with or without the base among them; two for slerp."""
    values: Mapping[str, float] = field(default_factory=lambda: {"weight": 0.4})
    """Parameters of the parents, the same for all."""
    shared: Mapping[str, float] = field(default_factory=dict)
    """Parameters of the merge; in mergekit's configuration slerp's `t` is one too."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Models that are not the base."""
        return tuple(name for name in self.models if name != "base")


def _dense(density: float, **others: float) -> dict[str, float]:
    return {"weight": 0.4, "density": density, **others}


CASES = (
    Case("linear", WITHOUT_BASE),
    Case("task_arithmetic"),
    Case("ties", values=_dense(0.2)),
    Case("dare_linear", values=_dense(0.5)),
    Case("dare_ties", values=_dense(0.5)),
    Case("breadcrumbs", values=_dense(0.2, gamma=0.01)),
    Case("breadcrumbs_ties", values=_dense(0.2, gamma=0.01)),
    Case("della_linear", values=_dense(0.5)),
    Case("della", values=_dense(0.5)),
    Case("sce", values={}, shared={"select_topk": 0.3}),
    Case("model_stock", values={}),
    Case("slerp", ("base", "a"), values={"t": 0.4}),
    Case("nuslerp"),
    Case("multislerp"),
    Case("karcher", WITHOUT_BASE, values={}),
)


def shapes(layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tensors of a llama."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(layers):
        at = f"model.layers.{layer}"
        yield f"{at}.self_attn.q_proj.weight", (HIDDEN, HIDDEN)
        yield f"{at}.self_attn.k_proj.weight", (KEYS, HIDDEN)
        yield f"{at}.self_attn.v_proj.weight", (KEYS, HIDDEN)
        yield f"{at}.self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        yield f"{at}.mlp.gate_proj.weight", (INNER, HIDDEN)
        yield f"{at}.mlp.up_proj.weight", (INNER, HIDDEN)
        yield f"{at}.mlp.down_proj.weight", (HIDDEN, INNER)
        yield f"{at}.input_layernorm.weight", (HIDDEN,)
        yield f"{at}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def save_models(root: Path, layers: int) -> dict[str, Path]:
    """Save the base and its parents; their numbers come from one pool, at shifted places."""
    pool = np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }
    for index, name in enumerate(NAMES):
        folder = root / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer.json").write_text("{}")
        _save_weights(folder, layers, pool, index)
    return {name: root / name for name in NAMES}


def _save_weights(folder: Path, layers: int, pool: NDArray[np.float32], index: int) -> None:
    tensors = list(shapes(layers))
    places = {}
    for shard in range(SHARDS):
        part = {}
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        for number, (name, shape) in enumerate(tensors):
            if number * SHARDS // len(tensors) == shard:
                part[name] = torch.from_numpy(_numbers(pool, shape, number, index)).bfloat16()
                places[name] = file
        save_file(part, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def _numbers(
    pool: NDArray[np.float32], shape: tuple[int, ...], number: int, index: int
) -> NDArray[np.float32]:
    count = int(np.prod(shape))
    values = 0.02 * np.resize(np.roll(pool, 7919 * number), count)
    if index:
        values += 0.002 * np.resize(np.roll(pool, 7919 * number + 104_729 * index), count)
    return values.reshape(shape).astype(np.float32, copy=False)


def recipe_of(case: Case) -> Recipe:
    """The recipe of a case."""
    return Recipe(
        method=case.method,
        base=ParentRef(name="base", digest=DIGESTS["base"]) if "base" in case.models else None,
        parents=tuple(ParentRef(name=name, digest=DIGESTS[name]) for name in case.parents),
        parameters={
            name: Parameter(values={owner: {"model": value} for owner in case.parents})
            for name, value in case.values.items()
        }
        | {name: Parameter(values={"*": {"model": value}}) for name, value in case.shared.items()},
        owner=case.models[0],
    )


def mergekit_config(case: Case, folders: Mapping[str, Path]) -> str:
    """The same for mergekit."""
    slerp = case.method == "slerp"
    given = {} if slerp else {"parameters": dict(case.values)}
    names = case.models if slerp else case.parents
    config = {
        "merge_method": case.method,
        "models": [{"model": str(folders[name])} | given for name in names],
        "dtype": "bfloat16",
        "parameters": dict(case.values if slerp else case.shared),
    }
    if "base" in case.models:
        config["base_model"] = str(folders["base"])
    return yaml.safe_dump(config)


@dataclass(frozen=True)
class Time:
    """How long something took."""

    clock: float
    """Seconds on the clock."""
    processor: float
    """Seconds of all threads on the processor."""

    @classmethod
    def of(cls, work: Callable[[], object]) -> Time:
        """Time some work in this process."""
        clock, processor = time.perf_counter(), time.process_time()
        work()
        return cls(time.perf_counter() - clock, time.process_time() - processor)

    @classmethod
    def best(cls, times: Sequence[Time]) -> Time:
        """The least of each."""
        return cls(min(one.clock for one in times), min(one.processor for one in times))


def copy(folders: list[Path], out: Path) -> None:
    """Read all files and write as many bytes as one model has."""
    out.mkdir()
    buffer = memoryview(bytearray(PIECE))
    for number, folder in enumerate(folders):
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb", buffering=0) as source, (out / path.name).open("ab") as target:
                while size := source.readinto(buffer):
                    if number == 0:
                        target.write(buffer[:size])


class Peak:
    """Samples this process's anonymous memory (not what is mapped from files)."""

    def __init__(self) -> None:
        self.start = self.highest = _anonymous()
        self._done = threading.Event()

    def watch(self) -> None:
        """Sample until told to stop."""
        while not self._done.wait(0.01):
            self.highest = max(self.highest, _anonymous())

    def stop(self) -> None:
        """Stop sampling."""
        self._done.set()

    @property
    def added(self) -> int:
        """Bytes above the start."""
        return self.highest - self.start


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """The peak of anonymous memory while the block runs."""
    peak = Peak()
    thread = threading.Thread(target=peak.watch)
    thread.start()
    try:
        yield peak
    finally:
        peak.stop()
        thread.join()


def measure(
    case: Case,
    folders: dict[str, Path],
    scratch: Path,
    threads: int,
    rounds: int,
    python: Path | None,
) -> None:
    """Time a case in all ways, in turns, and print the ratios."""
    inputs = [folders[name] for name in case.models]
    size = sum(path.stat().st_size for folder in inputs for path in folder.glob("*.safetensors"))
    moved = size + size // len(inputs)
    out = scratch / "out"
    recipe = recipe_of(case)
    copies, merges, theirs = [], [], []
    added = 0
    for _ in range(rounds):
        copies.append(Time.of(lambda: copy(inputs, out)))
        shutil.rmtree(out)
        with peak_memory() as peak:
            merges.append(
                Time.of(lambda: write_merge(recipe, folders, DIGESTS, out, threads=threads))
            )
        added = max(added, peak.added)
        shutil.rmtree(out)
    if python is not None:
        theirs.append(mergekit(case, folders, out, threads, python))
        shutil.rmtree(out)
    copied, merged = Time.best(copies), Time.best(merges)
    row = [
        f"{merged.clock:6.2f} s, processor {merged.processor:6.2f} s",
        f"{moved / merged.clock / 1e9:5.2f} GB/s",
        f"{copied.clock / merged.clock:5.2f} of a copy",
        f"(processor {copied.processor / merged.processor:.2f})",
        f"{added / 1e6:5.0f} MB",
    ]
    if theirs:
        other = Time.best(theirs)
        row.append(
            f"{other.clock / merged.clock:5.1f} times mergekit's speed (processor "
            f"{other.processor / merged.processor:.1f})"
        )
    print(f"{case.method:16}" + "  ".join(row), flush=True)


def mergekit(
    case: Case, folders: Mapping[str, Path], out: Path, threads: int, python: Path
) -> Time:
    """Time mergekit, without its start-up."""
    config = out.with_suffix(".yaml")
    config.write_text(mergekit_config(case, folders))
    done = subprocess.run(
        [python, HERE / "run_mergekit.py", str(threads), f"{config}={out}"],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("SECONDS "))
    clock, processor = next(iter(json.loads(line.removeprefix("SECONDS ")).values()))
    return Time(clock, processor)


def main() -> None:
    """Make models, warm up, and time each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[case.method for case in CASES])
    parser.add_argument("--environment", type=Path, help="folder for mergekit's environment")
    parser.add_argument("--skip-mergekit", action="store_true")
    arguments = parser.parse_args()
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory() as temporary,
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch,
    ):
        root = Path(temporary)
        python = None
        if not arguments.skip_mergekit:
            python = peer_python("mergekit", arguments.environment or root / "environment")
        for name, layers in (("small", 0), ("large", arguments.layers)):
            (root / name).mkdir()
            folders = save_models(root / name, layers)
            if name == "small":  # compiles what is not yet compiled
                for case in CASES:
                    write_merge(recipe_of(case), folders, DIGESTS, Path(scratch) / "warm")
                shutil.rmtree(Path(scratch) / "warm")
        parameters = sum(int(np.prod(shape)) for _, shape in shapes(arguments.layers))
        print(f"{parameters / 1e9:.2f} billion parameters, {arguments.threads} threads", flush=True)
        for case in CASES:
            if case.method in arguments.only:
                measure(case, folders, Path(scratch), arguments.threads, arguments.rounds, python)


if __name__ == "__main__":
    sys.exit(main())
