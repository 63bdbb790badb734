"""From a hand-in to the feedback that its student reads: the course's commands with a running service."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import nbformat
import pytest
from click.testing import CliRunner
from handin.client import Client

from autograder.commands.deadlines import deadlines, extend
from autograder.course import LatePolicy
from autograder.errors import ConfigurationError, CourseError, IntakeError
from autograder.extensions import give_extension, tell_deadlines
from autograder.grade.collect import collect_lab
from autograder.grade.course_grade import grade_lab
from autograder.grade.intake import TIMESTAMP
from autograder.handin import ADDRESS, remember_service
from autograder.report.feedback import make_feedback
from autograder.report.publish_feedback import publish_feedback
from tests.conftest import MiniLab
from tests.handin.running import RunningService

LAB = "Lab-0.1-Mini"


@pytest.fixture
def course(service: RunningService, fresh_mini: MiniLab) -> MiniLab:
    """The small lab's instance, told where the service is."""
    remember_service(fresh_mini.instance, service.url, "token-collector")
    return fresh_mini


def solution(course: MiniLab) -> dict[str, bytes]:
    """What a student hands in who solved everything."""
    return {"01-Scale.ipynb": nbformat.writes(course.reference()).encode(), "notes.txt": b"mine"}


def test_a_hand_in_is_collected_graded_and_given_back(service: RunningService, course: MiniLab) -> None:
    ada = service.client("ada")
    receipt = ada.hand_in(LAB, solution(course))
    found = collect_lab(course.instance, LAB)
    assert found.students == found.new == ["ada"] and found.failed == {}
    folder = course.instance.submitted / "ada" / LAB
    assert sorted(path.name for path in folder.iterdir()) == ["01-Scale.ipynb", "notes.txt", TIMESTAMP]
    assert (folder / TIMESTAMP).read_text()[:19] == receipt["received"][:19].replace("T", " ")
    (graded,) = grade_lab(course.instance, LAB)
    assert graded.score == 90.0
    make_feedback(course.instance, LAB)
    assert publish_feedback(course.instance, LAB) == 1
    assert (
        b"Lab-0.1-Mini" in ada.feedback(receipt["id"], "01-Scale")
        or ada.overview()["attempts"][0]["feedback"]
    )
    assert collect_lab(course.instance, LAB).new == []


def test_a_newer_attempt_is_graded_anew_and_each_page_goes_to_its_attempt(
    service: RunningService, course: MiniLab
) -> None:
    ada = service.client("ada")
    empty = {"01-Scale.ipynb": nbformat.writes(nbformat.v4.new_notebook()).encode()}
    first = ada.hand_in(LAB, empty)
    collect_lab(course.instance, LAB)
    assert grade_lab(course.instance, LAB)[0].score == 0.0
    make_feedback(course.instance, LAB)
    second = ada.hand_in(LAB, solution(course))
    assert collect_lab(course.instance, LAB).new == ["ada"]
    publish_feedback(course.instance, LAB)  # the second is here, but not graded yet
    told = {one["id"]: sorted(one["feedback"]) for one in ada.overview()["attempts"]}
    assert told == {first["id"]: ["01-Scale"], second["id"]: []}
    assert grade_lab(course.instance, LAB)[0].score == 90.0
    make_feedback(course.instance, LAB)
    publish_feedback(course.instance, LAB)
    assert len(list((course.instance.received / "ada").iterdir())) == 2
    assert ada.feedback(first["id"], "01-Scale") != ada.feedback(second["id"], "01-Scale")


def test_a_hand_in_that_came_another_way_is_named(service: RunningService, course: MiniLab) -> None:
    folder = course.instance.submitted / "bob" / LAB
    folder.mkdir(parents=True)
    nbformat.write(course.reference(), folder / "01-Scale.ipynb")
    service.client("ada").hand_in(LAB, solution(course))
    collect_lab(course.instance, LAB)
    grade_lab(course.instance, LAB)
    make_feedback(course.instance, LAB)
    with pytest.raises(CourseError, match=r"1 pages .* given back; not these:\nbob: .* did not come from"):
        publish_feedback(course.instance, LAB)
    assert service.client("ada").overview()["attempts"][0]["feedback"]


def test_an_outage_changes_nothing(service: RunningService, course: MiniLab) -> None:
    service.client("ada").hand_in(LAB, solution(course))
    service.kill()
    with pytest.raises(
        IntakeError, match=r"could not be collected: the hand-in service at .* does not answer"
    ):
        collect_lab(course.instance, LAB)
    assert not (course.instance.submitted / "ada").exists()
    service.start()
    assert collect_lab(course.instance, LAB).new == ["ada"]


def test_a_collecting_that_was_killed_is_made_up_for(
    service: RunningService, course: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.client("ada").hand_in(LAB, solution(course))
    service.client("bob").hand_in(LAB, solution(course))
    real = Client.attempt

    def killed(client: Client, number: int) -> dict[str, bytes]:
        if number == 2:
            raise KeyboardInterrupt
        return real(client, number)

    monkeypatch.setattr(Client, "attempt", killed)
    with pytest.raises(KeyboardInterrupt):
        collect_lab(course.instance, LAB)
    monkeypatch.undo()
    assert collect_lab(course.instance, LAB).new == ["bob"]
    assert {path.parent.name for path in course.instance.submitted.glob(f"*/{LAB}")} == {"ada", "bob"}


def test_without_a_service_there_is_one_clear_error(fresh_mini: MiniLab) -> None:
    with pytest.raises(ConfigurationError, match="put hand-ins into submitted/STUDENT/LAB"):
        collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    (fresh_mini.instance.root / ADDRESS).write_text("{")
    with pytest.raises(ConfigurationError, match="does not say where"):
        collect_lab(fresh_mini.instance, fresh_mini.lab.id)


def test_the_address_with_its_token_is_closed(course: MiniLab) -> None:
    assert (course.instance.root / ADDRESS).stat().st_mode & 0o077 == 0


def test_the_service_is_told_deadlines_and_extensions(service: RunningService, course: MiniLab) -> None:
    late = LatePolicy(closes_after=7)
    about = dataclasses.replace(course.course, late=late)
    due_then = about.due(course.lab)
    give_extension(course.instance, about, course.lab, "bob", due_then + timedelta(days=3))
    assert tell_deadlines(course.instance, about) == 1
    seen = {who: service.client(who).overview()["labs"][0] for who in ("ada", "bob")}
    moments = {who: datetime.fromisoformat(lab["due"]) for who, lab in seen.items()}
    assert moments == {"ada": due_then, "bob": due_then + timedelta(days=3)}
    assert datetime.fromisoformat(seen["bob"]["closes"]) == due_then + timedelta(days=10)
    service.kill()
    with pytest.raises(IntakeError, match="was not told the deadlines"):
        tell_deadlines(course.instance, about)
    service.start()
    give_extension(course.instance, about, course.lab, "bob", None)
    tell_deadlines(course.instance, about)
    assert datetime.fromisoformat(service.client("bob").overview()["labs"][0]["due"]) == due_then


def test_commands_tell_the_service_too(service: RunningService, course: MiniLab) -> None:
    root = ["--instance", str(course.instance.root)]
    shown = CliRunner().invoke(deadlines, root, catch_exceptions=False)
    assert shown.exit_code == 0 and "the hand-in service knows 12 of them" in shown.output
    done = CliRunner().invoke(extend, ["Lab-3.1", "ada", "--days", "2", *root], catch_exceptions=False)
    assert done.exit_code == 0 and "ada may hand in Lab-3.1" in done.output
    service.publish("Lab-3.1-Post_Training_Quantization", "01-Setup")
    labs = {lab["lab"]: lab["due"] for lab in service.client("ada").overview()["labs"]}
    assert labs["Lab-3.1-Post_Training_Quantization"].startswith("2027-03-09T15:59")
