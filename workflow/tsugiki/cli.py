"""The `tsugiki` command. The rules of the workflow call it; so do people."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from tsugiki import __version__
from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.terminal import Terminal

CONFIG = click.argument("config", type=click.Path(path_type=Path))
JOB = click.option("--job", type=int, default=0, show_default=True, help="Number of the job.")
SERIES = click.option("--series", required=True, help="Stage, or baselines, finalists, test.")
GENERATION = click.option(
    "--generation", type=int, default=0, show_default=True, help="Number of the generation."
)


class _Commands(click.Group):
    """Prints a fault that a user can act on without a traceback."""

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
    ctx.obj = Terminal(log)


def _terminal(ctx: click.Context) -> Terminal:
    return ctx.obj if isinstance(ctx.obj, Terminal) else Terminal(None)


def _describe(error: OSError) -> TsugikiError:
    fix = "run the step that writes it; `tsugiki status` says how far a run has come"
    return TsugikiError(
        error.strerror or str(error),
        where=None if error.filename is None else str(error.filename),
        fix=fix if isinstance(error, FileNotFoundError) else None,
    )


def _open(config: Path) -> tuple[Any, Any]:
    from tsugiki.config.load import read_config
    from tsugiki.lineage.layout import RunFiles

    settings = read_config(config)
    return RunFiles(Path(settings.results) / settings.name), settings


def _stage(settings: Any, name: str) -> Any:
    from tsugiki.config.load import nearest
    from tsugiki.errors import ConfigError

    for stage in settings.stages:
        if stage.name == name:
            return stage
    names = [stage.name for stage in settings.stages]
    raise ConfigError(f"unknown stage {name!r}", fix=nearest(name, names))


@main.command()
@CONFIG
def check(config: Path) -> None:
    """Check a configuration and its parents, without merging anything."""
    from tsugiki.config.validate import validate_config
    from tsugiki.lineage.tracking_store import tracking_uri
    from tsugiki.parents.lock import read_lock
    from tsugiki.parents.preflight import preflight
    from tsugiki.parents.report import render
    from tsugiki.steps import estimate

    files, settings = _open(config)
    validate_config(settings, where=str(config))
    tracking_uri(files, settings)
    locked = read_lock(files.parents) if files.parents.is_file() else None
    report = preflight(settings, locked)
    click.echo(render(report))
    if report.faults:
        sys.exit(1)
    click.echo(estimate.render(settings, report.tensors))


@main.command()
@click.pass_obj
@CONFIG
@click.option("--update", multiple=True, metavar="NAME", help="Lock this parent anew.")
def parents(terminal: Terminal, config: Path, update: tuple[str, ...]) -> None:
    """Resolve, pin, fetch and lock the parents."""
    from tsugiki.parents.resolve import lock_parents

    files, settings = _open(config)
    lock_parents(settings, files.parents, update=frozenset(update), say=terminal.announce)


@main.command()
@CONFIG
def items(config: Path) -> None:
    """Divide the tasks' documents into search, validation and test."""
    from tsugiki.steps.items import write_items

    write_items(*_open(config))


@main.command()
@CONFIG
@click.option("--stage", required=True, help="Name of the stage.")
def start(config: Path, stage: str) -> None:
    """Write the first generation of a stage."""
    from tsugiki.steps.start import write_first

    files, settings = _open(config)
    write_first(files, settings, _stage(settings, stage))


@main.command()
@CONFIG
@SERIES
@GENERATION
@JOB
def materialize(config: Path, series: str, generation: int, job: int) -> None:
    """Write a job's candidates as temporary checkpoints (storage: disk)."""
    from tsugiki.evaluate.materialized import materialize as run

    run(*_open(config), series, generation, job)


@main.command()
@CONFIG
@SERIES
@GENERATION
@JOB
def evaluate(config: Path, series: str, generation: int, job: int) -> None:
    """Score a job's share of a generation."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # the log has a line per candidate instead
    files, settings = _open(config)
    if settings.evaluation.resident:
        _resident(files, settings, f"evaluate-{job}", series, generation, job)
        return
    from tsugiki.evaluate.batch import Evaluator

    Evaluator(files, settings, job=job).evaluate(series, generation, say=click.echo)


@main.command()
@CONFIG
@click.option("--stage", required=True, help="Name of the stage.")
@GENERATION
def select(config: Path, stage: str, generation: int) -> None:
    """Draw the generation that follows a ranked one."""
    from tsugiki.steps.select import write_next

    files, settings = _open(config)
    write_next(files, settings, _stage(settings, stage), generation)


@main.command()
@click.pass_obj
@CONFIG
@SERIES
@GENERATION
def rank(terminal: Terminal, config: Path, series: str, generation: int) -> None:
    """Write the ledger's entry of a generation: its candidates with their fitness."""
    from tsugiki.steps.rank import write_ranked

    files, settings = _open(config)
    write_ranked(files, settings, series, generation, say=terminal.announce)


@main.command()
@CONFIG
def baselines(config: Path) -> None:
    """Write the recipes that the result is compared with."""
    from tsugiki.steps.finals import write_baselines

    write_baselines(*_open(config))


@main.command()
@CONFIG
def finalists(config: Path) -> None:
    """Choose the candidates that are scored on the validation items."""
    from tsugiki.steps.finals import write_finalists

    write_finalists(*_open(config))


@main.command()
@CONFIG
def test(config: Path) -> None:
    """Choose the winner, and what is scored with it on the held-out items."""
    from tsugiki.steps.finals import write_test

    write_test(*_open(config))


@main.command()
@click.pass_obj
@CONFIG
def compare(terminal: Terminal, config: Path) -> None:
    """Write and print the final table."""
    from tsugiki.finalists.files import write_final_table
    from tsugiki.finalists.render import render_table

    terminal.announce(render_table(write_final_table(*_open(config))))


@main.command()
@CONFIG
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder; results/<run>/best if absent."
)
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
def best(config: Path, out: Path | None, threads: int) -> None:
    """Write the best model as an ordinary checkpoint."""
    from tsugiki.steps.finals import write_best

    files, settings = _open(config)
    weights = write_best(files, settings, out or files.best, threads=threads)
    click.echo(f"{out or files.best}  weights {weights}")


@main.command()
@CONFIG
@click.option("--series", help="Stage, or baselines, finalists, test.")
@GENERATION
@click.option("--rebuild", is_flag=True, help="Write all of MLflow anew from the run's files.")
def track(config: Path, series: str | None, generation: int, rebuild: bool) -> None:
    """Write a generation to MLflow."""
    files, settings = _open(config)
    if rebuild:
        from tsugiki.lineage.mlflow_projection import rebuild as run

        run(files, settings)
        return
    if series is None:
        raise click.UsageError("name a --series, or --rebuild everything")
    if settings.evaluation.resident:
        _resident(files, settings, "track", series, generation, 0)
        return
    from tsugiki.lineage.mlflow_projection import track_generation

    track_generation(files, series, generation, settings)


@main.command()
@CONFIG
def report(config: Path) -> None:
    """Write report.html."""
    from tsugiki.report.page import write_report

    click.echo(write_report(*_open(config)))


@main.command()
@CONFIG
def status(config: Path) -> None:
    """Say how far a run has come."""
    from tsugiki.lineage.progress import status as run

    click.echo(run(*_open(config)))


@main.command()
@CONFIG
def audit(config: Path) -> None:
    """Check a run's files against each other, and derive every generation again."""
    from tsugiki.lineage.audit import audit as run
    from tsugiki.steps.audit import reselect

    files, settings = _open(config)
    findings = run(files, settings, reselect=reselect(files, settings))
    for finding in findings:
        click.echo(str(finding), err=True)
    if findings:
        sys.exit(1)
    click.echo("sound: every digest and every generation could be derived again")


@main.command()
@CONFIG
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
def reproduce(config: Path, out: Path) -> None:
    """Build the best model again from its recipe, and compare the bytes."""
    from tsugiki.steps.audit import reproduce_best

    files, settings = _open(config)
    click.echo(reproduce_best(files, settings, out))


@main.command()
@click.option("--write", is_flag=True, help="Write the files instead of comparing them.")
def schema(write: bool) -> None:
    """Compare (or write) the generated JSON schema and config/README.md."""
    from tsugiki.config.document import REFERENCE, SCHEMA, json_schema, reference

    for path, text in ((SCHEMA, json_schema()), (REFERENCE, reference())):
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            click.echo(f"{path} is out of step: run `tsugiki schema --write`", err=True)
            sys.exit(1)


@main.command()
@click.argument("name")
def init(name: str) -> None:
    """Write config/NAME.yaml, a commented start for your own models."""
    from tsugiki.config.template import write_template

    click.echo(write_template(name))


def _resident(files: Any, settings: Any, role: str, series: str, generation: int, job: int) -> None:
    from tsugiki.resident.client import call
    from tsugiki.steps.plan import Plan

    plan = Plan(files, settings)
    call(
        role,
        {
            "command": role.partition("-")[0],
            "run": str(files.root),
            "series": series,
            "generation": generation,
            "job": job,
        },
        keeps=[files.config, files.parents, files.items, *map(Path, plan.task_files())],
        threads=settings.evaluation.threads,
        log=files.root / "logs" / f"resident-{role}.log",
        say=click.echo,
    )


def _pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
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
    callback=_pairs,
    help="Where a model is: a folder, or (export) a repository of the Hub. Once for each model.",
)


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--mergekit", is_flag=True, help="As a mergekit configuration.")
@MODELS
@click.option("--out", type=click.Path(path_type=Path), help="File to write; printed if absent.")
def export(recipe: Path, mergekit: bool, models: dict[str, str], out: Path | None) -> None:
    """Express RECIPE (recipe.json, or a run's configuration) as a mergekit configuration."""
    if not mergekit:
        raise click.UsageError("name the format: --mergekit")
    from tsugiki import atomic
    from tsugiki.recipe.recipe import read_recipe
    from tsugiki.steps.export_mergekit import export_best, export_recipe

    if recipe.suffix == ".json":
        text = export_recipe(read_recipe(recipe), models)
    else:
        text = export_best(*_open(recipe), models)
    if out is None:
        click.echo(text, nl=False)
    else:
        atomic.write_bytes(out, text.encode())


@main.command()
@click.pass_obj
@click.argument("file", type=click.Path(path_type=Path))
@MODELS
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
def merge(terminal: Terminal, file: Path, models: dict[str, str], out: Path, threads: int) -> None:
    """Merge once, without evolution: FILE is recipe.json or a mergekit configuration."""
    from tsugiki.steps.merge_once import merge_once
    from tsugiki.steps.merge_progress import progress_bar

    bar = progress_bar()
    weights = merge_once(file, models, out, threads=threads, say=terminal.announce, progress=bar)
    click.echo(f"{out}  weights {weights}")


if __name__ == "__main__":
    main()
