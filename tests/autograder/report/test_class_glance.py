"""The class at a glance: what the folders, the gradebook and the receipts say, on one page."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta

import nbformat
import pytest
from click.testing import CliRunner

from autograder.commands.late import late
from autograder.enrolment import assign_sections, leave
from autograder.errors import ConfigurationError
from autograder.extensions import give_extension
from autograder.grade.course_grade import grade_lab
from autograder.grade.intake import TIMESTAMP
from autograder.report.class_glance import glance
from autograder.report.final import final_results
from tests.conftest import MiniLab


def hand_in(mini: MiniLab, who: str, when: datetime, *, solved: bool) -> None:
    """A hand-in as collecting leaves it."""
    folder = mini.instance.submitted / who / mini.lab.id
    folder.mkdir(parents=True)
    notebook = mini.reference() if solved else nbformat.v4.new_notebook()
    nbformat.write(notebook, folder / "01-Scale.ipynb")
    (folder / TIMESTAMP).write_text(when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC"))


@pytest.fixture
def graded(fresh_mini: MiniLab) -> MiniLab:
    """One on time and right, one two days late and right, one empty, and one that was not graded."""
    due = fresh_mini.course.due(fresh_mini.lab)
    hand_in(fresh_mini, "ada", due - timedelta(hours=1), solved=True)
    hand_in(fresh_mini, "bob", due + timedelta(hours=30), solved=True)
    hand_in(fresh_mini, "eve", due - timedelta(hours=1), solved=False)
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    hand_in(fresh_mini, "tim", due, solved=True)
    return fresh_mini


def test_the_numbers_are_those_of_the_class(graded: MiniLab) -> None:
    due = graded.course.due(graded.lab)
    give_extension(graded.instance, graded.course, graded.lab, "bob", due + timedelta(hours=1))
    found = glance(graded.instance, graded.course)
    (lab,) = found.labs
    assert (found.students, lab.handed_in, lab.graded, lab.late, lab.extended) == (4, 4, 3, 1, 1)
    assert lab.built and not lab.out
    assert lab.mean == pytest.approx(60.0) and sum(lab.spread) == 3 and lab.spread[0] == 1
    assert found.audit.problems == [] and found.waiting is None and not found.has_handin


def test_an_extension_takes_lateness_away(graded: MiniLab) -> None:
    course = dataclasses.replace(
        graded.course, late=dataclasses.replace(graded.course.late, lost_per_day=0.1)
    )
    assert final_results(graded.instance, course)["bob"][0].counts == pytest.approx(72.0)
    due = course.due(graded.lab)
    give_extension(graded.instance, course, graded.lab, "bob", due + timedelta(days=2))
    assert final_results(graded.instance, course)["bob"][0].counts == pytest.approx(90.0)
    assert final_results(graded.instance, course)["ada"][0].counts == pytest.approx(90.0)


def test_who_left_and_who_is_in_another_section_is_not_counted(graded: MiniLab) -> None:
    assign_sections(graded.instance, {"ada": "A", "bob": "B"})
    leave(graded.instance, "eve", date(2027, 3, 20))
    whole, narrow = (glance(graded.instance, graded.course, section) for section in ("", "B"))
    assert (whole.students, whole.left, whole.labs[0].graded, whole.labs[0].late) == (3, 1, 2, 1)
    assert whole.labs[0].mean == pytest.approx(90.0) and whole.sections == ["A", "B"]
    assert (narrow.students, narrow.labs[0].graded, narrow.labs[0].handed_in, narrow.labs[0].late) == (
        1,
        1,
        1,
        1,
    )
    with pytest.raises(ConfigurationError, match="there is no section 'C'; there are: A, B"):
        glance(graded.instance, graded.course, "C")


def test_the_command_shows_what_lateness_costs(graded: MiniLab) -> None:
    root = ["--instance", str(graded.instance.root)]
    done = CliRunner().invoke(late, ["--json", *root], catch_exceptions=False)
    found = json.loads(done.output)
    # the small lab is not in course.toml, so it has no deadline there
    assert found["bob"] == [
        {"lab": graded.lab.id, "earned": 90.0, "days_late": 0, "forgiven": 0, "counts": 90.0}
    ]
    table = CliRunner().invoke(late, root, catch_exceptions=False)
    assert table.exit_code == 0 and "0 of 5" in table.output
    with pytest.raises(ConfigurationError, match="knows no student 'nobody'"):
        CliRunner().invoke(late, ["--student", "nobody", *root], catch_exceptions=False)
