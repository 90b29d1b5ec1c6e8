"""Arguments and options that several commands take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tsugiki.config.run import RunConfig
    from tsugiki.config.stage import Stage
    from tsugiki.contracts.layout import RunFiles


class _Place(click.Path):
    """A path in which a leading `~` is the user's home, also where no shell has seen to that."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        given = os.fsdecode(super().convert(value, param, ctx))
        return Path(os.path.expanduser(given))  # noqa: PTH111 - leaves the `~` of an unknown user


PLACE = _Place()
CONFIG = click.argument("config", type=click.Path(path_type=Path))
JOB = click.option("--job", type=int, default=0, show_default=True, help="Number of the job.")
SERIES = click.option("--series", required=True, help="Stage, or baselines, finalists, test.")
GENERATION = click.option(
    "--generation", type=int, default=0, show_default=True, help="Number of the generation."
)


def open_run(config: Path) -> tuple[RunFiles, RunConfig]:
    """Files and settings of the run that a configuration file describes."""
    from tsugiki.config.load import read_config
    from tsugiki.contracts.layout import RunFiles

    settings = read_config(config)
    return RunFiles(settings.folder), settings


def find_stage(settings: RunConfig, name: str) -> Stage:
    """The stage of that name."""
    from tsugiki.config.load import nearest
    from tsugiki.errors import ConfigError

    for stage in settings.stages:
        if stage.name == name:
            return stage
    names = [stage.name for stage in settings.stages]
    raise ConfigError(f"unknown stage {name!r}", fix=nearest(name, names))


def name_and_place(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read NAME=PLACE, given once for each model."""
    pairs = [value.partition("=") for value in values]
    if wrong := [
        value for value, (name, _, path) in zip(values, pairs, strict=True) if not (name and path)
    ]:
        raise click.BadParameter(f"`{wrong[0]}` is not NAME=PLACE", param=parameter)
    return {name: path for name, _, path in pairs}


MODELS = click.option(
    "--models",
    multiple=True,
    metavar="NAME=PLACE",
    callback=name_and_place,
    help="Where a model is: a folder, or (export) a repository of the Hub. Once for each model.",
)
