"""Lines for the terminal: how a run is doing and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import PhaseFiles, RunFiles
from tsugiki.contracts.ledger import Entry, completed, entries
from tsugiki.finalists.table import read_final_table, render_table
from tsugiki.progress.diagnosis import diagnose
from tsugiki.progress.summary import Course, Summary, decided_objectives, failures, summarise
from tsugiki.progress.time_left import busy_seconds, generation_costs, seconds_left


def generation_line(files: RunFiles, config: RunConfig, name: str, generation: int) -> str:
    """One line on a ranked generation of a stage, and on how long the rest of the run will take.

    Raises:
        LineageError: a file of the run is damaged.
    """
    stage = config.stage(name)
    stages = _stages(files, config)
    found = [one for one in stages.get(name, ()) if one.number <= generation]
    planned = stage.budget.generations if stage else len(found)
    line = _stage_line(files, config, name, found, planned)
    left = seconds_left(files, config, stages)
    return f"{line} | {duration(left)} left" if left else line


def progress_line(history: Sequence[Summary], seconds: float | None, generations: int) -> str:
    """One line on the latest generation of a stage.

    Args:
        history: All generations so far, at least one.
        seconds: How long the latest generations took to score; None where it is not known.
        generations: How many there will be at most.
    """
    latest = history[-1]
    parts = [f"generation {len(history)} of {generations}"]
    parts += (
        [_scores(latest.fitness)] if latest.fitness is not None else [f"front of {latest.front}"]
    )
    for name, course in latest.objectives.items():
        so_far, median = (
            "nothing" if one is None else f"{one:.4f}"
            for one in (course.best_so_far, course.median)
        )
        parts.append(f"{name}: best so far {so_far}, median {median}")
    if latest.failures:
        parts.append(f"{latest.failures} of {latest.candidates} failed")
    if seconds:
        parts.append(f"{duration(seconds)} a generation")
    return " | ".join(parts)


def status(files: RunFiles, config: RunConfig) -> str:
    """How far a run has come, phase by phase, and its final table if there is one.

    Raises:
        LineageError: a file of the run is damaged.
    """
    found = _stages(files, config)
    left = seconds_left(files, config, found)
    lines = [f"{config.name}: {files.root}" + (f" | {duration(left)} left" if left else "")]
    names = config.phases
    width = max(12, *(len(name) for name in names))
    for name in names:
        phase = files.phase(name)
        begun = found[name] if name in found else list(entries(phase))
        line = _phase_line(files, config, name, begun)
        lines.append(f"  {name:<{width}} {line}")
    text = "\n".join(lines) + "\n"
    if files.final.is_file():
        text += f"\n{render_table(read_final_table(files.final))}"
    return text


def finished_table(files: RunFiles) -> str | None:
    """The final table of a finished run, and where its report and model are; None if there is none."""
    if not files.final.is_file():
        return None
    table = render_table(read_final_table(files.final))
    return f"{table}report: {files.report}\nmodel: {files.best}"


def duration(seconds: float) -> str:
    """A time span for people: `8 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def _scores(course: Course) -> str:
    so_far = "nothing" if course.best_so_far is None else f"{course.best_so_far:.4f}"
    if course.best is None or course.median is None or course.spread is None:
        return f"best so far {so_far} | no candidate of this generation was scored"
    this = (
        f"this one: best {course.best:.4f}, median {course.median:.4f}, spread {course.spread:.4f}"
    )
    # without leaders, generations that have documents of their own do not compare
    return this if course.best_so_far is None else f"best so far {so_far} | {this}"


def _phase_line(files: RunFiles, config: RunConfig, name: str, found: Sequence[Entry]) -> str:
    phase, stage = files.phase(name), config.stage(name)
    done = completed(found)
    stopped = next((one.population.stopped for one in found if one.population.stopped), None)
    if not found:
        return "not begun"
    if not done:
        return _waiting(phase, found[-1], config)
    if stage is None:
        failed = f", {count} failed" if (count := failures(done[-1])) else ""
        return f"{len(done[-1].ranked)} candidates scored{failed}"
    planned = stage.budget.generations if stopped is None else len(done)
    within = [one for one in found if one.number < planned]
    line = _stage_line(files, config, name, within, planned) + _diagnosis(
        files, config, stage, within
    )
    if stopped is not None:
        return f"{line} | ended: {stopped}"
    # The generation after the last one is drawn but never scored.
    under_way = found[-1].outcomes is None and found[-1].number < planned
    return f"{line} | {_waiting(phase, found[-1], config)}" if under_way else line


def _diagnosis(files: RunFiles, config: RunConfig, stage: Stage, found: Sequence[Entry]) -> str:
    """Step and signal of the latest generation that is ranked."""
    ranked = [one for one in found if one.ranked]
    if not ranked:
        return ""
    objectives = decided_objectives(files, config)
    (latest,) = diagnose(files.phase(stage.name), stage, ranked[-1:], objectives)
    step = "" if latest.step is None else f" | step {latest.step:.3g}"
    return step + ("" if latest.signal is None else f" | {latest.signal:.0%} of variance is signal")


def _stages(files: RunFiles, config: RunConfig) -> dict[str, list[Entry]]:
    return {stage.name: list(entries(files.phase(stage.name))) for stage in config.searches}


def _stage_line(
    files: RunFiles, config: RunConfig, name: str, found: Sequence[Entry], planned: int
) -> str:
    ranked = completed(found)
    history = summarise(ranked, decided_objectives(files, config), config.stage(name))
    times = [busy_seconds(costs) for costs in generation_costs(files, config, name, found)]
    known = [seconds for seconds in times if seconds]
    line = progress_line(history, sum(known) / len(known) if known else None, planned)
    left_out = found[-1].population.left_out or {}
    count = sum(len(documents) for documents in left_out.values())
    return f"{line} | {count} documents left out, answered alike by all" if count else line


def _waiting(phase: PhaseFiles, entry: Entry, config: RunConfig) -> str:
    own = config.own_documents(entry.population.phase, entry.number)
    recipes = {candidate.recipe for candidate in entry.population.candidates}
    scored = sum(phase.candidate(recipe).of(own).outcome.is_file() for recipe in recipes)
    line = f"generation {entry.number + 1}: {scored} of {len(recipes)} candidates scored"
    rung = next(number for number in count() if not entry.files.promotion(number).is_file())
    here = sum(phase.candidate(recipe).at(rung).outcome.is_file() for recipe in recipes)
    return f"{line}, {here} on rung {rung + 1}" if here else line
