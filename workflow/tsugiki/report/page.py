"""The report: one HTML file that needs nothing else, and its figures as files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tsugiki import __version__
from tsugiki.atomic import write_if_changed
from tsugiki.config.licences import described
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.recipe import AnyRecipe
from tsugiki.finalists.table import ahead, choice, notes, ranked_rows, shown, shown_p, shown_range
from tsugiki.progress.progress import duration
from tsugiki.report.comparison import comparison_figure, figure_name
from tsugiki.report.costs import cost_figure
from tsugiki.report.data import ReportData, load, origin
from tsugiki.report.front import front_figure
from tsugiki.report.genealogy import genealogy_figure
from tsugiki.report.generations import (
    courses,
    fitness_figure,
    movement_figure,
    search_name,
    sentences,
    signal_figure,
)
from tsugiki.report.headline import headline, luck, remarks, tiles
from tsugiki.report.heatmap import ordered_groups, recipe_figure
from tsugiki.report.svg import STYLE, Figure

TEMPLATES = Path(__file__).parent / "templates"


def write_report(files: RunFiles, config: RunConfig, model: Sequence[str] = ()) -> Path:
    """Write report.html, and figures/*.svg with figures/*.csv, however far the run has come.

    Args:
        files: The run.
        config: Its configuration.
        model: Sentences on the merged model's tokenizer, chat template and end tokens.

    Returns:
        The page's path.

    Raises:
        LineageError: a file of the run is damaged.
    """
    data = load(files, config)
    drawn = figures(data)
    for figure in drawn.values():
        write_if_changed(files.figure(figure.name), figure.standalone())
        if figure.data:
            write_if_changed(files.figure_data(figure.name), figure.csv())
    write_if_changed(files.report, render(data, drawn, model).encode())
    return files.report


def figures(data: ReportData) -> dict[str, Figure]:
    """The figures that there is something to show in, by name."""
    names = data.config.figures()
    table = data.table
    drawn = (
        *(() if table is None else (comparison_figure(table, on) for on in table.comparisons)),
        *(fitness_figure(one, stages) for one, stages in courses(data.stages).items()),
        signal_figure(data.diagnoses),
        movement_figure(data.diagnoses),
        *(recipe_figure(recipe, names[stage]) for stage, recipe in stage_recipes(data).items()),
        front_figure(data.front, data.scored, data.table),
        genealogy_figure(data.ancestry),
        cost_figure(list(data.costs)),
    )
    return {figure.name: figure for figure in drawn if figure is not None}


def stage_recipes(data: ReportData) -> dict[str, AnyRecipe]:
    """The best recipe of each stage that has one, in order."""
    last = data.config.stages[-1].name
    return {**data.before, **({} if data.recipe is None else {last: data.recipe})}


def other_measures(data: ReportData) -> list[str]:
    """Objectives and monitors that the table does not compare on, in the order of the configuration."""
    compared = set() if data.table is None else {one.objective for one in data.table.comparisons}
    return [one.name for one in data.config.evaluation.measured if one.name not in compared]


def render(data: ReportData, drawn: dict[str, Figure], model: Sequence[str] = ()) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "shown_range": shown_range,
        "shown_p": shown_p,
        "duration": duration,
        "ordered_groups": ordered_groups,
        "other_measures": other_measures,
        "described": described,
        "origin": origin,
    }
    return environment.get_template("report.html.j2").render(
        data=data,
        table=data.table,
        ranked_rows=ranked_rows,
        choice=choice,
        ahead=ahead,
        comparison_name=figure_name,
        search_name=search_name,
        courses=courses(data.stages),
        diagnosed=sentences(data.diagnoses),
        figures=drawn,
        recipes=stage_recipes(data),
        recipe_figures=data.config.figures(),
        lead=[headline(data), *remarks(data)],
        model=model,
        tiles=tiles(data),
        luck=[] if data.table is None else luck(data.table),
        notes=[] if data.table is None else notes(data.table),
        style=(TEMPLATES / "page.css").read_text("utf-8") + STYLE.read_text("utf-8"),
        script=(TEMPLATES / "page.js").read_text("utf-8"),
        version=__version__,
    )
