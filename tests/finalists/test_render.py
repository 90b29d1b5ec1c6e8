"""The table for the terminal."""

from pathlib import Path

from tests.synthetic_runs import SyntheticRun, make_run
from tsugiki.finalists.table import (
    Difference,
    ahead,
    ranked_rows,
    read_final_table,
    render_table,
    shown,
    shown_p,
)


def test_rows_stand_from_best_to_worst_and_the_winner_is_marked(finished: SyntheticRun) -> None:
    """One line a model below two of heading; the last line says what chose the winner."""
    table = read_final_table(finished.files.final)
    *lines, choice = render_table(table).splitlines()
    assert choice.startswith("The winner (*) is the finalist that is best on the validation items")
    names = [row.name for row in ranked_rows(table)]
    assert len(lines) == 2 + len(table.rows)
    assert [line[3:].split()[0] for line in lines[2:]] == names
    assert [line[3:].split()[0] for line in lines if line.startswith("*")] == ["evolved"]
    values = [table.row(name).test["ja_maths"].value for name in names]
    assert values == sorted(values, reverse=True)


def test_failed_rows_come_last_with_their_reason(tmp_path: Path) -> None:
    """Also if it is the first in the file."""
    run = make_run(tmp_path)
    run.write_stage()
    run.write_test(failing=["base"])
    run.write_final()
    text = render_table(read_final_table(run.files.final))
    assert text.splitlines()[-3].split() == ["base", "base", "failed"]
    assert text.endswith("base failed: the model's logits are not finite\n")


def test_numbers_are_short_and_signs_are_true() -> None:
    """Three decimals; small p-values are not written as 0."""
    assert shown(-0.12345) == "\N{MINUS SIGN}0.123"
    assert shown_p(0.0004) == "< 0.001"
    assert shown_p(0.0404) == "0.040"


def test_who_is_ahead_does_not_depend_on_which_way_is_better(finished: SyntheticRun) -> None:
    """A loss that is smaller by 0.25 puts the winner ahead by 0.25, with the interval turned round."""
    table = read_final_table(finished.files.final)
    difference = Difference(
        value=-0.25, low=-0.5, high=-0.125, items=4, gained=3, lost=1, p=0.5, p_holm=0.5
    )
    loss = table.comparisons[0].model_copy(update={"goal": "minimize"})
    turned = ahead(loss, difference)
    assert (turned.value, turned.low, turned.high) == (0.25, 0.125, 0.5)
    assert ahead(table.comparisons[0], difference) == difference
    text = render_table(table.model_copy(update={"goal": "minimize"}))
    assert text.splitlines()[0].endswith("held-out items (smaller is better)")
