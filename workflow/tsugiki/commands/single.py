"""Commands for one recipe, without evolution: merge, export."""

from __future__ import annotations

from pathlib import Path

import click

from tsugiki.commands.arguments import MODELS, PLACE, open_run
from tsugiki.commands.group import main
from tsugiki.terminal import Terminal


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--mergekit", is_flag=True, help="As a mergekit configuration.")
@MODELS
@click.option("--out", type=PLACE, help="File to write; printed if absent.")
def export(recipe: Path, mergekit: bool, models: dict[str, str], out: Path | None) -> None:
    """Express RECIPE (recipe.json, or a run's configuration) as a mergekit configuration."""
    if not mergekit:
        raise click.UsageError("name the format: --mergekit")
    from tsugiki.contracts.recipe import read_recipe
    from tsugiki.steps.export_mergekit import export_best, export_recipe
    from tsugiki.steps.output import write_beside

    if recipe.suffix == ".json":
        text = export_recipe(read_recipe(recipe), models)
    else:
        text = export_best(*open_run(recipe), models)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_beside(out, text.encode())


@main.command()
@click.pass_obj
@click.argument("file", type=click.Path(path_type=Path))
@MODELS
@click.option("--out", type=PLACE, required=True, help="Folder to write.")
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
@click.option(
    "--accept-differences",
    "accepted",
    multiple=True,
    metavar="KEY",
    help="Setting of config.json in which the models may differ. Once for each.",
)
def merge(
    terminal: Terminal,
    file: Path,
    models: dict[str, str],
    out: Path,
    threads: int,
    accepted: tuple[str, ...],
) -> None:
    """Merge once, without evolution: FILE is recipe.json or a mergekit configuration."""
    from tsugiki.steps.merge_once import merge_once, progress_bar

    bar = progress_bar()
    weights = merge_once(
        file,
        models,
        out,
        threads=threads,
        say=terminal.announce,
        progress=bar,
        accepted=accepted,
    )
    click.echo(f"{out}  weights {weights}")
