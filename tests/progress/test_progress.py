"""What the terminal says of a run, at every point of it."""

import re
from pathlib import Path

import pytest

from tests.progress.test_summary import OBJECTIVES, generation
from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.outcome import Scored, SoFar
from tsugiki.progress.progress import duration, generation_line, progress_line, status
from tsugiki.progress.summary import summarise


def test_a_line_tells_generation_scores_failures_and_time() -> None:
    """Two of five generations at 30 s each."""
    line = progress_line(
        summarise([generation(0, 0.2, 0.4), generation(1, 0.1, 0.3, None)], OBJECTIVES), 30, 5
    )
    assert line == (
        "generation 2 of 5 | best so far 0.4000 | this one: best 0.3000, median 0.2000, "
        "spread 0.1000 | 1 of 3 failed | 30 s a generation"
    )


def test_a_line_without_times_or_scores_says_so() -> None:
    """The first generation may fail as a whole."""
    assert progress_line(summarise([generation(0, None, None)], OBJECTIVES), None, 5) == (
        "generation 1 of 5 | best so far nothing | no candidate of this generation was scored "
        "| 2 of 2 failed"
    )


def test_generations_on_documents_of_their_own_have_no_best_so_far() -> None:
    """Unless some candidates come again."""
    of_own = generation(0, 0.2, 0.4)
    entries = []
    for entry in of_own.ranked:
        outcome = entry.outcome
        assert isinstance(outcome, Scored)
        so_far = SoFar(generations=1, measured=outcome.measured)
        entries.append(
            entry.model_copy(update={"outcome": outcome.model_copy(update={"so_far": so_far})})
        )
    history = [of_own.model_copy(update={"ranked": tuple(entries)})]
    assert progress_line(summarise(history, OBJECTIVES), None, 5) == (
        "generation 1 of 5 | this one: best 0.4000, median 0.3000, spread 0.1000"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (7260, "2 h 01 min"),
        (86_400 * 2 + 3600, "2 d 1 h"),
    ],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    """Two units at most, rounded and never 60 of the smaller."""
    assert duration(seconds) == words


def test_status_of_a_finished_run_ends_with_its_table(finished: SyntheticRun) -> None:
    """All phases are there, and the winner is marked."""
    text = status(finished.files, finished.config)
    assert "generation 3 of 3" in text
    assert "generation 4" not in text
    assert "baselines    6 candidates scored" in text
    assert "*  evolved" in text


def test_status_of_a_run_under_way_counts_the_scored(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """The last generation is not complete; later phase have not begun."""
    stage = copied.phase("ps")
    stage.generation(2).outcomes.unlink()
    stage.generation(3).population.unlink()
    for phase in ("baselines", "finalists", "test"):
        copied.phase(phase).generation(0).population.unlink()
    copied.final.unlink()
    text = status(copied, finished.config)
    assert "generation 2 of 3" in text
    assert "generation 3: 4 of 4 candidates scored" in text
    assert "baselines    not begun" in text


def test_a_line_and_the_status_tell_the_same_times(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """A line is of its generation, whatever an older search has left behind it."""
    for phase in ("finalists", "test"):
        copied.phase(phase).generation(0).population.unlink()
    copied.final.unlink()
    text = status(copied, finished.config)
    line = generation_line(copied, finished.config, "ps", 2)
    assert re.findall(r"\S+ s a generation", line) == re.findall(r"\S+ s a generation", text)
    assert (left := re.findall(r"[\d.]+ (?:s|min \d\d s) left", line))
    assert left == re.findall(r"[\d.]+ (?:s|min \d\d s) left", text)
    assert generation_line(copied, finished.config, "ps", 1).startswith("generation 2 of 3 | ")


def test_status_of_a_run_that_has_not_begun(finished: SyntheticRun, tmp_path: Path) -> None:
    """Nothing is read that is not there."""
    text = status(RunFiles(tmp_path / "empty"), finished.config)
    assert text.count("not begun") == 4


def test_status_of_a_stage_that_ended_early_says_why(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """No time is left, since nothing more will be done."""
    path = copied.phase("ps").generation(2)
    path.outcomes.unlink()
    population = read_population(path.population)
    ended = population.model_copy(update={"candidates": (), "stopped": "no better candidate"})
    path.population.write_text(ended.model_dump_json())
    text = status(copied, finished.config)
    assert "generation 2 of 2" in text
    assert "ended: no better candidate" in text
    assert "left" not in text
