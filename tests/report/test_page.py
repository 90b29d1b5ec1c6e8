"""The page: complete for a finished run, readable at every earlier point, and self-contained."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.canonical import digest_file
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import read_generation
from tsugiki.errors import LineageError
from tsugiki.finalists.table import read_final_table, render_table, shown
from tsugiki.report.headline import remarks
from tsugiki.report.page import TEMPLATES, write_report

VOID = {"meta", "br", "link", "img", "hr"}


class Checker(HTMLParser):
    """Collects ids, links, headings and text, and refuses elements that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.elements: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens."""
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]
        self.labels += (found.get("aria-labelledby") or "").split()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """An element closes the one that opened last."""
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        """Keep what is read, not the style sheet."""
        if not {"style", "script"} & set(self.open):
            self.text += data


def check(path: Path) -> Checker:
    """Parse a page; its elements are closed, its ids unique, its references resolved."""
    checker = Checker()
    checker.feed(path.read_text("utf-8"))
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert set(checker.labels) <= set(checker.ids)
    inside = [link for link in checker.links if not link.startswith("data:text/csv")]
    assert {link.removeprefix("#") for link in inside} <= set(checker.ids)
    return checker


def test_a_finished_run_has_every_section(finished: SyntheticRun) -> None:
    """And every figure, each with words that stand for it."""
    page = check(write_report(finished.files, finished.config))
    assert {"comparison", "search", "recipe", "items", "cost", "provenance"} <= set(page.ids)
    assert page.elements.count("svg") == 7
    assert len(page.labels) == 14
    assert {path.name for path in (finished.files.root / "figures").iterdir()} == {
        f"{name}.{kind}" for kind in ("svg", "csv")
        for name in ("comparison", "fitness", "signal", "movement", "weights", "genealogy", "cost")
    }  # fmt: skip


def test_the_numbers_of_each_figure_are_beside_it_and_in_the_page(finished: SyntheticRun) -> None:
    """In full: those of the comparison are the final table's."""
    page = check(write_report(finished.files, finished.config))
    table = read_final_table(finished.files.final)
    content = finished.files.figure_data("comparison").read_bytes()
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert {row["model"]: float(row["ja_maths"]) for row in rows} == {
        row.name: row.test["ja_maths"].value for row in table.rows if row.test
    }
    held = [unquote(link.partition(",")[2]).encode() for link in page.links if "csv" in link]
    assert content in held
    assert len(held) == 7


def test_rivals_are_compared_with_in_headline_table_and_figure(
    finished: SyntheticRun, tmp_path: Path
) -> None:
    """The best of them; the table says how many candidates were tried for it."""
    shutil.copytree(finished.files.root, tmp_path / "copy")
    files = RunFiles(tmp_path / "copy")
    content = json.loads(files.final.read_bytes())
    baselines = [row for row in content["rows"] if row["kind"] == "baseline"]
    for row, name in zip(baselines, ("random search", "coordinate climb"), strict=False):
        row.update(name=name, kind="rival", tried=4321)
    content["best_baseline"] = next(
        row["name"] for row in content["rows"] if row["kind"] == "baseline"
    )
    files.final.write_text(json.dumps(content))
    page = check(write_report(files, finished.config))
    assert "than the best rival, “random search”" in page.text
    assert page.text.count("4321") == 2
    assert "f-bar f-rival" in files.report.read_text("utf-8")


def test_the_headline_is_that_of_the_final_table(finished: SyntheticRun) -> None:
    """Score, interval, distance to the best parent and baseline."""
    page = check(write_report(finished.files, finished.config))
    table = read_final_table(finished.files.final)
    score = table.score("evolved")
    assert score is not None
    assert f"The evolved model scores {shown(score.value)} ({shown(score.low)} … " in page.text
    for name in (table.best_parent, table.best_baseline):
        difference = table.row(name or "").against_winner
        assert difference is not None
        assert f"{shown(difference.value)} better than the best" in page.text
        assert f"“{name}”" in page.text


@pytest.mark.parametrize(
    ("pooled", "said"),
    [
        (False, "The winner is the finalist that is best on the validation items"),
        (True, "The winner is the best candidate on search and validation items together, or"),
    ],
)
def test_the_page_says_what_chose_the_winner(
    pooled: bool, said: str, finished: SyntheticRun, tmp_path: Path
) -> None:
    """As the table for the terminal does, by what the run's final table records."""
    shutil.copytree(finished.files.root, tmp_path / "copy")
    files = RunFiles(tmp_path / "copy")
    content = json.loads(files.final.read_bytes())
    files.final.write_text(json.dumps({**content, "pooled": pooled}))
    page = check(write_report(files, finished.config))
    assert said in page.text
    assert said.replace("The winner", "The winner (*)") in render_table(
        read_final_table(files.final)
    )


def test_items_gained_are_shown_with_prompt_and_both_answers(finished: SyntheticRun) -> None:
    """The winner's answer is the right one, the parent's is another."""
    page = write_report(finished.files, finished.config).read_text("utf-8")
    table = read_final_table(finished.files.final)
    found = re.search(
        rf'<tr><th scope="row">{table.gained[0]}</th>(<td class="answer">.*?)</tr>', page
    )
    assert found is not None
    prompt, target, winner, parent = re.findall(r'<td class="answer">(.*?)</td>', found[1])
    assert "りんご" in prompt
    assert target == winner != parent


def test_provenance_names_parents_and_the_head_of_the_chain(finished: SyntheticRun) -> None:
    """By their digests."""
    page = check(write_report(finished.files, finished.config))
    for digest in finished.lock.digests.values():
        assert digest in page.text
    head = finished.files.phase("ps").generation(2).outcomes
    assert digest_file(head) in page.text
    assert "packages.torch" in page.text


def test_the_page_needs_nothing_else(finished: SyntheticRun) -> None:
    """One script in the page itself, no address but the name space of SVG, no link out of the page."""
    path = write_report(finished.files, finished.config)
    page, text = check(path), path.read_text("utf-8")
    assert not {"link", "img", "iframe"} & set(page.elements)
    assert page.elements.count("script") == text.count("<script>") == 1
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "url(" not in text
    assert "@import" not in text


def test_the_same_run_gives_the_same_bytes(finished: SyntheticRun) -> None:
    """Page and figures, so that a second run has nothing to do."""
    path = write_report(finished.files, finished.config)
    files = [path, *sorted((finished.files.root / "figures").iterdir())]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    write_report(finished.files, finished.config)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before


def test_a_run_that_has_not_begun_has_a_page(fresh: SyntheticRun) -> None:
    """It says so, and names the parents."""
    page = check(write_report(fresh.files, fresh.config))
    assert "Nothing is scored yet." in page.text
    assert "models/maths" in page.text
    assert page.elements.count("svg") == 0


def test_a_single_generation_without_a_final_table_has_a_page(fresh: SyntheticRun) -> None:
    """The best candidate so far stands in the headline, its recipe below."""
    fresh.write_stage()
    page = check(write_report(fresh.files, fresh.config))
    ranked = read_generation(fresh.files.phase("ps").generation(0).outcomes).ranked
    best = max(one.fitness for one in ranked if one.fitness is not None)
    assert f"The best candidate so far has a fitness of {shown(best)} on" in page.text
    assert {"search", "recipe", "cost"} <= set(page.ids)
    assert not {"comparison", "items"} & set(page.ids)


def test_a_run_in_which_everything_failed_has_a_page(fresh: SyntheticRun) -> None:
    """The reasons are listed."""
    fresh.write_stage(failing=["000-00", "000-01"])
    page = check(write_report(fresh.files, fresh.config))
    assert "Nothing is scored yet." in page.text
    assert "the model's logits are not finite" in page.text
    assert "fitness-title" not in page.ids


@pytest.mark.parametrize("failing", [["evolved"], ["base", "japanese", "maths"], ["average"]])
def test_failed_rows_of_the_test_series_are_shown(fresh: SyntheticRun, failing: list[str]) -> None:
    """Whichever they are, and the rest of the page is there."""
    fresh.write_stage()
    fresh.write_baselines()
    fresh.write_test(failing=failing)
    fresh.write_final()
    page = check(write_report(fresh.files, fresh.config))
    assert "failed: the model's logits are not finite" in page.text
    assert "comparison" in page.ids


def test_prompts_that_lost_their_start_are_told_at_the_top(fresh: SyntheticRun) -> None:
    """By the largest share of a candidate; nothing is said where all were read whole."""
    fresh.write_stage()
    assert "lost their start" not in check(write_report(fresh.files, fresh.config)).text
    path = next(iter(fresh.files.phase("ps").root.glob("gen-*/outcomes.json")))
    content = json.loads(path.read_text())
    for entry, share in zip(content["ranked"], (0.25, 0.1), strict=False):
        entry["outcome"]["rates"]["cut"] = share
    path.write_text(json.dumps(content))
    page = check(write_report(fresh.files, fresh.config))
    assert "Up to 25% of a candidate's prompts were longer than the model can read" in page.text


def test_answers_of_models_are_text_and_never_markup(fresh: SyntheticRun) -> None:
    """A model may answer anything."""
    fresh.write_stage()
    fresh.write_test()
    fresh.write_final()
    for path in fresh.files.phase("test").root.glob("candidates/*/items.parquet"):
        table = pq.read_table(path)
        column = table.schema.get_field_index("response")
        hostile = pa.array(["<script>alert(1)</script>"] * len(table))
        pq.write_table(table.set_column(column, "response", hostile), path)
    path = write_report(fresh.files, fresh.config)
    page = check(path)
    assert page.elements.count("script") == 1  # the page's own
    assert "<script>alert(1)</script>" in page.text


def test_a_damaged_file_is_named(fresh: SyntheticRun) -> None:
    """And no page is written."""
    fresh.write_stage()
    fresh.files.environment.write_text("{")
    with pytest.raises(LineageError, match=r"environment\.json"):
        write_report(fresh.files, fresh.config)
    assert not fresh.files.report.exists()


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.1 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("name", ["ink", "muted", "link", "failed"])
def test_text_can_be_read_in_both_themes(theme: int, name: str) -> None:
    """Contrast with the ground is at least 4.5, level AA of WCAG."""
    css = "".join((TEMPLATES / file).read_text() for file in ("page.css", "figure.css"))
    ground, text = (
        re.findall(rf"--{one}: (#[0-9a-f]{{6}})", css)[theme] for one in ("ground", name)
    )
    dark, light = sorted((luminance(ground), luminance(text)))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_thinking_that_was_not_closed_is_told_of_the_worst_candidate_and_of_the_winner() -> None:
    """The base may never close it, and the winner always: nothing is said where all did."""

    def told(worst: float, winner: float | None) -> str | None:
        data: Any = SimpleNamespace(cut=0, left_out=0, unclosed=worst, unclosed_by_winner=winner)
        return next(remarks(data), None)

    assert told(0.0, 0.0) is None
    assert "Up to 40%" in str(told(0.4, 0.02))
    assert "2% of the winner's on held-out items" in str(told(0.4, 0.02))
    assert "winner" not in str(told(0.4, None))
