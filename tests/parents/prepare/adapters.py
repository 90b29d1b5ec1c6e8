"""Runs with adapters that peft has made (see make_peft_cases.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.parents.checkpoints import write_tokenizer

PEFT = Path(__file__).parent / "peft"
WORDS = ("<unk>", "<s>", "</s>", *(f"w{index}" for index in range(9)))
"""The twelve tokens of the adapters' bases."""


def adapted(folder: Path, case: str = "plain") -> Path:
    """A folder with the model `base` and its adapter `lora`."""
    kind = (PEFT / case / "base.txt").read_text().strip()
    shutil.copytree(PEFT / "bases" / kind, folder / "base")
    write_tokenizer(folder / "base", WORDS)
    (folder / "lora").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(PEFT / case / name, folder / "lora" / name)
    return folder


def change(path: Path, **entries: Any) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
