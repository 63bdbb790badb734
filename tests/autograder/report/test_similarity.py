"""Alike hand-ins are found whatever was renamed; what the course gave is not held against anybody."""

from __future__ import annotations

import nbformat
import pytest
from click.testing import CliRunner

from autograder.commands.similar import similar
from autograder.errors import ConfigurationError
from autograder.report.similarity import (
    MOST_CHARACTERS,
    Comparison,
    Pair,
    keep,
    last_comparison,
    similar_hand_ins,
)
from tests.conftest import MiniLab

ONE = """
def scale_tensor(values, factor):
    total = []
    for index in range(len(values)):
        current = values[index] * factor
        if current > 10:
            current = 10 + (current - 10) * 0.5
        elif current < -10:
            current = -10 + (current + 10) * 0.5
        else:
            current = current + 0.0
        total.append(round(current, 3))
    while len(total) < 5:
        total.append(sum(total) / max(1, len(total)))
    return torch.tensor(total)
"""
RENAMED = ONE.replace("values", "x").replace("total", "out").replace("current", "c").replace("index", "i")
OTHER = """
def scale_tensor(x, factor):
    import functools, operator
    pieces = [functools.reduce(operator.mul, pair, 1) for pair in zip(x.tolist(), [factor] * x.numel())]
    table = {key: value for key, value in enumerate(pieces)}
    try:
        return torch.stack([torch.as_tensor(table[key]) for key in sorted(table, reverse=False)])
    except (RuntimeError, KeyError) as problem:
        raise ValueError(f"cannot scale {x.shape} by {factor}") from problem
    finally:
        del table, pieces
"""


def hand_in(mini: MiniLab, who: str, code: str) -> None:
    """The released notebook with some code in the place of its first code cell."""
    notebook = nbformat.read(mini.instance.release / mini.lab.id / "01-Scale.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if "NotImplementedError" in cell.source)
    cell.source = code
    folder = mini.instance.submitted / who / mini.lab.id
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "01-Scale.ipynb")


def test_renamed_code_is_alike_and_other_code_is_not(fresh_mini: MiniLab) -> None:
    for who, code in (("ada", ONE), ("bob", RENAMED), ("eve", OTHER)):
        hand_in(fresh_mini, who, code)
    pairs = similar_hand_ins(fresh_mini.instance, fresh_mini.lab.id, 0.5).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [("ada", "bob")]
    assert pairs[0].share > 0.9 and pairs[0].tokens > 60


def test_what_the_course_gave_is_left_out(fresh_mini: MiniLab) -> None:
    released = (fresh_mini.instance.release / fresh_mini.lab.id / "01-Scale.ipynb").read_text()
    given = "\n".join(
        cell.source for cell in nbformat.reads(released, as_version=4).cells if cell.cell_type == "code"
    )
    hand_in(fresh_mini, "ada", given)
    hand_in(fresh_mini, "bob", given + "\n")
    assert similar_hand_ins(fresh_mini.instance, fresh_mini.lab.id, 0.1).pairs == []


def test_a_file_that_is_no_notebook_is_passed_over(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada", ONE)
    hand_in(fresh_mini, "bob", ONE)
    (fresh_mini.instance.submitted / "bob" / fresh_mini.lab.id / "01-Scale.ipynb").write_text("{")
    assert similar_hand_ins(fresh_mini.instance, fresh_mini.lab.id, 0.1).pairs == []


def test_a_flood_of_code_is_named_and_holds_nobody_up(fresh_mini: MiniLab) -> None:
    for who in ("ada", "bob"):
        hand_in(fresh_mini, who, ONE)
    hand_in(fresh_mini, "eve", "\n".join(f"x{n} = {n}" for n in range(MOST_CHARACTERS // 8)))
    found = similar_hand_ins(fresh_mini.instance, fresh_mini.lab.id, 0.5)
    assert found.too_long == ["eve, 01-Scale"] and [pair.first for pair in found.pairs] == ["ada"]


def test_what_was_kept_comes_back_and_a_damaged_file_counts_as_none(fresh_mini: MiniLab) -> None:
    instance, lab = fresh_mini.instance, fresh_mini.lab.id
    assert last_comparison(instance, lab) is None
    found = Comparison("2027-03-01T08:00:00+00:00", 0.5, [Pair("01-Scale", "ada", "bob", 0.9, 80)], [])
    keep(instance, lab, found)
    assert last_comparison(instance, lab) == found
    (instance.similarity / f"{lab}.json").write_text('{"pairs": [{}]}')
    assert last_comparison(instance, lab) is None


def test_before_anybody_handed_in(fresh_mini: MiniLab) -> None:
    with pytest.raises(ConfigurationError, match="nobody has handed in"):
        similar_hand_ins(fresh_mini.instance, fresh_mini.lab.id, 0.5)
    with pytest.raises(ConfigurationError, match="is not built"):
        similar_hand_ins(fresh_mini.instance, "Lab-9", 0.5)


def test_the_page_shows_both_sides_as_text(fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("ada", "bob"):
        hand_in(fresh_mini, who, ONE + '\n"</table><script>x</script>"\n')
    target = fresh_mini.instance.root / "alike.html"
    monkeypatch.setattr("autograder.commands.similar.known_lab", lambda instance, lab: fresh_mini.lab.id)
    options = ["--html", str(target), "--instance", str(fresh_mini.instance.root)]
    done = CliRunner().invoke(similar, ["Lab-0.1", *options], catch_exceptions=False)
    page = target.read_text("utf-8")
    assert done.exit_code == 0 and "ada and bob, 100%" in page and "<script>" not in page
