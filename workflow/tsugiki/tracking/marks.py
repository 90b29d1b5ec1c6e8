"""Marks: whether MLflow has a generation, or the result, or has still to be told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tsugiki.atomic import write_if_changed
from tsugiki.canonical import digest_file, pretty_json
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import GenerationFiles, RunFiles
from tsugiki.contracts.ledger import existing_phases

PENDING = "pending"


def mark(files: GenerationFiles, state: bool | str) -> None:
    """Mark a scored generation: True if MLflow has it, `PENDING` if it is to be told, False if not."""
    content = {"outcomes": digest_file(files.outcomes), "mlflow": state}
    write_if_changed(files.tracked, pretty_json(content))


def mark_untold(files: RunFiles, config: RunConfig, *, all_of_them: bool = False) -> None:
    """Mark as pending each scored generation that MLflow does not have as it is now, or all."""
    for _, _, generation in _generations(files, config):
        if generation.outcomes.is_file():
            told = {"outcomes": digest_file(generation.outcomes), "mlflow": True}
            if all_of_them or not told.items() <= _content(generation.tracked).items():
                mark(generation, PENDING)
    if result_is_there(files) and (
        all_of_them or _content(files.tracked) != _result(files) | {"mlflow": True}
    ):
        mark_result(files, PENDING)


def mark_result(files: RunFiles, state: bool | str) -> None:
    """Mark the result, which is the winner and the report, as `mark` does a generation."""
    write_if_changed(files.tracked, pretty_json(_result(files) | {"mlflow": state}))


def result_is_there(files: RunFiles) -> bool:
    """Whether the run has come to its end."""
    return all(path.is_file() for path in (files.final, files.best_recipe, files.report))


def result_is_pending(files: RunFiles) -> bool:
    """Whether MLflow has still to be told of the result."""
    return _content(files.tracked).get("mlflow") == PENDING and result_is_there(files)


def untold(files: RunFiles, generations: int) -> str:
    """What MLflow has still to be told of, in words; nothing where it has all."""
    words = [f"{generations} generations"] if generations else []
    return " and ".join([*words, *(["the result"] if result_is_pending(files) else [])])


def _result(files: RunFiles) -> dict[str, object]:
    return {"final": digest_file(files.final), "report": digest_file(files.report)}


def pending(files: RunFiles, config: RunConfig) -> list[tuple[str, int]]:
    """Phase and number of all generations that MLflow has still to be told of, in the ledger's order."""
    return [
        (phase, number)
        for phase, number, generation in _generations(files, config)
        if _content(generation.tracked).get("mlflow") == PENDING and generation.outcomes.is_file()
    ]


def _generations(files: RunFiles, config: RunConfig) -> Iterator[tuple[str, int, GenerationFiles]]:
    for phase in existing_phases(files, config.phases):
        number = 0
        while (found := files.phase(phase).generation(number)).population.is_file():
            yield phase, number, found
            number += 1


def _content(tracked: Path) -> dict[str, object]:
    """What a mark says; nothing if there is none that can be read."""
    try:
        content = json.loads(tracked.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
