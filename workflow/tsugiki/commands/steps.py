"""Commands for the rules of the workflow: each is one step of a run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsugiki.commands.arguments import (
    GENERATION,
    JOB,
    PHASE,
    PLACE,
    RUN,
    STAGE,
    THREADS,
    find_stage,
)
from tsugiki.quick_imports import quick_imports
from tsugiki.terminal import Terminal

if TYPE_CHECKING:
    from tsugiki.api import Run


@click.command()
@click.pass_obj
@RUN
@click.option("--update", multiple=True, metavar="NAME", help="Lock this parent anew.")
def parents(terminal: Terminal, run: Run, update: tuple[str, ...]) -> None:
    """Resolve, pin, fetch, prepare, check and lock the parents."""
    with quick_imports():
        from tsugiki.steps.prepare import write_parents

    write_parents(run.files, run.config, update=frozenset(update), log=terminal.announce)


@click.command()
@click.pass_obj
@RUN
def items(terminal: Terminal, run: Run) -> None:
    """Divide the tasks' documents into search, validation and test."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # rendering each task's prompts has bars of its own
    with quick_imports():
        from tsugiki.steps.prepare import write_document_sets

    write_document_sets(run.files, run.config, log=terminal.announce)


@click.command()
@click.pass_obj
@RUN
@STAGE
def start(terminal: Terminal, run: Run, stage: str) -> None:
    """Write the first generation of a stage."""
    with quick_imports():
        from tsugiki.steps.start import write_first

    found = find_stage(run.config, stage)
    write_first(run.files, run.config, found, terminal.announce)


@click.command()
@click.pass_obj
@RUN
@STAGE
@THREADS
def decompose(terminal: Terminal, run: Run, stage: str, threads: int) -> None:
    """Decompose the task vectors that a stage merges, once for all its candidates."""
    with quick_imports():
        from tsugiki.steps.start import write_decomposed

    found = find_stage(run.config, stage)
    write_decomposed(run.files, run.config, found, threads=threads, log=terminal.announce)


@click.command()
@RUN
@PHASE
@GENERATION
@JOB
def materialize(run: Run, phase: str, generation: int, job: int) -> None:
    """Write a job's candidates as checkpoints (storage: disk)."""
    with quick_imports():
        from tsugiki.evaluate.materialized import materialize as write

    write(run.files, run.config, phase, generation, job)


@click.command()
@RUN
@PHASE
@GENERATION
@JOB
@click.option("--rung", type=int, help="Score on that rung's documents; on all if absent.")
def evaluate(run: Run, phase: str, generation: int, job: int, rung: int | None) -> None:
    """Score a job's shard of a generation."""
    from tsugiki.evaluate.offline import stay_offline

    os.environ.setdefault("TQDM_DISABLE", "1")  # the log has a line per candidate instead
    stay_offline()
    from tsugiki.evaluate.vllm_backend.engine import see_one_gpu

    see_one_gpu(run.config.evaluation, job)
    begun = time.perf_counter()
    with quick_imports():
        from tsugiki.evaluate.batch import ShardEvaluator

    imported = time.perf_counter()
    evaluator = ShardEvaluator(run.files, run.config, job=job)
    loaded = time.perf_counter()
    click.echo(f"libraries: {imported - begun:.2f} s, tasks: {loaded - imported:.2f} s")
    evaluator.evaluate(phase, generation, rung=rung, log=click.echo)


@click.command()
@RUN
@click.option("--stage", required=True, help="Name of the stage.")
@GENERATION
@click.option("--rung", type=int, required=True, help="Number of the rung, from 0.")
def promote(run: Run, stage: str, generation: int, rung: int) -> None:
    """Write which candidates of a generation go on from a rung."""
    from tsugiki.steps.evolution import write_promotion

    files, config = run.files, run.config
    write_promotion(files, config, find_stage(config, stage), generation, rung, log=click.echo)


@click.command()
@click.pass_obj
@RUN
@PHASE
@GENERATION
def rank(terminal: Terminal, run: Run, phase: str, generation: int) -> None:
    """Write the ledger's entry of a generation."""
    from tsugiki.steps.evolution import write_ranked

    write_ranked(run.files, run.config, phase, generation, log=terminal.announce)


@click.command()
@RUN
@STAGE
@GENERATION
def select(run: Run, stage: str, generation: int) -> None:
    """Draw the generation that follows a ranked one."""
    from tsugiki.steps.evolution import write_next

    write_next(run.files, run.config, find_stage(run.config, stage), generation)


@click.command()
@RUN
def baselines(run: Run) -> None:
    """Write the recipes that the result is compared with."""
    with quick_imports():
        from tsugiki.steps.start import write_baselines

    write_baselines(run.files, run.config)


@click.command()
@RUN
@click.option("--stage", help="Name of the stage; the last one if absent.")
def finalists(run: Run, stage: str | None) -> None:
    """Choose the candidates that are scored on validation items."""
    from tsugiki.steps.finals import write_finalists

    chosen = None if stage is None else find_stage(run.config, stage)
    write_finalists(run.files, run.config, chosen)


@click.command()
@RUN
def flatness(run: Run) -> None:
    """Draw neighbours of the winner, which are scored on validation items."""
    from tsugiki.steps.finals import write_flatness

    write_flatness(run.files, run.config)


@click.command()
@RUN
def repeat(run: Run) -> None:
    """Choose the models that are scored on held-out items a second time."""
    from tsugiki.steps.finals import write_repeat

    write_repeat(run.files, run.config)


@click.command()
@RUN
def test(run: Run) -> None:
    """Choose the winner, and what is scored on held-out items."""
    from tsugiki.steps.finals import write_test

    write_test(run.files, run.config)


@click.command()
@click.pass_obj
@RUN
def compare(terminal: Terminal, run: Run) -> None:
    """Write and print the final table; with several objectives also the Pareto front."""
    from tsugiki.finalists.files import write_final_table
    from tsugiki.finalists.front import write_front
    from tsugiki.finalists.table import render_table

    terminal.announce(render_table(write_final_table(run.files, run.config)))
    if (front := write_front(run.files, run.config)) is not None:
        terminal.announce(
            f"{len(front.members)} candidates are on the Pareto front: {run.files.front}"
        )


@click.command()
@RUN
@click.option("--out", type=PLACE, help="Folder; results/<run>/best if absent.")
@click.option(
    "--candidate", metavar="ID", help="Write this candidate, such as 003-07, to --out instead."
)
@click.option(
    "--stage",
    help="Write that stage's best model to its place, for later stages. With --candidate: whose it is; "
    "the last stage's if absent.",
)
@THREADS
def best(
    run: Run, out: Path | None, candidate: str | None, stage: str | None, threads: int
) -> None:
    """Write the best model, or any candidate, as an ordinary checkpoint."""
    with quick_imports():
        from tsugiki.steps import best as models

    if candidate is not None:
        if out is None:
            raise click.UsageError("--candidate needs --out, the folder that the model goes to")
        name = find_stage(run.config, stage or run.config.stages[-1].name).name
        digest = models.write_candidate(
            run.files, run.config, name, candidate, out, threads=threads
        )
        click.echo(f"{out}  weights {digest}")
        return
    if stage is not None:
        name = find_stage(run.config, stage).name
        digest = models.write_stage_best(run.files, run.config, name, threads=threads)
        click.echo(f"{run.files.phase(name).best}  {digest}")
        return
    place = out or run.files.best
    weights = models.write_best(run.files, run.config, place, threads=threads)
    click.echo(f"{place}  weights {weights}")
    if (measured := models.record_folding(run.files, run.config)) is not None:
        click.echo(models.describe_folding(measured))


@click.command()
@click.pass_obj
@RUN
@click.option(
    "--series",
    "phase",
    help="Stage, or baselines, finalists, flatness, test, repeat; all that is missing if absent.",
)
@GENERATION
@click.option("--rebuild", is_flag=True, help="Write all of MLflow anew from the run's files.")
@click.option("--result", is_flag=True, help="Write the winner as a model, and the report.")
def track(
    terminal: Terminal, run: Run, phase: str | None, generation: int, rebuild: bool, result: bool
) -> None:
    """Write what MLflow has not yet, or a generation.

    With --series or --result, as the workflow calls it, an MLflow that fails is no fault: it is told later.
    """
    if result:
        from tsugiki.tracking.projection import track_result

        track_result(run.files, run.config, log=terminal.announce)
        return
    if rebuild or phase is None:
        from tsugiki.tracking import projection

        (projection.rebuild if rebuild else projection.catch_up)(run.files, run.config)
        return
    from tsugiki.tracking.projection import track_generation

    track_generation(run.files, phase, generation, run.config, log=terminal.announce)


@click.command()
@RUN
def report(run: Run) -> None:
    """Write report.html."""
    from tsugiki.report.page import write_report
    from tsugiki.steps.chats import describe_chats

    click.echo(write_report(run.files, run.config, describe_chats(run.files, run.config)))
