"""Commands that the rules call: each is one step of a run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from tsugiki.commands.arguments import CONFIG, GENERATION, JOB, PLACE, SERIES, find_stage, open_run
from tsugiki.commands.group import main
from tsugiki.quick_imports import quick_imports
from tsugiki.terminal import Terminal
from tsugiki.workers.client import done_by_worker


@main.command()
@click.pass_obj
@CONFIG
@click.option("--update", multiple=True, metavar="NAME", help="Lock this parent anew.")
def parents(terminal: Terminal, config: Path, update: tuple[str, ...]) -> None:
    """Resolve, pin, fetch, prepare, check and lock the parents."""
    with quick_imports():
        from tsugiki.steps.prepare import write_parents

    files, settings = open_run(config)
    write_parents(files, settings, update=frozenset(update), say=terminal.announce)


@main.command()
@CONFIG
def items(config: Path) -> None:
    """Divide the tasks' documents into search, validation and test."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # rendering each task's prompts has bars of its own
    with quick_imports():
        from tsugiki.steps.prepare import write_items

    write_items(*open_run(config))


@main.command()
@CONFIG
@click.option("--stage", required=True, help="Name of the stage.")
def start(config: Path, stage: str) -> None:
    """Write the first generation of a stage."""
    with quick_imports():
        from tsugiki.steps.start import write_first

    files, settings = open_run(config)
    write_first(files, settings, find_stage(settings, stage))


@main.command()
@CONFIG
@SERIES
@GENERATION
@JOB
def materialize(config: Path, series: str, generation: int, job: int) -> None:
    """Write a job's candidates as temporary checkpoints (storage: disk)."""
    with quick_imports():
        from tsugiki.evaluate.materialized import materialize as run

    run(*open_run(config), series, generation, job)


@main.command()
@CONFIG
@SERIES
@GENERATION
@JOB
@click.option("--rung", type=int, help="Score on that rung's documents; on all if absent.")
def evaluate(config: Path, series: str, generation: int, job: int, rung: int | None) -> None:
    """Score a job's share of a generation."""
    from tsugiki.evaluate.offline import stay_offline

    os.environ.setdefault("TQDM_DISABLE", "1")  # the log has a line per candidate instead
    stay_offline()
    files, settings = open_run(config)
    if done_by_worker(
        files, settings, "evaluate", series, generation, job, rung=rung, log=click.echo
    ):
        return
    from tsugiki.evaluate.vllm_backend.engine import see_one_gpu

    see_one_gpu(settings.evaluation, job)
    begun = time.perf_counter()
    with quick_imports():
        from tsugiki.evaluate.batch import Evaluator

    imported = time.perf_counter()
    evaluator = Evaluator(files, settings, job=job)
    loaded = time.perf_counter()
    click.echo(f"libraries: {imported - begun:.2f} s, tasks: {loaded - imported:.2f} s")
    evaluator.evaluate(series, generation, rung=rung, say=click.echo)


@main.command()
@CONFIG
@click.option("--stage", required=True, help="Name of the stage.")
@GENERATION
@click.option("--rung", type=int, required=True, help="Number of the rung, from 0.")
def promote(config: Path, stage: str, generation: int, rung: int) -> None:
    """Write which candidates of a generation go on from a rung."""
    from tsugiki.steps.rungs import write_promotion

    files, settings = open_run(config)
    write_promotion(files, settings, find_stage(settings, stage), generation, rung, say=click.echo)


@main.command()
@click.pass_obj
@CONFIG
@SERIES
@GENERATION
def rank(terminal: Terminal, config: Path, series: str, generation: int) -> None:
    """Write the ledger's entry of a generation: its candidates with their fitness."""
    files, settings = open_run(config)
    if done_by_worker(files, settings, "rank", series, generation, log=terminal.announce):
        return
    from tsugiki.steps.evolution import write_ranked

    write_ranked(files, settings, series, generation, say=terminal.announce)


@main.command()
@CONFIG
@click.option("--stage", required=True, help="Name of the stage.")
@GENERATION
def select(config: Path, stage: str, generation: int) -> None:
    """Draw the generation that follows a ranked one."""
    files, settings = open_run(config)
    if done_by_worker(files, settings, "select", stage, generation, log=click.echo):
        return
    from tsugiki.steps.evolution import write_next

    write_next(files, settings, find_stage(settings, stage), generation)


@main.command()
@CONFIG
def baselines(config: Path) -> None:
    """Write the recipes that the result is compared with."""
    with quick_imports():
        from tsugiki.steps.start import write_baselines

    write_baselines(*open_run(config))


@main.command()
@CONFIG
@click.option("--stage", help="Name of the stage; the last one if absent.")
def finalists(config: Path, stage: str | None) -> None:
    """Choose the candidates of a stage that are scored on the validation items."""
    from tsugiki.steps.finals import write_finalists

    files, settings = open_run(config)
    write_finalists(files, settings, None if stage is None else find_stage(settings, stage))


@main.command()
@CONFIG
def test(config: Path) -> None:
    """Choose the winner, and what is scored with it on the held-out items."""
    from tsugiki.steps.finals import write_test

    write_test(*open_run(config))


@main.command()
@click.pass_obj
@CONFIG
def compare(terminal: Terminal, config: Path) -> None:
    """Write and print the final table."""
    from tsugiki.finalists.files import write_final_table
    from tsugiki.finalists.table import render_table

    terminal.announce(render_table(write_final_table(*open_run(config))))


@main.command()
@CONFIG
@click.option("--out", type=PLACE, help="Folder; results/<run>/best if absent.")
@click.option("--stage", help="Write that stage's best model to its place, for later stages.")
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
def best(config: Path, out: Path | None, stage: str | None, threads: int) -> None:
    """Write the best model as an ordinary checkpoint."""
    with quick_imports():
        from tsugiki.steps.best import describe_folding, record_folding, write_best

    files, settings = open_run(config)
    if stage is not None:
        from tsugiki.steps.best import write_stage_best

        name = find_stage(settings, stage).name
        digest = write_stage_best(files, settings, name, threads=threads)
        click.echo(f"{files.series(name).best}  {digest}")
        return
    weights = write_best(files, settings, out or files.best, threads=threads)
    click.echo(f"{out or files.best}  weights {weights}")
    if (measured := record_folding(files, settings)) is not None:
        click.echo(describe_folding(measured))


@main.command()
@click.pass_obj
@CONFIG
@click.option(
    "--series", help="Stage, or baselines, finalists, test; all that is missing if absent."
)
@GENERATION
@click.option("--rebuild", is_flag=True, help="Write all of MLflow anew from the run's files.")
def track(
    terminal: Terminal, config: Path, series: str | None, generation: int, rebuild: bool
) -> None:
    """Write what MLflow has not yet, or a generation.

    With --series, as the workflow calls it, an MLflow that fails is no fault: it is told later.
    """
    files, settings = open_run(config)
    if rebuild or series is None:
        from tsugiki.tracking import projection as mlflow_projection

        run = mlflow_projection.rebuild if rebuild else mlflow_projection.catch_up
        run(files, settings)
        return
    if done_by_worker(files, settings, "track", series, generation, log=terminal.announce):
        return
    from tsugiki.tracking.projection import track_generation

    track_generation(files, series, generation, settings, say=terminal.announce)


@main.command()
@CONFIG
def report(config: Path) -> None:
    """Write report.html."""
    from tsugiki.report.page import write_report

    click.echo(write_report(*open_run(config)))
