"""An environment of its own for each peer that merges or searches for merges, and one for peers of strategies.

mergenetic and mergekit-evolve need older libraries than each other and than tsugiki. PyTorch is pinned to
the version that tsugiki uses, so that forward passes cost the same everywhere.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"

MERGENETIC = (
    # Its own list adds vLLM, bitsandbytes and Gradio: gigabytes that this path does not touch.
    ("--no-deps", "mergenetic==0.1.1", "mergekit==0.0.6"),
    (
        TORCH,
        "lm_eval==0.4.8",
        "transformers==4.45.2",
        "accelerate==1.3.0",
        "pymoo==0.6.1.3",
        "pandas==2.2.2",
        *(
            "numpy==2.2.6",
            "pydantic==2.10.6",
            "immutables",
            "GitPython",
            "matplotlib",
            "sentencepiece",
        ),
    ),
)
MERGEKIT_EVOLVE = (
    (
        *(TORCH, "mergekit==0.1.4", "transformers==4.57.6", "lm_eval==0.4.9.1"),
        *("ray", "cma", "pandas"),
    ),
)
MERGEKIT = (("mergekit==0.1.5", TORCH),)
STRATEGIES = (("cmaes==0.13.1", "cma==4.5.0", "pymoo==0.6.2"),)
ENVIRONMENTS = {
    "mergekit": MERGEKIT,
    "mergenetic": MERGENETIC,
    "mergekit-evolve": MERGEKIT_EVOLVE,
    "strategies": STRATEGIES,
}
"""Arguments of each call of pip, in order, by peer."""


def peer_python(name: str, environments: Path) -> Path:
    """The interpreter of a peer's environment, made in a folder of `environments` if need be."""
    folder = environments / name
    python = folder / "bin" / "python"
    installed = folder / "installed.txt"
    wanted = "\n".join(" ".join(requirements) for requirements in ENVIRONMENTS[name])
    if not installed.is_file() or installed.read_text(encoding="utf-8") != wanted:
        venv.create(folder, with_pip=True)
        for requirements in ENVIRONMENTS[name]:
            print(f"installing {' '.join(requirements)} into {folder}", file=sys.stderr)
            subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return python
