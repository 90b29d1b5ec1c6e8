"""Compare every method with mergekit on whole tiny models, and print the largest difference.

Usage: python bench/parity.py [--environment FOLDER]

mergekit is installed into an environment of its own (in FOLDER, or a temporary one). Parents are
random llama, Mistral and Qwen2 models; both sides compute in float32. Methods with random masks are
compared at density 1, where nothing is random; their differences below it are in docs/methods.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from peer_environments import peer_python
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.registry import METHODS

HERE = Path(__file__).parent
KINDS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
NAMES = ("base", "a", "b", "c")
DIGESTS = {name: f"{index:064x}" for index, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Case:
    """A merge that both sides can do."""

    method: str
    parents: tuple[str, ...] = ("a", "b", "c")
    base: bool = True
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Per-parent parameters."""
    shared: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    """Global parameters that have another name in mergekit."""
    tolerance: float = 1e-5
    """Largest difference that is only rounding."""


WEIGHT = {"weight": (0.5, 0.3, 0.9)}
DENSE = {**WEIGHT, "density": (1.0, 1.0, 1.0)}
SPARSE = {**WEIGHT, "density": (0.4, 0.7, 0.2)}
CASES = [
    Case("linear", base=False, values=WEIGHT),
    Case("linear", base=False, values=WEIGHT, options={"normalize": False}),
    Case("task_arithmetic", values=WEIGHT, options={"lambda": 0.7}),
    Case("ties", values=SPARSE),
    Case("ties", values=SPARSE, options={"normalize": False, "lambda": 1.3}),
    Case("dare_linear", values=DENSE),
    Case("dare_ties", values=DENSE),
    Case("breadcrumbs", values={**SPARSE, "gamma": (0.01, 0.05, 0.1)}),
    Case("breadcrumbs_ties", values={**SPARSE, "gamma": (0.01, 0.05, 0.1)}),
    Case("della_linear", values=DENSE),
    Case("della", values=DENSE),
    Case("model_stock"),
    Case("model_stock", options={"filter_wise": True}),
    Case("sce", shared={"select_topk": 0.3}),
    Case("sce", shared={"select_topk": 1.0}),
    # A line there from a cosine of 0.9995 on, the arc here: see docs/methods.md.
    Case("slerp", parents=("a",), values={"t": (0.3,)}, theirs={"t": 0.3}, tolerance=1e-3),
    Case("nuslerp", parents=("a", "b"), values={"weight": (0.5, 0.3)}),
    Case(
        "nuslerp",
        parents=("a", "b"),
        base=False,
        values={"weight": (0.5, 0.3)},
        options={"vectors": "rows"},
        theirs={"nuslerp_flatten": False},
    ),
    Case("multislerp", values=WEIGHT),
    Case("multislerp", base=False, values=WEIGHT),
    Case("karcher", base=False),
    Case("passthrough", parents=("a",), base=False, values={"scale": (0.8,)}),
]


def save_parents(root: Path, kind: str) -> dict[str, Path]:
    """Save a base and three models near it, whose task vectors have something in common.

    So no mean angle is beyond a right angle and no bias is zero, where we differ on purpose.
    """
    config = KINDS[kind](
        vocab_size=500,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config)
    start = {
        name: values + 0.01 * torch.randn_like(values) for name, values in base.state_dict().items()
    }
    common = {name: 0.02 * torch.randn_like(values) for name, values in start.items()}
    for index, name in enumerate(NAMES):
        with torch.no_grad():
            for key, values in base.state_dict().items():
                values.copy_(start[key])
                if index:
                    values.add_(common[key]).add_(0.02 * torch.randn_like(values))
        base.save_pretrained(root / name)
    return {name: root / name for name in NAMES}


def ours(case: Case, folders: Mapping[str, Path]) -> dict[str, torch.Tensor]:
    """Our merge."""
    parameters = {
        name: Parameter(
            values={
                parent: {"model": value} for parent, value in zip(case.parents, values, strict=True)
            }
        )
        for name, values in case.values.items()
    }
    parameters |= {
        name: Parameter(values={"*": {"model": value}}) for name, value in case.shared.items()
    }
    recipe = Recipe(
        method=case.method,
        base=ParentRef(name="base", digest=DIGESTS["base"]) if case.base else None,
        parents=tuple(ParentRef(name=name, digest=DIGESTS[name]) for name in case.parents),
        parameters=parameters,
        options=dict(case.options),
        dtype="float32",
        owner="base",
    )
    return dict(InPlaceMerger(folders, DIGESTS).tensors(recipe))


def theirs(case: Case, folders: Mapping[str, Path]) -> dict[str, Any]:
    """The same as a mergekit configuration."""
    models = [
        {
            "model": str(folders[parent]),
            "parameters": {name: values[index] for name, values in case.values.items()},
        }
        for index, parent in enumerate(case.parents)
    ]
    config: dict[str, Any] = {"merge_method": case.method, "models": models, "dtype": "float32"}
    if case.method == "passthrough":
        config["slices"] = [{"sources": [model | {"layer_range": [0, 3]}]} for model in models]
        del config["models"]
    if case.base:
        config["base_model"] = str(folders["base"])
    options = {name: value for name, value in case.options.items() if name != "vectors"}
    config["parameters"] = {**options, **case.shared, **case.theirs}
    return config


def compare(python: Path, root: Path, kind: str) -> dict[str, tuple[float, float]]:
    """Largest absolute difference of each case, and the largest change against the base."""
    folders = save_parents(root / kind, kind)
    base = load_file(folders["base"] / "model.safetensors")
    pairs = []
    for index, case in enumerate(CASES):
        config = root / kind / f"{index}.yaml"
        config.write_text(yaml.safe_dump(theirs(case, folders)))
        pairs.append(f"{config}={root / kind / f'merged-{index}'}")
    done = subprocess.run(
        [python, HERE / "run_mergekit.py", "1", *pairs], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found = {}
    for index, case in enumerate(CASES):
        other = {
            name: values
            for file in (root / kind / f"merged-{index}").glob("*.safetensors")
            for name, values in load_file(file).items()
        }
        merged = ours(case, folders)
        if merged.keys() != other.keys():
            sys.exit(f"{case.method}: other tensors: {sorted(merged.keys() ^ other.keys())}")
        difference = max(float((merged[name] - other[name]).abs().max()) for name in merged)
        change = max(float((merged[name] - base[name]).abs().max()) for name in merged)
        found[label(case)] = (difference, change)
    return found


def label(case: Case) -> str:
    """A short description of a case."""
    extra = {**case.shared, **case.options}
    notes = [f"{name}={value}" for name, value in extra.items()]
    notes += ["density 1"] if case.method.startswith(("dare", "della")) else []
    notes += ["base"] if case.base and METHODS[case.method].base == "optional" else []
    return case.method + (f" ({', '.join(notes)})" if notes else "")


def main() -> None:
    """Print a table and fail if anything differs by more than rounding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, help="folder for mergekit's environment")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        python = peer_python("mergekit", arguments.environment or root / "environment")
        results = {kind: compare(python, root, kind) for kind in KINDS}
    print(f"{'largest difference from mergekit, float32':48}" + "".join(f"{k:>10}" for k in KINDS))
    wrong = []
    for case in CASES:
        row = [results[kind][label(case)][0] for kind in KINDS]
        print(f"{label(case):48}" + "".join(f"{value:10.1e}" for value in row))
        if max(row) > case.tolerance:
            wrong.append(label(case))
    changes = max(change for result in results.values() for _, change in result.values())
    print(f"largest change of a weight by any merge: {changes:.1e}")
    if wrong:
        sys.exit("differ by more than rounding: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
