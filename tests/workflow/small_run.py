"""What a small run searches, and the questions that it asks."""

from __future__ import annotations

from typing import Any

from tests.runs_for_tests import parameter_stage

TASK = """
task: tiny_choice
custom_dataset: !function tiny.load
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: ["w3", "w5", "w7", "w9"]
doc_to_target: gold
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""

TASK_CODE = '''
"""Sixty questions over the tiny vocabulary; the answers are arbitrary but fixed."""

import datasets


def load(**kwargs):
    rows = [
        {"prompt": f"w{i % 50} w{(i * 7) % 50} w{(i * 13 + i // 50) % 50}", "gold": (i * i + i // 3) % 4}
        for i in range(60)
    ]
    return {"test": datasets.Dataset.from_list(rows)}
'''

UNTRACKED = {"tracking": {"enabled": False}}
"""For runs whose MLflow nobody looks at: telling it takes seconds a run."""


def settings(**changes: Any) -> dict[str, Any]:
    """The configuration of a small run; `changes` replace parts of its evaluation section."""
    return {
        "name": "tiny",
        "seed": 3,
        "parents": {name: {"path": f"parents/{name}"} for name in ("base", "left", "right")},
        "stages": [parameter_stage("left", "right", population=5)],
        "evaluation": {
            "task_paths": ["tasks"],
            "objectives": [{"name": "choice", "task": "tiny_choice", "metric": "acc,none"}],
            "items": {"search": 20, "validation": 10, "test": 30},
            "batch_size": 16,
            "jobs": 2,
            "device": "cpu",
            "resident": True,
            **changes,
        },
        "baselines": [
            {"name": "average", "method": "linear", "parameters": {"weight": 1.0}},
            {
                "name": "arithmetic-tuned",
                "method": "task_arithmetic",
                "parameters": {"weight": [0.3, 0.6]},
            },
        ],
        "rivals": [],
        "finalists": {"top": 3},
    }
