"""Arguments and options that several commands take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tsugiki.config.run import RunConfig
    from tsugiki.config.stage import Stage


class _Place(click.Path):
    """A path in which a leading `~` is the user's home, also where no shell has seen to that."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from tsugiki.contracts.data import folder_of

        return folder_of(os.fsdecode(super().convert(value, param, ctx)))


def _open(_context: click.Context, _parameter: click.Parameter, config: Path) -> Any:
    from tsugiki.api import open_run

    return open_run(config)


FILE = click.Path(path_type=Path)
PLACE = _Place()
RUN = click.argument("run", metavar="CONFIG", type=FILE, callback=_open)
STAGE = click.option("--stage", required=True, help="Name of the stage.")
JOB = click.option("--job", type=int, default=0, show_default=True, help="Number of the job.")
PHASE = click.option(
    "--series",
    "phase",
    required=True,
    help="Stage, or baselines, finalists, flatness, test, repeat.",
)
GENERATION = click.option(
    "--generation", type=int, default=0, show_default=True, help="Number of the generation."
)
THREADS = click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")


def find_stage(config: RunConfig, name: str) -> Stage:
    """The stage of that name.

    Raises:
        ConfigError: there is none.
    """
    from tsugiki.config.load import nearest
    from tsugiki.errors import ConfigError

    if (stage := config.stage(name)) is None:
        names = [stage.name for stage in config.searches]
        raise ConfigError(f"unknown stage {name!r}", fix=nearest(name, names))
    return stage


def _name_and_place(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read NAME=PLACE, given once for each model."""
    pairs = [value.partition("=") for value in values]
    for value, (name, _equals, path) in zip(values, pairs, strict=True):
        if not (name and path):
            raise click.BadParameter(f"`{value}` is not NAME=PLACE", param=parameter)
    return {name: path for name, _, path in pairs}


MODELS = click.option(
    "--models",
    multiple=True,
    metavar="NAME=PLACE",
    callback=_name_and_place,
    help="Where a model is: a folder, or (export) a repository of the Hub. Once for each model.",
)
