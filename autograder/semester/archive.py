"""The archive of a semester: a folder that can be read without the course, and a backup that brings it back.

ARCHIVE/
├── README.txt         what is in it
├── archive.json       what was there when it was begun; `semester begin` compares
├── grades.csv         what every lab counts in the end, of everybody in the class
├── statistics/        a page a lab
├── students/          a zip a student: every attempt, grades, feedback, requests, receipts
├── backup/            the instance and the gradebook, as `course backup` writes them
└── SHA256SUMS         of all of it; `sha256sum -c SHA256SUMS`
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from autograder.actions import note
from autograder.backup import PARTIAL, back_up
from autograder.bundle import read_bundle
from autograder.course import Course, Instance
from autograder.errors import BackupError
from autograder.files import to_disk
from autograder.grade.collect import STUDENT
from autograder.gradebook import open_gradebook
from autograder.manifest import sha256
from autograder.nbgrader_api import quiet
from autograder.report.export import as_csv, read_grades
from autograder.report.statistics import lab_statistics, read_verdicts
from autograder.report.statistics_page import page
from autograder.semester.standing import Standing, standing
from autograder.student_data import export_student

ABOUT, SUMS = "archive.json", "SHA256SUMS"
README = """The course {title}, as it was on {when}.

grades.csv    what every lab counted in the end, lateness taken off, of everybody in the class
statistics/   how hard each check of a lab was; open a page with a browser
students/     for each student a zip with every attempt, grades, feedback, requests and receipts
backup/       the instance and the gradebook; course restore backup/NAME --instance FOLDER brings them back
SHA256SUMS    sha256sum -c SHA256SUMS tells whether anything has changed since

Attempts that were never collected are in the zips alone. The file holds personal data and every grade: keep it as
safe as the course, and no longer than your rules allow.
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Archived:
    """What was written: how many zips, and who has none because no folder can have their name."""

    students: int
    without_zip: list[str]


def archive_semester(
    instance: Instance, course: Course, target: Path, say: Say = lambda text: None
) -> Archived:
    """Write the new folder `target`. `course` is the one that the class follows.

    An archive that failed leaves nothing behind, but for `target.partial` when it was killed, which the
    next one removes. Raises BackupError when the folder exists or cannot be written, IntakeError when the
    hand-in service does not answer, GradebookError.
    """
    if target.exists():
        raise BackupError(f"{target} exists already: an archive is never written over. Name another folder")
    if target.resolve().is_relative_to(instance.root.resolve()):
        raise BackupError(f"{target} lies in the instance itself, which the next semester empties")
    partial = target.with_name(target.name + PARTIAL)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        done = _write(instance, course, partial, say)
        sums = [f"{sha256(file)}  {file.relative_to(partial)}\n" for file in _files(partial)]
        (partial / SUMS).write_text("".join(sums), "utf-8")
        say("waiting for the disk")
        for path in (*partial.rglob("*"), partial):
            to_disk(path)
        partial.rename(target)
        to_disk(target.parent)
    except OSError as error:
        raise BackupError(f"the archive could not be written to {target}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


def _write(instance: Instance, course: Course, folder: Path, say: Say) -> Archived:
    note(instance, "archived the semester")
    # before anything is copied: what comes later is then newer than the archive, and `begin` finds it
    then = standing(instance, course)
    say("everything, as a backup")
    back_up(instance, folder / "backup", say=say)
    with open_gradebook(instance) as gradebook, quiet():
        known = {assignment.name for assignment in gradebook.assignments}
        graded = {student.id for student in gradebook.students}
    people = sorted(graded | {student for _, student, *_ in then.attempts})
    say("grades")
    grades = as_csv(*read_grades(instance, course, sorted(known)))
    (folder / "grades.csv").write_text(grades, "utf-8", newline="")
    (folder / "statistics").mkdir()
    for lab in sorted(known):
        verdicts = read_verdicts(instance, lab)
        if verdicts:
            say(f"statistics of {lab}")
            found = lab_statistics(read_bundle(instance.bundle(lab)), verdicts)
            (folder / "statistics" / f"{lab}.html").write_text(page(found), "utf-8")
    (folder / "students").mkdir()
    named = [student for student in people if STUDENT.fullmatch(student)]
    for number, student in enumerate(named, start=1):
        say(f"{student}, {number} of {len(named)}")
        export_student(instance, student, folder / "students" / f"{student}.zip")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    (folder / ABOUT).write_text(json.dumps({"when": now, **asdict(then)}, indent=1), "utf-8")
    (folder / "README.txt").write_text(README.format(title=course.title, when=now), "utf-8")
    return Archived(len(named), sorted(set(people) - set(named)))


def read_archive(folder: Path) -> tuple[Standing, str]:
    """How things stood when an archive was made, after every file in it was compared; and a hash of all of it.

    Raises BackupError for any difference.
    """
    try:
        sums = (folder / SUMS).read_text("utf-8")
        listed = {name: digest for digest, name in (line.split("  ", 1) for line in sums.splitlines())}
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        del about["when"]
        attempts = [(lab, student, number, row) for lab, student, number, row in about.pop("attempts")]
        then = Standing(**about, attempts=attempts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder} is no archive of a semester: course semester archive FOLDER") from error
    there = {str(file.relative_to(folder)): file for file in _files(folder)}
    wrong = sorted(set(there) ^ set(listed))
    wrong += [name for name, file in there.items() if name in listed and sha256(file) != listed[name]]
    if wrong:
        raise BackupError(f"{folder} has changed since it was written: {', '.join(wrong[:5])}. Archive again")
    return then, hashlib.sha256(sums.encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / SUMS]
