"""The staff's pages, asked of the running service: what they show, what their forms change, who may send which."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import nbformat
import pytest
import requests

from autograder.actions import journal, note, read_actions
from autograder.enrolment import read_enrolment
from autograder.grade.course_grade import grade_lab
from autograder.gradebook import open_gradebook
from autograder.handin import remember_service
from autograder.quality.handins import replace_solution
from tests.autograder.report.test_class_glance import hand_in
from tests.autograder.report.test_similarity import ONE, RENAMED
from tests.autograder.report.test_similarity import hand_in as hand_in_code
from tests.autograder.service.running import RunningCourse
from tests.conftest import MiniLab
from tests.handin.running import RunningService, StandInHub

FILES = {"01-Scale.ipynb": b"{}"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def lab(mini: MiniLab, tmp_path_factory: pytest.TempPathFactory) -> MiniLab:
    """Ada is graded, bob and eve have handed in code that is alike and not graded."""
    return mini.copy(tmp_path_factory.mktemp("pages") / "instance")


@pytest.fixture(scope="module")
def hub() -> Iterator[StandInHub]:
    """One Hub for all tests here."""
    running = StandInHub()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def handin(
    hub: StandInHub, lab: MiniLab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A hand-in service that the course knows, with a graded attempt of ada."""
    running = RunningService(tmp_path_factory.mktemp("handin"), hub)
    running.publish(lab.lab.id, "01-Scale")
    attempt = running.client("ada").hand_in(lab.lab.id, FILES)["id"]
    running.client("collector").put_score(attempt, "ada", 90, 100)
    remember_service(lab.instance, running.url, "token-collector")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def course(
    hub: StandInHub, lab: MiniLab, handin: RunningService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCourse]:
    """The service."""
    due = lab.course.due(lab.lab)
    hand_in(lab, "ada", due - timedelta(hours=1), solved=True)
    grade_lab(lab.instance, lab.lab.id)
    for who, code in (("bob", ONE), ("eve", RENAMED)):
        hand_in_code(lab, who, code)
    running = RunningCourse(lab.instance, hub, tmp_path_factory.mktemp("service"))
    yield running
    running.stop()


def ended(course: RunningCourse, title: str) -> dict[str, object]:
    """The newest job of this title, when it has ended."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        jobs = course.ask("tomas", "api/queue").json()["jobs"]
        found = [job for job in jobs if job["title"] == title and job["ended"]]
        if found:
            return found[0]  # type: ignore[no-any-return]
        time.sleep(0.2)
    raise AssertionError(jobs)


PAGES = ["class", "people", "requests", "changes", "similar", "journal"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("who", "status"), [("ines", 200), ("tomas", 200), ("zoe", 403)])
def test_the_staff_sees_every_page_and_a_student_none(
    course: RunningCourse, page: str, who: str, status: int
) -> None:
    answer = course.ask(who, page)
    assert answer.status_code == status, answer.text[-2000:]
    if status == 200:
        assert f'formgrader/{page}" aria-current="page"' in answer.text
        assert "script-src 'nonce-" in answer.headers["Content-Security-Policy"]


def test_people_are_put_into_sections_by_an_instructor_only(course: RunningCourse, lab: MiniLab) -> None:
    assert course.ask("tomas", "people/ada", "POST", change="section", section="A").status_code == 403
    assert read_enrolment(lab.instance) == {}
    answer = course.ask("ines", "people/ada", "POST", change="section", section=f"A {HOSTILE}")
    assert (answer.status_code, answer.headers["Location"].rpartition("/")[2]) == (303, "people")
    page = course.ask("tomas", "people").text
    assert HOSTILE not in page and "A &lt;script&gt;" in page and "<form" not in page
    narrow = course.ask("ines", f"class?section=A {HOSTILE}").text
    assert "1 student in the section" in narrow and HOSTILE not in narrow
    assert course.ask("ines", "class?section=B").status_code == 409
    last = list(read_actions(lab.instance))[-1]
    assert (last.who, last.student) == ("ines", "ada") and last.what.startswith("is in the section A")


def test_who_left_is_shown_so_and_can_come_back(course: RunningCourse, lab: MiniLab) -> None:
    assert course.ask("ines", "people/ada", "POST", change="leave").status_code == 303
    assert "2 students; 1 left the class and is not counted" in course.ask("tomas", "class").text
    assert "left" in course.ask("ines", "people").text
    assert course.ask("ines", "people/ada", "POST", change="return").status_code == 303
    assert "3 students." in course.ask("tomas", "class").text


@pytest.mark.parametrize(
    ("path", "form", "status", "says"),
    [
        ("people/nobody", {"change": "leave"}, 409, "the gradebook knows no student &#39;nobody&#39;"),
        ("people/ada", {"change": "delete"}, 409, "neither section, leave nor return"),
        ("people/ada", {"change": "section", "section": "x" * 101}, 409, "at most 100 characters"),
        ("people/ada", {"change": "section", "section": "x" * 5000}, 400, ""),
        ("people/.ssh", {"change": "leave"}, 404, ""),
        ("similar/Lab-9", {"x": "1"}, 404, ""),
        ("changes/--again", {"x": "1"}, 404, ""),
        ("requests/99", {"answer": "hm"}, 409, "request 99 was not answered"),
        ("requests/1", {"answer": " "}, 409, "the answer is empty"),
        ("requests/x", {"answer": "hm"}, 404, ""),
        ("class", {"x": "1"}, 405, ""),
        ("requests/1", {"answer": "x" * 2001}, 400, ""),
    ],
)
def test_a_form_that_cannot_be_meant_says_why_and_changes_nothing(
    course: RunningCourse, lab: MiniLab, path: str, form: dict[str, str], status: int, says: str
) -> None:
    before = list(read_actions(lab.instance))
    answer = course.ask("ines", path, "POST", **form)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text[-1500:]
    assert list(read_actions(lab.instance)) == before


@pytest.mark.parametrize("path", ["people/ada", "requests/5", "changes/LAB", "similar/LAB"])
def test_the_address_of_a_form_leads_back_to_its_page(course: RunningCourse, lab: MiniLab, path: str) -> None:
    """That is where a browser stands after a refusal."""
    answer = course.ask("ines", path.replace("LAB", lab.lab.id))
    assert answer.status_code == 302
    assert answer.headers["Location"].rpartition("/")[2] == path.split("/")[0]


@pytest.mark.parametrize("page", [*PAGES, "statistics/Lab-0.1-Mini"])
def test_a_setting_that_is_half_edited_is_named_on_every_page(
    course: RunningCourse, lab: MiniLab, page: str
) -> None:
    file = lab.instance.settings_file
    kept = file.read_text() if file.is_file() else ""
    file.write_text('path = "')
    try:
        answer = course.ask("ines", page)
        assert (answer.status_code, "instance.toml" in answer.text) == (409, True), answer.text[-800:]
        posted = course.ask("ines", f"changes/{lab.lab.id}", "POST", go="1")
        assert posted.status_code == 409 and "instance.toml" in posted.text
    finally:
        file.write_text(kept)


def test_a_request_is_answered_and_its_student_reads_it(
    course: RunningCourse, handin: RunningService, lab: MiniLab
) -> None:
    asked = requests.post(
        f"{handin.url}/attempts/1/ask",
        data={"text": f"my check 3 {HOSTILE}"},
        headers={"Authorization": "token token-ada"},
        allow_redirects=False,
    )
    assert asked.status_code == 302
    page = course.ask("tomas", "requests").text
    assert "my check 3 &lt;script&gt;" in page and HOSTILE not in page
    assert "1 request to look at a grade again" in course.ask("tomas", "class").text
    done = course.ask("tomas", "requests/1", "POST", answer="It is right.", student="eve")
    assert done.status_code == 303
    again = course.ask("ines", "requests/1", "POST", answer="It is wrong.")
    assert again.status_code == 409 and "is answered already" in again.text and "It is right." in again.text
    mine = requests.get(f"{handin.url}/labs/{lab.lab.id}", headers={"Authorization": "token token-ada"}).text
    assert "It is right." in mine
    assert "None waits for an answer" in course.ask("ines", "requests").text
    done_by = [one for one in read_actions(lab.instance) if one.what == "answered request 1"]
    assert [(one.who, one.student, one.lab) for one in done_by] == [("tomas", "ada", lab.lab.id)]


def test_alike_hand_ins_are_found_from_the_page_and_shown_side_by_side(
    course: RunningCourse, lab: MiniLab
) -> None:
    assert "Not compared yet" in course.ask("tomas", "similar").text
    assert course.ask("tomas", f"similar/{lab.lab.id}", "POST", go="1").status_code == 303
    job = ended(course, f"compare hand-ins, {lab.lab.id}")
    assert job["state"] == "done", job["text"]
    page = course.ask("tomas", "similar").text
    assert "bob and eve" in page and "1 pair with 70% or more" in page
    pair = course.ask("tomas", f"similar/{lab.lab.id}/01-Scale/bob/eve")
    assert pair.status_code == 200 and "total.append" in pair.text and "out.append" in pair.text
    for path in (f"similar/{lab.lab.id}/01-Scale/bob/nobody", f"similar/{lab.lab.id}/..%2f/bob/eve"):
        assert course.ask("tomas", path).status_code == 404


def test_a_regrade_says_whose_grade_changed_who_asked_and_why(course: RunningCourse, lab: MiniLab) -> None:
    folder = lab.instance.submitted / "ada" / lab.lab.id
    worse = replace_solution(lab.reference(), "scale_tensor", "def scale_tensor(x, factor):\n    return x\n")
    nbformat.write(worse, folder / "01-Scale.ipynb")
    assert course.ask("tomas", f"changes/{lab.lab.id}", "POST", go="1").status_code == 303
    assert ended(course, f"grade again what changed, {lab.lab.id}")["state"] == "done"
    page = course.ask("tomas", "changes").text
    row = next(part for part in page.split("<tr>") if ">another hand-in<" in part)
    assert "ada" in row and "pass" in row and ">tomas<" in row
    assert course.ask("tomas", "changes?lab=Lab-9").status_code == 404


def test_a_score_by_hand_leaves_who_gave_it(course: RunningCourse, lab: MiniLab) -> None:
    with open_gradebook(lab.instance) as gradebook:
        (notebook,) = gradebook.find_submission(lab.lab.id, "ada").notebooks
        grade = next(one.id for one in notebook.grades if one.cell_type == "code")
    answer = requests.put(
        f"{course.url}/api/grade/{grade}",
        json={"manual_score": 7, "extra_credit": 1},
        headers={"Authorization": "token token-tomas"},
    )
    assert answer.status_code == 200, answer.text
    last = list(read_actions(lab.instance))[-1]
    assert (last.who, last.student, last.lab) == ("tomas", "ada", lab.lab.id)
    assert last.what.endswith("none before, 7 and 1 extra now")
    assert last.what.removeprefix("by hand: ") in course.ask("ines", "changes").text


def test_flags_and_names_are_in_the_journal_and_dates_are_not_formgraders(
    course: RunningCourse, lab: MiniLab
) -> None:
    with open_gradebook(lab.instance) as gradebook:
        (notebook,) = gradebook.find_submission(lab.lab.id, "ada").notebooks
        flagged, number, due = notebook.flagged, notebook.id, gradebook.find_assignment(lab.lab.id).duedate
    who = {"Authorization": "token token-ines"}
    for what in ("flagged 01-Scale", "took the flag off 01-Scale"):
        assert requests.post(f"{course.url}/api/submitted_notebook/{number}/flag", headers=who).ok
        last = list(read_actions(lab.instance))[-1]
        assert (last.who, last.what, last.student) == ("ines", what, "ada")
    answer = requests.put(f"{course.url}/api/student/ada", json={"first_name": "Ada"}, headers=who)
    last = list(read_actions(lab.instance))[-1]
    assert answer.ok and (last.what, last.student) == ("set name and address", "ada")
    answer = requests.put(
        f"{course.url}/api/assignment/{lab.lab.id}",
        json={"duedate_notimezone": "2030-01-01T00:00:00"},
        headers=who,
    )
    assert answer.status_code == 403 and "Due dates stand in course.toml" in answer.text
    with open_gradebook(lab.instance) as gradebook:
        assert gradebook.find_assignment(lab.lab.id).duedate == due and not flagged


def test_the_journal_shows_when_it_was_tampered_with(course: RunningCourse, lab: MiniLab) -> None:
    note(lab.instance, "did one thing", who="tomas", student="ada")
    note(lab.instance, "did another", who="tomas", student="eve")
    page = course.ask("tomas", "journal?student=ada").text
    assert "both chains hold" in page and "did one thing" in page and "did another" not in page
    file = journal(lab.instance).file
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"tomas"', b'"ines"', 1))
    try:
        page = course.ask("ines", "journal").text
        assert "it was changed after it was written" in page and "both chains hold" not in page
        assert "1 problem" in course.ask("ines", "class").text
        queued = len(course.ask("ines", "api/queue").json()["jobs"])
        file.write_bytes(kept + b"no line\n")
        assert course.ask("ines", f"similar/{lab.lab.id}", "POST", go="1").status_code == 409
        assert len(course.ask("ines", "api/queue").json()["jobs"]) == queued
        # a journal that is shorter than it was when grades were written
        file.unlink()
        assert "it lacks lines that stood there when receipt" in course.ask("ines", "journal").text
    finally:
        file.write_bytes(kept)
