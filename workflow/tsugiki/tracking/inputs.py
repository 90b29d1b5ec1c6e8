"""Where the numbers of a run come from, in MLflow's own terms: data sets and source code."""

from __future__ import annotations

import json
from typing import Any

from tsugiki.canonical import digest
from tsugiki.contracts.document_sets import Split, read_document_sets
from tsugiki.contracts.layout import RunFiles

LONGEST_DIGEST = 36
"""Characters; MLflow refuses longer digests of data sets."""
CONTEXT = "mlflow.data.context"
"""The tag that says what a run used a data set for."""


def data_sets(files: RunFiles, split: Split) -> list[Any]:
    """The documents of each task that a phase is scored on, as MLflow's `DatasetInput`.

    Its digest is that of the documents' digests, so that equal ones are equal in any run. Candidates
    left at a rung, and generations with documents of their own, are scored on a part of it.

    Args:
        files: The run's files.
        split: The set; it is the context, too.

    Raises:
        LineageError: items.json is missing or damaged.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = []
    for task, sets in read_document_sets(files.items).tasks.items():
        if documents := getattr(sets, split):
            content = digest([document.hash for document in documents])[:LONGEST_DIGEST]
            source = json.dumps({"task": task, "set": split, "listed_in": files.items.name})
            profile = json.dumps({"documents": len(documents)})
            one = Dataset(task, content, "items", source, profile=profile)
            found.append(DatasetInput(one, [InputTag(CONTEXT, split)]))
    return found


def source_tags(files: RunFiles, entry_point: str) -> dict[str, str]:
    """MLflow's tags for the code that made something.

    Args:
        files: The run's files; the commit is the one in environment.json, if that has any.
        entry_point: The command that made it.
    """
    tags = {
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": "tsugiki",
        "mlflow.project.entryPoint": entry_point,
    }
    try:
        commit = json.loads(files.environment.read_bytes()).get("source")
    except (OSError, ValueError, AttributeError):
        commit = None
    if isinstance(commit, str):
        plain, _, changes = commit.partition("+")
        tags["mlflow.source.git.commit"] = plain
        tags["tsugiki.source.changed"] = str(bool(changes)).lower()
    return tags
