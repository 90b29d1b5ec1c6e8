"""All commands in their group, and how each ends: status 0, 1 (a fault of the input) or 75."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from tsugiki import __version__
from tsugiki.commands import people, steps
from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.terminal import Terminal, end_by_hand

SECTIONS = {
    title: [one for one in vars(module).values() if isinstance(one, click.Command)]
    for title, module in {"For people": people, "For the rules of the workflow": steps}.items()
}
"""All commands, by who calls them."""


class _Commands(click.Group):
    """Lists commands by who calls them; prints a fault that a user can act on without a traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(one.name), one.get_short_help_str(70)) for one in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InfrastructureError as error:
            _terminal(ctx).complain(f"tsugiki: {error}")
            sys.exit(75)  # EX_TEMPFAIL: trying again may help
        except TsugikiError as error:
            _terminal(ctx).complain(f"tsugiki: {error}")
            sys.exit(1)
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            end_by_hand(told=ctx.params.get("log") is None)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads on
            _terminal(ctx).complain(f"tsugiki: {_describe(error)}")
            sys.exit(1 if isinstance(error, FileNotFoundError | PermissionError) else 75)
        except Exception:
            if ctx.params.get("log") is None:
                raise
            _terminal(ctx).complain(traceback.format_exc())
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option(
    "--log", type=click.Path(path_type=Path), help="Write all output to this file; faults to both."
)
@click.pass_context
def main(ctx: click.Context, log: Path | None) -> None:
    """Evolutionary model merging as an auditable workflow."""
    if log is not None and log.is_file() and log.suffix != ".log" and log.stat().st_size:
        raise TsugikiError(
            "another file stands where the log is to go",
            where=str(log),
            fix="name a file that ends in .log, or a new one",
        )
    ctx.obj = Terminal(log)


for _section in SECTIONS.values():
    for _command in _section:
        main.add_command(_command)


def _terminal(ctx: click.Context) -> Terminal:
    return ctx.obj if isinstance(ctx.obj, Terminal) else Terminal(None)


def _describe(error: OSError) -> TsugikiError:
    fix = "run the step that writes it; `tsugiki status` says how far a run has come"
    return TsugikiError(
        error.strerror or str(error),
        where=None if error.filename is None else str(error.filename),
        fix=fix if isinstance(error, FileNotFoundError) else None,
    )
