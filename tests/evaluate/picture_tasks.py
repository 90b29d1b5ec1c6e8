"""Two small lm-eval tasks about pictures, and runs that merge a model that sees with one that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.evaluate import sighted_models
from tests.runs_for_tests import evaluation_section, raw_config

CODE = """
import json
from pathlib import Path

import datasets
from PIL import Image

HERE = Path(__file__).parent


def load(**kwargs):
    rows = json.loads((HERE / "documents.json").read_text())
    return {"test": datasets.Dataset.from_list(rows)}


def pictures(doc):
    return [Image.open(HERE / doc["picture"])]


def score(doc, results):
    words = results[0].split()
    even = [word for word in words if word[1:].isdigit() and int(word[1:]) % 2 == 0]
    return {"even": len(even) / max(len(words), 1)}
"""
SEEN = """
task: seen
custom_dataset: !function seen.load
test_split: test
output_type: generate_until
doc_to_image: !function seen.pictures
doc_to_text: question
doc_to_target: target
generation_kwargs: {until: ["w60"], do_sample: false, max_gen_toks: 6}
process_results: !function seen.score
metric_list:
  - {metric: even, aggregation: mean, higher_is_better: true}
"""
PICKED = """
task: picked
custom_dataset: !function seen.load
test_split: test
output_type: multiple_choice
doc_to_image: picture
doc_to_text: question
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
COUNT = 24


def write_picture_tasks(folder: Path, **changes: Any) -> Path:
    """Write the tasks `seen` and `picked`: few questions, each about several pictures.

    Args:
        folder: Where; made if absent.
        changes: Replace columns of the first document.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sighted_models.draw(folder / "pictures", COUNT)
    rows = [
        {
            "question": f"w{number % 3} <image> w7",
            "picture": f"pictures/{number}.png",
            "target": f"w{number}",
            "choices": [f"w{(13 * number) % 60}", f"w{(17 * number + 1) % 60}"],
            "gold": 0,
        }
        for number in range(COUNT)
    ]
    rows[0] |= changes
    (folder / "documents.json").write_text(json.dumps(rows))
    (folder / "seen.py").write_text(CODE)
    (folder / "seen.yaml").write_text(SEEN)
    (folder / "picked.yaml").write_text(PICKED)
    return folder


def sighted_config(
    root: Path, *, family: str = "LLaVA 1.5", marked: bool = True, **evaluation: Any
) -> dict[str, Any]:
    """A run that merges a text model with one that sees, scored on both tasks.

    Args:
        root: Folder of models, tasks and results.
        family: Of the model that sees.
        marked: Whether the text model knows the tokens for pictures; if not, vocabularies are united.
        evaluation: Further keys of that section.
    """
    models, tasks = root / "models", write_picture_tasks(root / "tasks")
    if not models.is_dir():
        sighted_models.text_model(models / "text", family, marked=marked)
        sighted_models.FAMILIES[family](models / "eyes", seed=2)
    objectives = [
        {"name": "seen", "task": "seen", "metric": "even,none"},
        {"name": "picked", "task": "picked", "metric": "acc,none"},
    ]
    config = raw_config(models, tasks, root / "results")
    config["evaluation"] = evaluation_section(tasks, objectives=objectives, **evaluation)
    config["evaluation"]["document_keys"] = {"seen": "picture", "picked": "picture"}
    config["parents"] = {name: {"path": str(models / name)} for name in ("text", "eyes")}
    genes = {"weight": {"range": [0.1, 1.0], "grouping": "block"}}
    space = {"method": "linear", "dtype": "float32", "tokenizer": "eyes", "genes": genes}
    config["stages"][0] |= {"parents": ["text", "eyes"], "base": None, "space": space}
    config["baselines"] = []
    if not marked:
        config["vocabulary"] = {"kind": "union", "of": "eyes"}
    return config
