"""Exports: what comes out is what an LMS reads back, whatever people are called, and nobody is matched by guess."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from autograder.commands.export import export
from autograder.errors import ConfigurationError, GradebookError
from autograder.grade.course_grade import grade_lab
from autograder.gradebook import open_gradebook
from autograder.quality.handins import replace_solution
from autograder.report.export import FORMULA, Student, as_csv, for_canvas, for_moodle, read_grades
from tests.conftest import MiniLab

MAXIMA = {"Lab-3.1-PTQ": 100.0, "Lab-3.10-Feature": 100.0}
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["O'Neil, Jr.", 'Ann "Bo" Li', "=cmd|'/C calc'!A0", "+1", "@x", "two\nlines", "王小明", ""]
)
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Lab-3.1-PTQ (4711),Final Score\r\n"
    "    Points Possible,,,,,100,(read only)\r\n"
    '"Lovelace, Ada",17,u1,ada,A,12,50\r\n'
    '"Babbage, Charles",18,u2,charles,"A, B",,\r\n'
)


def rows(text: str) -> list[dict[str, str]]:
    """The rows as any CSV reader sees them."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(st.lists(st.tuples(NAMES, NAMES), max_size=5))
def test_names_come_back_as_they_were_but_for_formulas(people: list[tuple[str, str]]) -> None:
    students = [
        Student(f"s{n}", last, first, "", "", {"Lab-3.1-PTQ": 7.5}) for n, (last, first) in enumerate(people)
    ]
    read = rows(as_csv(students, MAXIMA))
    for (last, first), row in zip(people, read, strict=True):
        for name, column in ((last, "last name"), (first, "first name")):
            assert row[column] == (f"'{name}" if name.startswith(FORMULA) else name)
        assert (row["Lab-3.1-PTQ"], row["Lab-3.10-Feature"], row["total"], row["of"]) == (
            "7.5",
            "",
            "7.5",
            "200",
        )


def test_canvas_keeps_its_identifiers_and_its_own_column() -> None:
    students = [
        Student("ada", "", "", "", "", {"Lab-3.1-PTQ": 91.25}),
        Student("eve", "", "", "", "", {"Lab-3.1-PTQ": 1.0}),
    ]
    done = for_canvas("\ufeff" + CANVAS, students, MAXIMA)
    points, ada, charles = rows(done.text)
    assert list(points) == [
        "Student",
        "ID",
        "SIS User ID",
        "SIS Login ID",
        "Section",
        "Lab-3.1-PTQ (4711)",
        "Lab-3.10-Feature",
    ]
    assert points["Student"].strip() == "Points Possible" and points["Lab-3.10-Feature"] == "100"
    assert (ada["Student"], ada["ID"], ada["Lab-3.1-PTQ (4711)"]) == ("Lovelace, Ada", "17", "91.25")
    assert (charles["Section"], charles["Lab-3.1-PTQ (4711)"]) == ("A, B", "")
    assert (done.only_here, done.only_there) == (["eve"], ["charles"])


def test_a_lab_is_not_taken_for_another_whose_id_begins_alike() -> None:
    roster = "Student,ID,SIS Login ID,Lab-3.10-Feature (9)\r\nAda,17,ada,\r\n"
    header = list(rows(for_canvas(roster, [], {"Lab-3.1": 1.0}).text)[0])
    assert header[-1] == "Lab-3.1"


def test_moodle_matches_the_column_that_is_named() -> None:
    roster = "First name,Username,Email address\nAda,x1,ada@example.org\n"
    students = [Student("ada@example.org", "", "", "", "", {"Lab-3.1-PTQ": 3.0})]
    assert for_moodle(roster, students, MAXIMA).only_here == ["ada@example.org"]
    done = for_moodle(roster, students, MAXIMA, "Email address")
    assert rows(done.text) == [
        {"Email address": "ada@example.org", "Lab-3.1-PTQ": "3", "Lab-3.10-Feature": ""}
    ]
    assert done.only_here == done.only_there == []


@pytest.mark.parametrize(
    ("roster", "message"),
    [
        ("", "empty"),
        ("Student,ID\nAda,17\n", "no column 'SIS Login ID' or 'SIS User ID'; it has: Student, ID"),
        ("Name,SIS Login ID\nAda,ada\n", "export the gradebook from Canvas"),
        ('Student,ID,SIS Login ID\n"Ada,17,ada\n', "not a CSV file"),
        ("Student,ID,SIS Login ID\nAda,17,ada\nEve,18,ada\n", "ada more than once"),
    ],
)
def test_a_roster_that_cannot_be_used_says_why(roster: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        for_canvas(roster, [], MAXIMA)


def test_a_sum_over_all_labs_keeps_its_digits() -> None:
    """Six significant digits would make the total another number than the sum of its columns."""
    for value, text in ((1150.1234, "1150.1234"), (100.0, "100"), (0.0, "0"), (100 / 3, "33.3333")):
        rows = as_csv([Student("ada", "", "", "", "", {"Lab-3.1-PTQ": value})], {"Lab-3.1-PTQ": 100.0})
        assert rows.splitlines()[1].split(",")[5] == text


def test_scores_come_from_the_gradebook_with_penalties_taken_off(fresh_mini: MiniLab, tmp_path: Path) -> None:
    for student in ("ada", "bob"):
        folder = fresh_mini.instance.submitted / student / fresh_mini.lab.id
        folder.mkdir(parents=True)
        notebook = fresh_mini.reference()
        if student == "bob":
            notebook = replace_solution(notebook, "scale_tensor", "def scale_tensor(x, factor): return x\n")
        nbformat.write(notebook, folder / "01-Scale.ipynb")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    with open_gradebook(fresh_mini.instance) as gradebook:
        gradebook.find_submission_notebook("01-Scale", fresh_mini.lab.id, "ada").late_submission_penalty = 5.0
        gradebook.db.commit()
    students, maxima = read_grades(fresh_mini.instance, fresh_mini.course, [fresh_mini.lab.id])
    assert {s.id: s.scores for s in students} == {
        "ada": {fresh_mini.lab.id: 85.0},
        "bob": {fresh_mini.lab.id: 50.0},
    }
    assert maxima == {fresh_mini.lab.id: 100.0}
    with pytest.raises(GradebookError, match="does not know Lab-9"):
        read_grades(fresh_mini.instance, fresh_mini.course, ["Lab-9"])

    roster = tmp_path / "roster.csv"
    roster.write_text("Username\nada\nzoe\n")
    output = tmp_path / "grades.csv"
    arguments = [fresh_mini.lab.id, "--instance", str(fresh_mini.instance.root), "--output", str(output)]
    done = CliRunner().invoke(export, [*arguments, "--format", "moodle", "--roster", str(roster)])
    assert done.exit_code == 0, done.output
    assert output.read_bytes() == f"Username,{fresh_mini.lab.id}\r\nada,85\r\nzoe,\r\n".encode()
    assert output.stat().st_mode & 0o777 == 0o600  # grades are not for the other accounts of a machine
    assert "1 not on the roster: bob" in done.stderr and "1 without a grade: zoe" in done.stderr
    refused = CliRunner().invoke(export, [*arguments, "--format", "canvas"])
    assert isinstance(refused.exception, ConfigurationError) and "--roster FILE" in str(refused.exception)
