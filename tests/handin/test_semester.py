"""The end of a semester: an archive that is complete and notices a changed byte, and a class that is empty after it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from datetime import date, timedelta
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from handin.errors import Refused
from hypothesis import given
from hypothesis import strategies as st

from autograder.actions import note, read_actions
from autograder.build.outbound import destination
from autograder.build.publish import plan_releases, release_labs
from autograder.commands.semester import semester
from autograder.course import ROOT, load_course
from autograder.enrolment import assign_sections
from autograder.errors import BackupError, ConfigurationError, IntakeError
from autograder.grade.audit import audit
from autograder.grade.course_grade import grade_lab
from autograder.gradebook import create_gradebook
from autograder.handin import has_service, remember_service
from autograder.report.class_glance import glance
from autograder.restore import Restore
from autograder.semester import begin
from autograder.semester.archive import archive_semester, read_archive
from autograder.semester.begin import begin_semester
from autograder.semester.dates import moved
from tests.conftest import MINI, MiniLab
from tests.handin.running import RunningService

LAB = "Lab-0.1-Mini"
AUTUMN = date(2027, 9, 6)


@pytest.fixture
def course_file(tmp_path: Path) -> Path:
    """The small lab's course.toml with a first week."""
    file = tmp_path / "course.toml"
    text = (MINI / "course.toml").read_text("utf-8")
    file.write_text(text.replace("[course]\n", "[course]\nstarts = 2027-03-01  # a Monday\n"), "utf-8")
    return file


@pytest.fixture(scope="module")
def graded(mini: MiniLab, tmp_path_factory: pytest.TempPathFactory) -> MiniLab:
    """Ada is graded and in a section; for tests to copy."""
    copy = mini.copy(tmp_path_factory.mktemp("graded") / "instance")
    folder = copy.instance.submitted / "ada" / LAB
    folder.mkdir(parents=True)
    nbformat.write(copy.reference(), folder / "01-Scale.ipynb")
    grade_lab(copy.instance, LAB)
    assign_sections(copy.instance, {"ada": "A"})
    return copy


@pytest.fixture
def lab(graded: MiniLab, service: RunningService, tmp_path: Path) -> MiniLab:
    """The lab is out; ada has handed in twice; bob has handed in and was not collected."""
    copy = graded.copy(tmp_path / "instance")
    instance = copy.instance
    instance.set("exchange", str(tmp_path / "exchange"))
    shutil.rmtree(service.published / LAB)
    outbound = destination(instance, LAB).parent
    outbound.parent.mkdir(parents=True)
    outbound.symlink_to(service.published)
    release_labs(plan_releases([copy.lab], copy.course, instance), copy.course, instance, None)
    remember_service(instance, service.url, "token-collector")
    for who in ("ada", "ada", "bob"):
        hand_in(copy, service, who)
    return copy


def hand_in(lab: MiniLab, service: RunningService, who: str) -> None:
    """The reference, through the service."""
    service.client(who).hand_in(LAB, {"01-Scale.ipynb": nbformat.writes(lab.reference()).encode()})


def attempts(service: RunningService) -> dict[str, int]:
    """The number of the newest attempt of each student."""
    return {one["student"]: one["number"] for one in service.client("collector").newest(LAB)}


def test_the_archive_can_be_read_without_the_course_and_brought_back(lab: MiniLab, tmp_path: Path) -> None:
    target = tmp_path / "spring"
    about = archive_semester(lab.instance, lab.course, target)
    assert about.students == 2 and read_archive(target) == about
    assert sorted(path.name for path in (target / "students").iterdir()) == ["ada.zip", "bob.zip"]
    with zipfile.ZipFile(target / "students" / "bob.zip") as archive:
        assert f"attempts/{LAB}/1/01-Scale.ipynb" in archive.namelist()
    assert "\nada," in (target / "grades.csv").read_text().replace("\r", "")
    assert "<svg" in (target / "statistics" / f"{LAB}.html").read_text("utf-8")
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=target, check=False)
    assert checked.returncode == 0
    (backup,) = (target / "backup").iterdir()
    Restore(backup, tmp_path / "again", {"exchange": str(tmp_path / "elsewhere")}).run()
    assert json.loads((tmp_path / "again" / "enrolment.json").read_text())["ada"]["section"] == "A"


def test_an_archive_is_whole_or_not_there(lab: MiniLab, service: RunningService, tmp_path: Path) -> None:
    target = tmp_path / "spring"
    with pytest.raises(BackupError, match="lies in the instance itself"):
        archive_semester(lab.instance, lab.course, lab.instance.root / "x")
    service.stop()
    with pytest.raises(IntakeError, match="could not be asked what it holds"):
        archive_semester(lab.instance, lab.course, target)
    assert not target.exists() and list(tmp_path.glob("*.partial")) == []
    service.start()
    (tmp_path / "spring.partial").mkdir()  # of a killed one
    archive_semester(lab.instance, lab.course, target)
    with pytest.raises(BackupError, match="never written over"):
        archive_semester(lab.instance, lab.course, target)


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "none"])
def test_an_archive_that_is_not_what_was_written_begins_nothing(
    lab: MiniLab, service: RunningService, course_file: Path, tmp_path: Path, damage: str
) -> None:
    target = tmp_path / "spring"
    archive_semester(lab.instance, lab.course, target)
    grades = target / "grades.csv"
    if damage == "changed":
        grades.write_text(grades.read_text() + " ")
    elif damage == "missing":
        grades.unlink()
    elif damage == "more":
        (target / "students" / "eve.zip").write_text("")
    else:
        target = tmp_path
    says = "is no archive" if damage == "none" else r"has changed since it was written: \S+\."
    with pytest.raises(BackupError, match=says):
        begin_semester(lab.instance, course_file, target, AUTUMN)
    assert attempts(service) == {"ada": 2, "bob": 1} and lab.instance.receipts.exists()


def test_what_happened_since_the_archive_stops_it(
    lab: MiniLab, service: RunningService, course_file: Path, tmp_path: Path
) -> None:
    """A hand-in, a grade, an action of the staff: each alone."""
    before = course_file.read_text()

    def refused(name: str, says: str) -> None:
        with pytest.raises(BackupError, match=f"lacks what happened since: {says}"):
            begin_semester(lab.instance, course_file, tmp_path / name, AUTUMN)
        assert attempts(service)["ada"] == 2 and course_file.read_text() == before
        assert destination(lab.instance, LAB).is_dir()

    archive_semester(lab.instance, lab.course, tmp_path / "one")
    hand_in(lab, service, "bob")
    refused("one", r"1 hand-ins \(bob, Lab-0.1-Mini\)")
    archive_semester(lab.instance, lab.course, tmp_path / "two")
    note(lab.instance, "did something")
    refused("two", "actions of the staff")
    archive_semester(lab.instance, lab.course, tmp_path / "three")
    grade_lab(lab.instance, LAB, again=True)
    refused("three", "grades")


def test_a_hand_in_at_the_last_moment_puts_everything_back(
    lab: MiniLab, service: RunningService, course_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_semester(lab.instance, lab.course, tmp_path / "spring")
    withdrawn = begin._withdrawn
    monkeypatch.setattr(
        begin, "_withdrawn", lambda *given: (hand_in(lab, service, "bob"), withdrawn(*given))[1]
    )
    with pytest.raises(BackupError, match="1 hand-ins"):
        begin_semester(lab.instance, course_file, tmp_path / "spring", AUTUMN)
    assert attempts(service) == {"ada": 2, "bob": 2} and destination(lab.instance, LAB).is_dir()


def test_the_class_is_empty_afterwards_and_nothing_is_lost(
    lab: MiniLab, service: RunningService, course_file: Path, tmp_path: Path
) -> None:
    lab.instance.set("calendar", "on")
    archive_semester(lab.instance, lab.course, tmp_path / "spring")
    (tmp_path / "spring" / "students" / "ada.zip").stat()
    done = begin_semester(lab.instance, course_file, tmp_path / "spring", AUTUMN)
    assert done.forgotten == 2 and attempts(service) == {}
    assert service.client("ada").overview()["labs"] == []
    with pytest.raises(Refused):
        hand_in(lab, service, "ada")
    assert (done.aside / "receipts.jsonl").is_file() and (done.aside / "gradebook.db").is_file()
    assert has_service(lab.instance) and lab.instance.setting("calendar", "") == "off"
    assert not lab.instance.secret.exists()  # the next one draws other hidden inputs
    (action,) = read_actions(lab.instance)
    assert action.what == "began the semester of 2027-09-06"
    course = load_course(course_file)
    assert course.starts == AUTUMN and "# a Monday" in course_file.read_text()
    assert course.labs[0].due == lab.lab.due + (AUTUMN - date(2027, 3, 1))
    create_gradebook(lab.instance)
    assert glance(lab.instance, course).students == 0 and audit(lab.instance).problems == []


@pytest.mark.parametrize("step", ["_forget_attempts", "_move_aside", "write_whole"])
def test_a_command_killed_at_any_step_is_run_again(
    lab: MiniLab,
    service: RunningService,
    course_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Killed right after the step: nothing of what follows has happened, and nothing was tidied up."""
    archive_semester(lab.instance, lab.course, tmp_path / "spring")

    class Killed(BaseException):
        pass

    real = getattr(begin, step)

    def killed(*given: object) -> None:
        real(*given)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(begin, step, killed)
        with pytest.raises(Killed):
            begin_semester(lab.instance, course_file, tmp_path / "spring", AUTUMN)
    begin_semester(lab.instance, course_file, tmp_path / "spring", AUTUMN)
    assert attempts(service) == {} and load_course(course_file).starts == AUTUMN
    assert service.client("ada").overview()["labs"] == []
    assert len(list(lab.instance.root.parent.glob("instance-until-*/receipts.jsonl"))) == 1


def test_the_commands_ask_before_they_delete(
    lab: MiniLab, service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autograder.commands.semester.load_course", lambda: lab.course)
    root = ["--instance", str(lab.instance.root)]
    target = tmp_path / "spring"
    done = CliRunner().invoke(semester, ["archive", str(target), *root], catch_exceptions=False)
    assert "students. It holds personal data" in done.stderr
    asked = CliRunner().invoke(
        semester, ["begin", "2027-09-06", "--archive", str(target), *root], input="n\n"
    )
    assert asked.exit_code == 1 and attempts(service) == {"ada": 2, "bob": 1}
    wrong = CliRunner().invoke(semester, ["begin", "2027-09-07", "--yes", "--archive", str(target), *root])
    assert isinstance(wrong.exception, ConfigurationError) and "is a Tuesday" in str(wrong.exception)


@given(st.integers(-200, 400))
def test_dates_move_by_whole_weeks_and_nothing_else_does(weeks: int) -> None:
    text = (ROOT / "course.toml").read_text("utf-8")
    course = load_course()
    assert course.starts is not None
    after = moved(text, course.starts + timedelta(weeks=weeks))
    dates = re.compile(r"\d{4}-\d{2}-\d{2}")
    assert dates.sub("", after) == dates.sub("", text)
    dues = [date.fromisoformat(found) for found in re.findall(r"^due *= *(\S{10})", after, re.M)]
    assert [one - timedelta(weeks=weeks) for one in dues] == [lab.due.date() for lab in course.labs]
    assert moved(after, course.starts) == text


def test_a_course_without_a_first_week_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no line `starts"):
        moved('[course]\nid = "x"\n', AUTUMN)
