"""The demo's parents and documents in the form that the peers read.

The peers need transformers 4, which cannot read what transformers 5 writes about a tokenizer and
about rotary embeddings. The weights are the same files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from runs import REPOSITORY
from tsugiki.demo.tasks import DOCUMENTS, rows

TASK = "peers_ja_maths"
ORIGINAL = "demo_ja_maths"


def older_checkpoint(source: Path, target: Path) -> Path:
    """Copy one of the demo's models so that transformers 4 reads it."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return target


def task_folder(items: Path, target: Path) -> int:
    """Write the task with only a run's search documents; returns how many there are.

    Args:
        items: items.json of the run.
        target: Folder of the task, made anew.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    chosen = json.loads(items.read_text(encoding="utf-8"))["tasks"][ORIGINAL]["search"]
    documents = rows("maths", "ja", DOCUMENTS)
    lines = [json.dumps(documents[item["id"]], ensure_ascii=False) for item in chosen]
    data = target / "documents.jsonl"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tasks = REPOSITORY / "config/tasks/demo"
    shutil.copy(tasks / "demo_tasks.py", target)
    text = (tasks / f"{ORIGINAL}.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("task:", "custom_dataset:"))]
    source = [f"task: {TASK}", "dataset_path: json", "dataset_kwargs:"]
    source += ["  data_files:", f"    test: {data.resolve()}"]
    (target / f"{TASK}.yaml").write_text("\n".join([*source, *kept]) + "\n", encoding="utf-8")
    return len(chosen)
