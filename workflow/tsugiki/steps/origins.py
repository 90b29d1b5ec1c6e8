"""Files of recipes from elsewhere that a stage's search begins with (see `steps/begin.py`)."""

from __future__ import annotations

from pathlib import Path

from tsugiki.config.load import read_config
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Origin, Stage
from tsugiki.contracts.data import folder_of
from tsugiki.contracts.layout import FINALISTS, RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.errors import LineageError
from tsugiki.finalists.files import find_candidate, read_winner


def origin_files(files: RunFiles, config: RunConfig, stage: Stage) -> set[Path]:
    """Files that say which recipes a stage begins with; those of baselines apart.

    Raises:
        ConfigError: another run is not there.
        LineageError: another run has no such candidate, or no finalists yet.
    """
    return {
        files.phase(config.finalists_of(origin.stage)).generation(0).outcomes
        if origin.stage is not None
        else outside_file(origin)
        for origin in stage.origins.values()
        if not origin.is_baseline
    }


def outside_file(origin: Origin) -> Path:
    """The recipe.json of an origin that is no part of the run.

    Raises:
        ConfigError: there is no such run.
        LineageError: the file is gone, or the other run has no such candidate, or no finalists yet.
    """
    path = _outside_file(origin)
    if not path.is_file():
        fix = "put the file back, or name another one"
        raise LineageError("a recipe to begin with is missing", where=str(path), fix=fix)
    return path


def _outside_file(origin: Origin) -> Path:
    if origin.recipe is not None:
        return folder_of(origin.recipe)
    assert origin.run is not None
    other = RunFiles(folder_of(origin.run))
    if origin.candidate is None:
        phase = other.phase(FINALISTS)
        won = read_winner(phase)
        return phase.candidate(won.recipe).recipe
    phase = other.phase(read_config(other.config).stages[-1].name)
    found = find_candidate(entries(phase), origin.candidate, where=str(phase.root))
    return phase.candidate(found.recipe).recipe
