"""The class at a glance: what the folders, the gradebook and the receipts say, on one page."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import nbformat
import pytest
from click.testing import CliRunner

from autograder.commands.late import late
from autograder.errors import ConfigurationError
from autograder.extensions import give_extension
from autograder.grade.course_grade import grade_lab
from autograder.grade.intake import TIMESTAMP
from autograder.report.class_glance import glance
from autograder.report.final import final_results
from autograder.service.safe_pages import new_nonce, page_environment
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
    due = fresh_mini.lab.due.replace(tzinfo=fresh_mini.course.time_zone)
    hand_in(fresh_mini, "ada", due - timedelta(hours=1), solved=True)
    hand_in(fresh_mini, "bob", due + timedelta(hours=30), solved=True)
    hand_in(fresh_mini, "eve", due - timedelta(hours=1), solved=False)
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    hand_in(fresh_mini, "tim", due, solved=True)
    return fresh_mini


def test_the_numbers_are_those_of_the_class(graded: MiniLab) -> None:
    due = graded.lab.due.replace(tzinfo=graded.course.time_zone)
    give_extension(graded.instance, graded.course, graded.lab, "zoe", due + timedelta(days=1))
    found = glance(graded.instance, graded.course)
    (lab,) = found.labs
    assert (found.students, lab.handed_in, lab.graded, lab.late, lab.extended) == (3, 4, 3, 1, 1)
    assert lab.mean == pytest.approx(60.0) and sum(lab.spread) == 3 and lab.spread[0] == 1
    assert found.audit.problems == [] and found.requests is None


def test_an_extension_takes_lateness_away(graded: MiniLab) -> None:
    course = dataclasses.replace(
        graded.course, late=dataclasses.replace(graded.course.late, lost_per_day=0.1)
    )
    assert final_results(graded.instance, course)["bob"][0].counts == pytest.approx(72.0)
    due = graded.lab.due.replace(tzinfo=course.time_zone)
    give_extension(graded.instance, course, graded.lab, "bob", due + timedelta(days=2))
    assert final_results(graded.instance, course)["bob"][0].counts == pytest.approx(90.0)
    assert final_results(graded.instance, course)["ada"][0].counts == pytest.approx(90.0)


def test_an_empty_class_has_a_page_too(fresh_mini: MiniLab) -> None:
    new_nonce()
    page = (
        page_environment()
        .get_template("class.tpl")
        .render(base_url="/x", found=glance(fresh_mini.instance, fresh_mini.course))
    )
    assert "0 students" in page and "Lab-0.1-Mini" in page


def test_what_a_student_wrote_stays_text(graded: MiniLab) -> None:
    new_nonce()
    found = dataclasses.replace(
        glance(graded.instance, graded.course),
        requests=[{"id": 1, "student": "eve", "lab": "L", "number": 1, "text": "<script>x</script>"}],
    )
    page = page_environment().get_template("class.tpl").render(base_url="/x", found=found)
    assert "<script>" not in page and "&lt;script&gt;x" in page


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
