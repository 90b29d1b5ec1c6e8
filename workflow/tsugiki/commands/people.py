"""Commands for people: write a configuration, look at a run, merge once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsugiki.commands.arguments import FILE, MODELS, PLACE, RUN, THREADS, find_stage
from tsugiki.terminal import Terminal

if TYPE_CHECKING:
    from tsugiki.api import Run


@click.command()
@click.argument("name")
def init(name: str) -> None:
    """Write config/NAME.yaml, a commented start for your own models."""
    from tsugiki.config.document import write_template

    click.echo(write_template(name))


@click.command()
@click.argument("config", type=FILE)
def check(config: Path) -> None:
    """Check a configuration, its parents and its tasks; merge nothing."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # many of lm-eval's bars would be gone at once
    from tsugiki.api import open_run
    from tsugiki.config.validate import validate_config
    from tsugiki.contracts.locks import read_lock
    from tsugiki.parents.preflight import preflight, render
    from tsugiki.quick_imports import quick_imports
    from tsugiki.steps import estimate
    from tsugiki.tracking.store import tracking_uri

    with quick_imports():
        from tsugiki.evaluate.preflight import check_tasks
        from tsugiki.steps.begin import check_origins

    run = open_run(config)
    validate_config(run.config, where=str(config), folders=False)  # which the parents' check names
    check_origins(run.files, run.config, where=str(config))
    tracking_uri(run.files, run.config)
    locked = read_lock(run.files.parents) if run.files.parents.is_file() else None
    report = preflight(run.config, locked)
    report.notes.extend(estimate.note_device(run.config))
    click.echo(render(report))
    tasks = check_tasks(run.config, parents_sound=not report.faults)
    click.echo(tasks.render())
    click.echo(estimate.render(run.config, report.tensors))
    if report.faults or tasks.faults:
        sys.exit(1)


@click.command()
@RUN
@click.option("--documents", "count", default=1, show_default=True, help="Of each task.")
def prompts(run: Run, count: int) -> None:
    """Print each task's first prompts for each parent, with tokens and stops."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    from tsugiki.config.validate import validate_config
    from tsugiki.evaluate.prompts import render_prompts

    validate_config(run.config, where=str(run.files.config))
    click.echo(render_prompts(run.config, count))


@click.command()
@RUN
@click.argument("arguments", nargs=-1, metavar="[-- SNAKEMAKE]")
def smoke(run: Run, arguments: tuple[str, ...]) -> None:
    """Run two documents and one generation to the report; estimate the real run.

    Results go to results/NAME-smoke. What comes after `--` is given to Snakemake.
    """
    from tsugiki.config.validate import validate_config
    from tsugiki.steps.smoke import estimate_by, run_small

    validate_config(run.config, where=str(run.files.root))
    files = run_small(run.config, arguments)
    click.echo(estimate_by(files, run.config))


@click.command()
@RUN
def status(run: Run) -> None:
    """Say how far a run has come, and how long the rest will take."""
    click.echo(run.status())


@click.command()
@RUN
@click.option("--rebuild", is_flag=True, help="Build the best model again; compare its bytes.")
@click.option(
    "--rescore",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=3,
    metavar="[N]",
    help="Score N candidates again (3 if you name no number); compare each item.",
)
@click.option("--key", default="", help="Draws the candidates to score again; any text of yours.")
def audit(run: Run, rebuild: bool, rescore: int | None, key: str) -> None:
    """Check that a run's files agree; derive each generation again.

    Status 1: files do not agree. Status 3: they do, and what was scored again differs as other hardware may.
    """
    findings = run.audit(rebuild=rebuild)
    for finding in findings:
        click.echo(str(finding), err=True)
    rounding = rescore is not None and _rescore(run, rescore, key) == "rounding"
    if findings:
        sys.exit(1)
    click.echo("sound: every digest and every generation could be derived again")
    if rounding:
        sys.exit(3)


def _rescore(run: Run, count: int, key: str) -> str:
    """Score candidates again and say what came of it; what does not agree ends the command."""
    from tsugiki.evaluate.offline import stay_offline
    from tsugiki.evaluate.vllm_backend.engine import see_one_gpu

    os.environ.setdefault("TQDM_DISABLE", "1")
    stay_offline()
    see_one_gpu(run.config.evaluation, 0)
    found = run.rescore(count, key=key, log=click.echo)
    if found.favoured is not None:
        click.echo(found.favoured)
    said = f"{len(found.found)} candidates scored again"
    match found.verdict:
        case "contradicts":
            click.echo(
                f"does not agree: {said}, and no hardware explains the differences", err=True
            )
            sys.exit(1)
        case "rounding":
            click.echo(f"differs as hardware may: {said}")
        case "agrees":
            click.echo(f"agrees: {said}, item by item")
    return found.verdict


@click.command()
@RUN
@click.argument("candidate", default="evolved")
@click.option("--stage", help="Name of the stage; the last one if absent.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def lineage(run: Run, candidate: str, stage: str | None, as_json: bool) -> None:
    """Say what a candidate descends from, down to the source models.

    CANDIDATE is an id (003-07), the start of a recipe's digest, or `evolved`, the winner.
    """
    from tsugiki.lineage.ancestry import render

    found = run.lineage(candidate, stage)
    click.echo(found.model_dump_json(indent=1) if as_json else render(found))


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Say by what two recipes, or two runs, differ.

    FIRST and SECOND are files recipe.json, or folders or configurations of runs.
    """
    from tsugiki.api import open_run
    from tsugiki.contracts.recipe import read_recipe
    from tsugiki.lineage.differences import diff_recipes, diff_runs, render

    if first.suffix == second.suffix == ".json":
        found = diff_recipes(read_recipe(first), read_recipe(second))
    else:
        runs = [open_run(one) for one in (first, second)]
        found = diff_runs(*((run.files, run.config) for run in runs))
    click.echo(found.model_dump_json(indent=1) if as_json else render(found))


@click.command()
@RUN
@click.option("--out", type=PLACE, required=True, help="Folder to write.")
def reproduce(run: Run, out: Path) -> None:
    """Build the best model again from its recipe; compare the bytes."""
    click.echo(run.reproduce(out))


@click.command()
@click.pass_obj
@RUN
@click.argument("repository", metavar="[USER/NAME]", required=False)
@click.option("--out", type=PLACE, help="Folder to write to; without USER/NAME nothing is sent.")
@click.option("--candidate", metavar="ID", help="Publish this candidate, such as 003-07.")
@click.option("--stage", help="Whose candidate it is; the last stage's if absent.")
@click.option("--public", is_flag=True, help="Let everybody see it; private if absent.")
@THREADS
def publish(
    terminal: Terminal,
    run: Run,
    repository: str | None,
    out: Path | None,
    candidate: str | None,
    stage: str | None,
    public: bool,
    threads: int,
) -> None:
    """Publish the best model, or any candidate, on the Hub or in a folder."""
    from tsugiki.quick_imports import quick_imports

    with quick_imports():
        from tsugiki.publish.publish import publish as run_it

    if repository is None and out is None:
        raise click.UsageError("name the repository, USER/NAME, or a folder, --out; or both")
    if stage is not None and candidate is None:
        raise click.UsageError("--stage says whose --candidate is meant")
    last = run.config.stages[-1].name
    found = run_it(
        run.files,
        run.config,
        repository=repository,
        out=out,
        candidate=(find_stage(run.config, stage or last).name, candidate) if candidate else None,
        public=public,
        threads=threads,
        log=terminal.announce,
    )
    click.echo(found)


@click.command()
@RUN
@click.option("--out", type=PLACE, required=True, help="Folder to write.")
@click.option("--models", is_flag=True, help="Put the best model in, not its digests alone.")
def crate(run: Run, out: Path, models: bool) -> None:
    """Write a finished run as a Workflow Run RO-Crate."""
    from tsugiki.quick_imports import quick_imports

    with quick_imports():
        from tsugiki.publish.crate import write_crate

    click.echo(f"{out}  {write_crate(run.files, run.config, out, models=models)} files")


@click.command()
@click.pass_obj
@click.argument("file", type=FILE)
@MODELS
@click.option("--out", type=PLACE, required=True, help="Folder to write.")
@THREADS
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
    """Merge once, by FILE: recipe.json or a mergekit configuration."""
    from tqdm import tqdm

    from tsugiki.api import merge as run

    # by its delay, the bar begins with the first tensor, below what is said before
    with tqdm(unit=" tensors", delay=0.1, disable=None) as bar:

        def show(done: int, tensors: int, size: int) -> None:
            bar.total = tensors
            bar.set_postfix_str(f"{size / 1e9:.2f} GB", refresh=False)
            bar.update(done - bar.n)

        weights = run(
            file,
            out,
            models,
            threads=threads,
            accept_differences=accepted,
            log=terminal.announce,
            progress=show,
        )
    click.echo(f"{out}  weights {weights}")


@click.command()
@click.argument("recipe", type=FILE)
@click.option("--mergekit", is_flag=True, help="As a mergekit configuration.")
@MODELS
@click.option("--out", type=PLACE, help="File to write; printed if absent.")
def export(recipe: Path, mergekit: bool, models: dict[str, str], out: Path | None) -> None:
    """Express RECIPE as a mergekit configuration.

    RECIPE is a recipe.json, or the configuration of a run, whose best recipe is meant.
    """
    if not mergekit:
        raise click.UsageError("name the format: --mergekit")
    from tsugiki.api import open_run
    from tsugiki.contracts.recipe import read_recipe
    from tsugiki.steps.export_mergekit import export_best, export_recipe
    from tsugiki.steps.output import write_beside

    if recipe.suffix == ".json":
        text = export_recipe(read_recipe(recipe), models)
    else:
        run = open_run(recipe)
        text = export_best(run.files, run.config, models)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_beside(out, text.encode())


@click.command()
@click.option("--write", is_flag=True, help="Write the files instead of comparing them.")
def schema(write: bool) -> None:
    """Compare (or write) the JSON schema and config/README.md."""
    from tsugiki.config.document import out_of_step, write_documents

    if write:
        write_documents()
    elif path := out_of_step():
        click.echo(f"{path} is out of step: run `tsugiki schema --write`", err=True)
        sys.exit(1)
