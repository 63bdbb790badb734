"""The archive of a semester: a folder that can be read without the course, and a backup that brings it back.

ARCHIVE/
├── README.txt         what is in it
├── archive.json       what was there when it was made; `begin` compares
├── grades.csv         what every lab counts in the end, of everybody in the class
├── statistics/        a page a lab
├── students/          a zip a student: hand-ins, grades, feedback, receipts
├── backup/            as `course backup` writes it
└── SHA256SUMS         of all of it; `sha256sum -c SHA256SUMS`
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from handin.errors import HandInError

from autograder.actions import journal, note
from autograder.backup import PARTIAL, back_up
from autograder.bundle import read_bundle
from autograder.chain import FIRST, Chain
from autograder.course import Course, Instance
from autograder.errors import BackupError
from autograder.grade.receipts import Receipts
from autograder.gradebook import open_gradebook
from autograder.handin import has_service, service, told
from autograder.manifest import sha256
from autograder.nbgrader_api import quiet
from autograder.report.export import as_csv, read_grades
from autograder.report.statistics import lab_statistics, read_verdicts
from autograder.report.statistics_page import page
from autograder.student_data import export_student

ABOUT, SUMS = "archive.json", "SHA256SUMS"
README = """The course {title}, as it was on {when}.

grades.csv    what every lab counted in the end, lateness taken off, of everybody in the class
statistics/   how hard each check of a lab was; open a page with a browser
students/     for each student a zip with hand-ins, grades, feedback and receipts
backup/       everything, to be brought back with: course restore backup/NAME --instance FOLDER
SHA256SUMS    sha256sum -c SHA256SUMS tells whether anything has changed since

It holds personal data and every grade. Keep it as safe as the course, and no longer than your rules allow.
"""
Say = Callable[[str], None]
Attempts = list[tuple[str, str, int]]
"""Lab, student and number of the newest attempt of each student."""


@dataclass(frozen=True)
class About:
    """What was there when an archive was made: hashes of the last receipt and the last action, newest attempts."""

    when: str
    students: int
    receipts_head: str
    actions_head: str
    attempts: Attempts


def archive_semester(instance: Instance, course: Course, target: Path, say: Say = lambda text: None) -> About:
    """Write the new folder `target`. An archive that failed leaves nothing behind, but for `target.partial`
    when it was killed, which the next one removes.

    Raises BackupError when the folder exists or cannot be written, IntakeError when the hand-in service
    does not answer, GradebookError.
    """
    if target.exists():
        raise BackupError(f"{target} exists already: an archive is never written over. Name another folder")
    if target.resolve().is_relative_to(instance.root.resolve()):
        raise BackupError(f"{target} lies in the instance itself, which the next semester empties")
    partial = target.with_name(target.name + PARTIAL)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        about = _write(instance, course, partial, say)
        sums = [f"{sha256(file)}  {file.relative_to(partial)}\n" for file in _files(partial)]
        (partial / SUMS).write_text("".join(sums), "utf-8")
        partial.rename(target)
    except OSError as error:
        raise BackupError(f"the archive could not be written to {target}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return about


def _write(instance: Instance, course: Course, folder: Path, say: Say) -> About:
    # first, so that the journal in the archive ends with it
    note(instance, "archived the semester")
    say("everything, as a backup")
    back_up(instance, folder / "backup", say=say)
    with open_gradebook(instance) as gradebook, quiet():
        students = sorted(student.id for student in gradebook.students)
        known = {assignment.name for assignment in gradebook.assignments}
    attempts = newest_attempts(instance, course)
    students = sorted({*students, *(student for _, student, _ in attempts)})
    say("grades")
    labs = [lab.id for lab in course.labs if lab.id in known]
    (folder / "grades.csv").write_text(as_csv(*read_grades(instance, course, labs)), "utf-8", newline="")
    (folder / "statistics").mkdir()
    for lab in labs:
        verdicts = read_verdicts(instance, lab)
        if verdicts:
            say(f"statistics of {lab}")
            found = lab_statistics(read_bundle(instance.bundle(lab)), verdicts)
            (folder / "statistics" / f"{lab}.html").write_text(page(found), "utf-8")
    (folder / "students").mkdir()
    for number, student in enumerate(students, start=1):
        say(f"{student}, {number} of {len(students)}")
        export_student(instance, student, folder / "students" / f"{student}.zip")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = About(now, len(students), head(Receipts(instance.receipts)), head(journal(instance)), attempts)
    (folder / ABOUT).write_text(json.dumps(asdict(about), indent=1), "utf-8")
    (folder / "README.txt").write_text(README.format(title=course.title, when=now), "utf-8")
    return about


def read_archive(folder: Path) -> About:
    """What an archive says of itself, after every file in it was compared. Raises BackupError for any difference."""
    try:
        listed = dict(
            (name, digest)
            for digest, name in (
                line.split("  ", 1) for line in (folder / SUMS).read_text("utf-8").splitlines()
            )
        )
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        attempts = [(lab, student, number) for lab, student, number in about.pop("attempts")]
        found = About(**about, attempts=attempts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder} is no archive of a semester: course semester archive FOLDER") from error
    there = {str(file.relative_to(folder)): file for file in _files(folder)}
    wrong = sorted(set(there) ^ set(listed))
    wrong += [name for name, file in there.items() if name in listed and sha256(file) != listed[name]]
    if wrong:
        raise BackupError(f"{folder} has changed since it was written: {', '.join(wrong[:5])}. Archive again")
    return found


def newest_attempts(instance: Instance, course: Course) -> Attempts:
    """The newest attempt of everybody in the hand-in service; none without one. Raises IntakeError."""
    if not has_service(instance):
        return []
    client = service(instance)
    try:
        return [
            (lab.id, str(one["student"]), int(one["number"]))
            for lab in course.labs
            for one in client.newest(lab.id)
        ]
    except HandInError as error:
        raise told(error, "the hand-in service could not be asked what it holds") from error


def head(chain: Chain) -> str:
    """The hash of the last line of a chain. Raises ReceiptError for a broken one."""
    last = FIRST
    for line in chain.read():
        last = line["hash"]
    return last


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / SUMS]
