"""The end of a semester: an archive that is complete and notices a changed byte, and a class that is empty after it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import nbformat
import pytest
import requests
from click.testing import CliRunner
from handin.errors import Refused
from hypothesis import given
from hypothesis import strategies as st

from autograder.actions import note, read_actions
from autograder.build.outbound import destination, published
from autograder.build.publish import plan_releases, release_labs
from autograder.commands.semester import semester
from autograder.course import Course, LatePolicy, load_course
from autograder.enrolment import assign_sections
from autograder.errors import BackupError, ConfigurationError, IntakeError
from autograder.grade.audit import audit
from autograder.grade.course_grade import grade_lab
from autograder.gradebook import create_gradebook
from autograder.handin import has_service, remember_service
from autograder.report.class_glance import glance
from autograder.restore import Restore
from autograder.roster import Person, import_people
from autograder.schedule import STARTS, dated
from autograder.semester import begin, emptied
from autograder.semester.archive import archive_semester, read_archive
from autograder.semester.begin import begin_semester
from autograder.semester.half_begun import marker_file, read_marker, require_whole
from autograder.service.queue import JobQueue
from tests.conftest import MiniLab
from tests.handin.running import RunningService

LAB = "Lab-0.1-Mini"
AUTUMN = date(2027, 9, 6)


@pytest.fixture(scope="module")
def graded(mini: MiniLab, tmp_path_factory: pytest.TempPathFactory) -> MiniLab:
    """Ada is graded and in a section; for tests to copy."""
    copy = mini.copy(tmp_path_factory.mktemp("graded") / "instance")
    copy.lab = replace(mini.lab, due=mini.lab.due.replace(year=2020))
    late = LatePolicy(closes_after=7)
    copy.course = replace(mini.course, starts=date(2020, 3, 2), labs=(copy.lab,), late=late)
    folder = copy.instance.submitted / "ada" / LAB
    folder.mkdir(parents=True)
    nbformat.write(copy.reference(), folder / "01-Scale.ipynb")
    grade_lab(copy.instance, LAB)
    assign_sections(copy.instance, {"ada": "A"})
    return copy


@pytest.fixture
def lab(graded: MiniLab, service: RunningService, tmp_path: Path) -> MiniLab:
    """The lab is out, with an exchange elsewhere; ada has handed in twice; bob once, and was not collected."""
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


@pytest.fixture
def archived(lab: MiniLab, tmp_path: Path) -> Path:
    """An archive that holds everything."""
    archive_semester(lab.instance, lab.course, tmp_path / "spring")
    return tmp_path / "spring"


def hand_in(lab: MiniLab, service: RunningService, who: str) -> None:
    """The reference, through the service."""
    service.client(who).hand_in(LAB, {"01-Scale.ipynb": nbformat.writes(lab.reference()).encode()})


def attempts(service: RunningService) -> dict[str, int]:
    """The number of the newest attempt of each student."""
    return {one["student"]: one["number"] for one in service.client("collector").newest(LAB)}


def ask_again(service: RunningService) -> None:
    """Ada asks to be looked at again."""
    service.client("collector").put_score(1, "ada", 90, 100)
    done = requests.post(
        f"{service.url}/attempts/1/ask",
        data={"text": "look again"},
        headers={"Authorization": "token token-ada"},
        allow_redirects=False,
    )
    assert done.status_code == 302


def test_the_archive_can_be_read_without_the_course_and_brought_back(
    lab: MiniLab, archived: Path, tmp_path: Path
) -> None:
    then, _ = read_archive(archived)
    assert {(who, number) for _, who, number, _ in then.attempts} == {("ada", 2), ("bob", 1)}
    assert sorted(path.name for path in (archived / "students").iterdir()) == ["ada.zip", "bob.zip"]
    with zipfile.ZipFile(archived / "students" / "bob.zip") as opened:
        assert f"attempts/{LAB}/1/01-Scale.ipynb" in opened.namelist()
    assert "\nada," in (archived / "grades.csv").read_text().replace("\r", "")
    assert "<svg" in (archived / "statistics" / f"{LAB}.html").read_text("utf-8")
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=archived, check=False)
    assert checked.returncode == 0
    (backup,) = (archived / "backup").iterdir()
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
    import_people(lab.instance, [Person("ada", "", "", "")])
    assert archive_semester(lab.instance, lab.course, target).without_zip == []
    with pytest.raises(BackupError, match="never written over"):
        archive_semester(lab.instance, lab.course, target)


def test_a_name_that_no_account_can_have_stops_no_archive(lab: MiniLab, tmp_path: Path) -> None:
    """formgrader's own form takes any name."""
    import_people(lab.instance, [Person("Ada Lovelace", "", "", "")])
    assert archive_semester(lab.instance, lab.course, tmp_path / "spring").without_zip == ["Ada Lovelace"]


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "none"])
def test_an_archive_that_is_not_what_was_written_begins_nothing(
    lab: MiniLab, service: RunningService, archived: Path, tmp_path: Path, damage: str
) -> None:
    grades = archived / "grades.csv"
    if damage == "changed":
        grades.write_text(grades.read_text() + " ")
    elif damage == "missing":
        grades.unlink()
    elif damage == "more":
        (archived / "students" / "eve.zip").write_text("")
    says = "is no archive" if damage == "none" else r"has changed since it was written: \S+\."
    with pytest.raises(BackupError, match=says):
        begin_semester(lab.instance, lab.course, tmp_path if damage == "none" else archived, AUTUMN)
    assert attempts(service) == {"ada": 2, "bob": 1} and lab.instance.receipts.exists()


HAPPENS: dict[str, Callable[[MiniLab, RunningService], object]] = {
    r"1 hand-ins \(bob, Lab-0.1-Mini\)": lambda lab, service: hand_in(lab, service, "bob"),
    "actions of the staff": lambda lab, service: note(lab.instance, "did something"),
    "grades": lambda lab, service: grade_lab(lab.instance, LAB, again=True),
    "requests to look at a grade again": lambda lab, service: ask_again(service),
}


@pytest.mark.parametrize("what", HAPPENS)
@pytest.mark.parametrize("when", ["while", "after"])
def test_what_is_not_in_the_archive_stops_it(
    lab: MiniLab, service: RunningService, tmp_path: Path, what: str, when: str
) -> None:
    """After the archive was made, and while it was: then it may be in some parts and not in others."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if when == "while" and text == "grades":
            HAPPENS[what](lab, service)

    archive_semester(lab.instance, lab.course, tmp_path / "spring", say)
    if when == "after":
        HAPPENS[what](lab, service)
    with pytest.raises(BackupError, match=f"lacks what happened since: {what}\\. Nothing was changed"):
        begin_semester(lab.instance, lab.course, tmp_path / "spring", AUTUMN)
    assert attempts(service)["ada"] == 2 and destination(lab.instance, LAB).is_dir()
    assert lab.instance.receipts.exists() and not lab.instance.setting(STARTS, "")


def test_a_date_that_cannot_be_and_a_lab_that_is_open_stop_it(
    lab: MiniLab, service: RunningService, archived: Path
) -> None:
    for starts, says in ((date(2027, 9, 7), "is a Tuesday"), (date(2020, 3, 2), "is not after 2020-03-02")):
        with pytest.raises(ConfigurationError, match=says):
            begin_semester(lab.instance, lab.course, archived, starts)
    for running in (LatePolicy(closes_after=5000), LatePolicy()):  # the second closes never
        with pytest.raises(ConfigurationError, match=f"{LAB} still takes hand-ins"):
            begin_semester(lab.instance, replace(lab.course, late=running), archived, AUTUMN)
    extended = lab.instance.root / "extensions.json"
    extended.write_text(json.dumps({LAB: {"ada": "2199-01-01T00:00:00+00:00"}}))
    with pytest.raises(ConfigurationError, match=f"{LAB} still takes hand-ins"):
        begin_semester(lab.instance, lab.course, archived, AUTUMN)
    queue = JobQueue(lab.instance.root / "queue.json")
    queue.add("grade everyone", ["grade", LAB], "ta1")
    with pytest.raises(ConfigurationError, match="1 open jobs, as 'grade everyone'"):
        begin_semester(lab.instance, lab.course, archived, AUTUMN, early=True)
    queue.file.unlink()
    assert attempts(service) == {"ada": 2, "bob": 1} and destination(lab.instance, LAB).is_dir()
    assert list(lab.instance.root.parent.glob("instance-until-*")) == []
    assert begin_semester(lab.instance, lab.course, archived, AUTUMN, early=True).forgotten == 2


def test_the_class_is_empty_afterwards_and_nothing_is_lost(
    lab: MiniLab, service: RunningService, archived: Path
) -> None:
    erratum = destination(lab.instance, LAB)
    shutil.copytree(erratum, erratum.with_name(f".{LAB}.old"))  # each erratum leaves one
    lab.instance.set("calendar", "on")
    done = begin_semester(lab.instance, lab.course, archived, AUTUMN)
    assert done.forgotten == 2 and attempts(service) == {}
    assert service.client("ada").overview()["labs"] == []
    assert published(lab.instance, LAB) is None
    with pytest.raises(Refused):
        hand_in(lab, service, "ada")
    assert (done.aside / "receipts.jsonl").is_file() and (done.aside / "gradebook.db").is_file()
    assert has_service(lab.instance) and lab.instance.setting("calendar", "") == "off"
    assert not lab.instance.secret.exists()  # the next one draws other hidden inputs
    (action,) = read_actions(lab.instance)
    assert action.what == "began the semester of 2027-09-06"
    course = dated(lab.course, lab.instance)
    assert course.starts == AUTUMN
    assert course.labs[0].due == lab.course.labs[0].due + (AUTUMN - date(2020, 3, 2))
    create_gradebook(lab.instance)
    assert glance(lab.instance, course).students == 0 and audit(lab.instance).problems == []


STEPS = [
    "_require_archived",
    "make_aside",
    "write_whole",
    "_forget_attempts",
    "move_aside",
    "empty_gradebook",
    "remove_withdrawn",
    "note",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_command_killed_at_any_step_is_run_again(
    lab: MiniLab, service: RunningService, archived: Path, step: str
) -> None:
    """A process that ends at once: no clause of it runs. Then somebody presses a button, and it is run again."""
    child = os.fork()
    if child == 0:
        real = getattr(begin, step)

        def killed(*given: object) -> None:
            real(*given)
            os._exit(9)

        setattr(begin, step, killed)
        begin_semester(lab.instance, lab.course, archived, AUTUMN)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    marker = read_marker(lab.instance)
    if marker is None:  # nothing was changed but the labs, which are out of sight until the next command
        assert attempts(service) == {"ada": 2, "bob": 1}
    else:
        note(lab.instance, "pressed a button meanwhile")
        with pytest.raises(BackupError, match="or another date was given"):
            begin_semester(lab.instance, lab.course, archived, AUTUMN + timedelta(weeks=1))
        with pytest.raises(ConfigurationError, match="a semester is half begun"):
            require_whole(lab.instance)
    begin_semester(lab.instance, lab.course, archived, AUTUMN)
    assert attempts(service) == {} and dated(lab.course, lab.instance).starts == AUTUMN
    assert service.client("ada").overview()["labs"] == [] and published(lab.instance, LAB) is None
    assert read_marker(lab.instance) is None and not lab.instance.receipts.exists()
    assert len(list(lab.instance.root.parent.glob("instance-until-*/receipts.jsonl"))) == 1


def test_what_arrives_after_the_proof_is_kept_and_named(
    lab: MiniLab, service: RunningService, archived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an upload that had begun, or a lab that somebody published again after a kill."""
    real = begin._forget_attempts

    def meanwhile(*given: object) -> int:
        hidden = destination(lab.instance, LAB).with_name(f".{LAB}.withdrawn")
        shutil.copytree(hidden, destination(lab.instance, LAB))
        hand_in(lab, service, "ada")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(begin, "_forget_attempts", meanwhile)
    done = begin_semester(lab.instance, lab.course, archived, AUTUMN)
    ((kept, who, number, _),) = done.kept
    assert (kept, who, number) == (LAB, "ada", 3) and attempts(service) == {"ada": 3}


def test_a_gradebook_outside_replaces_no_other(
    lab: MiniLab, service: RunningService, archived: Path, tmp_path: Path
) -> None:
    """An old one of the same name lies in the instance; and one more is made before the command is run again."""
    elsewhere = tmp_path / "elsewhere" / "gradebook.db"
    elsewhere.parent.mkdir()
    shutil.copy(lab.instance.gradebook, elsewhere)
    lab.instance.gradebook.write_bytes(b"of long ago")
    lab.instance.set("gradebook", f"sqlite:///{elsewhere}")
    done = begin_semester(lab.instance, lab.course, archived, AUTUMN)
    elsewhere.write_bytes(b"made by a page")
    emptied.empty_gradebook(lab.instance, done.aside)
    assert (done.aside / "gradebook.db").read_bytes() == b"of long ago"
    assert (done.aside / "gradebook.db.later").read_bytes().startswith(b"SQLite format 3")
    assert (done.aside / "gradebook.db.later.later").read_bytes() == b"made by a page"


def test_a_marker_that_is_damaged_and_a_folder_that_is_gone_are_named(
    lab: MiniLab, service: RunningService, archived: Path
) -> None:
    marker_file(lab.instance).write_text('{"archive": 1}')
    with pytest.raises(BackupError, match=r"semester\.json is damaged"):
        begin_semester(lab.instance, lab.course, archived, AUTUMN)
    _, digest = read_archive(archived)
    marker = {"archive": digest, "starts": AUTUMN.isoformat(), "aside": "instance-until-never"}
    marker_file(lab.instance).write_text(json.dumps(marker))
    with pytest.raises(BackupError, match="where the last semester goes, is gone"):
        begin_semester(lab.instance, lab.course, archived, AUTUMN)
    assert attempts(service) == {"ada": 2, "bob": 1}


def test_a_second_semester_follows_the_first(lab: MiniLab, service: RunningService, archived: Path) -> None:
    begin_semester(lab.instance, lab.course, archived, AUTUMN)
    create_gradebook(lab.instance)
    note(lab.instance, "taught")
    archive_semester(lab.instance, lab.course, archived.with_name("autumn"))
    later = AUTUMN + timedelta(weeks=26)
    begin_semester(lab.instance, lab.course, archived.with_name("autumn"), later, early=True)
    assert dated(lab.course, lab.instance).starts == later


def test_an_instance_that_cannot_be_moved_is_told_before_anything_is_deleted(
    lab: MiniLab, service: RunningService, archived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.lstat

    def lstat(self: Path) -> os.stat_result:
        """The verdicts lie on a disk of their own."""
        found = real(self)
        values = list(found[:10])
        if self.name == "verdicts":
            values[2] += 1
        return os.stat_result(values)

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(BackupError, match=r"verdicts is on another file system.*Nothing was changed"):
        begin_semester(lab.instance, lab.course, archived, AUTUMN)
    assert attempts(service) == {"ada": 2, "bob": 1} and destination(lab.instance, LAB).is_dir()
    assert list(lab.instance.root.parent.glob("instance-until-*")) == []


def test_the_commands_ask_before_they_delete(
    lab: MiniLab, service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autograder.commands.semester.load_course", lambda: lab.course)
    root = ["--instance", str(lab.instance.root)]
    target = tmp_path / "spring"
    done = CliRunner().invoke(semester, ["archive", str(target), *root], catch_exceptions=False)
    assert "2 students. It holds personal data" in " ".join(done.stderr.split())
    command = ["begin", "2027-09-06", "--archive", str(target), *root]
    asked = CliRunner().invoke(semester, command, input="n\n")
    assert asked.exit_code == 1 and attempts(service) == {"ada": 2, "bob": 1}
    done = CliRunner().invoke(semester, [*command, "--yes"], catch_exceptions=False)
    assert (
        "the attempts of 2 students were deleted" in " ".join(done.stderr.split()) and attempts(service) == {}
    )


@given(st.integers(1, 400))
def test_a_class_has_its_dates_by_whole_weeks(weeks: int) -> None:
    course = load_course()
    assert course.starts is not None

    class Dated:
        settings_file = Path("instance.toml")

        def setting(self, name: str, default: str) -> str:
            assert name == STARTS
            return (course.starts + timedelta(weeks=weeks)).isoformat()  # type: ignore[operator]

    moved: Course = dated(course, Dated())  # type: ignore[arg-type]
    for before, after in zip(course.labs, moved.labs, strict=True):
        assert after.due - before.due == timedelta(weeks=weeks)
        assert (after.due.time(), after.due.weekday()) == (before.due.time(), before.due.weekday())


def test_dates_that_are_none_are_named(lab: MiniLab) -> None:
    for text, what in (("next monday", "date"), ("2027-09-07", "Monday")):
        lab.instance.set(STARTS, text)
        with pytest.raises(ConfigurationError, match=rf"instance\.toml: starts = '{text}' is no {what}"):
            dated(lab.course, lab.instance)
