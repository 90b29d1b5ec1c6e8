"""Commands that write configurations and their reference: init, schema."""

from __future__ import annotations

import sys

import click

from tsugiki.commands.group import main


@main.command()
@click.option("--write", is_flag=True, help="Write the files instead of comparing them.")
def schema(write: bool) -> None:
    """Compare (or write) the generated JSON schema and config/README.md."""
    from tsugiki.config.document import out_of_step, write_documents

    if write:
        write_documents()
    elif path := out_of_step():
        click.echo(f"{path} is out of step: run `tsugiki schema --write`", err=True)
        sys.exit(1)


@main.command()
@click.argument("name")
def init(name: str) -> None:
    """Write config/NAME.yaml, a commented start for your own models."""
    from tsugiki.config.document import write_template

    click.echo(write_template(name))
