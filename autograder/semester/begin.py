"""Begin a semester: prove that the last one is in its archive, empty the class, move the dates.

Nothing of the instance is deleted: it is moved aside. Attempts in the hand-in service are deleted, because they belong
to people who have left; they are in the archive. Every step can be repeated, so a killed command is run again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from handin.errors import HandInError
from nbgrader.api import Base
from sqlalchemy.engine import make_url

from autograder.actions import journal, note
from autograder.build.outbound import destination
from autograder.build.released import releasing
from autograder.chain import FIRST
from autograder.course import Course, Instance, Lab, load_course
from autograder.database import connect, sqlite_file
from autograder.errors import BackupError
from autograder.files import write_whole
from autograder.grade.receipts import Receipts
from autograder.gradebook import one_writer
from autograder.handin import ADDRESS, service, told
from autograder.semester.archive import About, head, newest_attempts, read_archive
from autograder.semester.dates import moved
from autograder.service.release_clock import SETTING as CALENDAR

STAYS = ("instance.toml", ADDRESS, "writer.lock", "release.lock")
"""What belongs to the deployment and not to a semester."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Begun:
    """What was done: where the old instance lies now, how many students' attempts were deleted."""

    aside: Path
    forgotten: int


def begin_semester(
    instance: Instance, course_file: Path, archive: Path, starts: date, say: Say = lambda text: None
) -> Begun:
    """Empty the class and move the dates of `course_file`, if `archive` holds all there is.

    Raises BackupError when it does not, ConfigurationError for a date that cannot be, IntakeError when the
    hand-in service does not answer; then nothing was changed.
    """
    say("comparing the archive")
    about = read_archive(archive)
    course = load_course(course_file)
    text = moved(course_file.read_text("utf-8"), starts)
    require_archived(instance, course, about, archive)
    with releasing(instance), one_writer(instance):
        say("withdrawing the labs")
        with _withdrawn(instance, course):
            # again, because until now somebody could hand in
            require_archived(instance, course, about, archive)
            forgotten = _forget_attempts(instance, course, say)
        say("moving the instance aside")
        aside = _move_aside(instance)
        if instance.setting(CALENDAR, "off") != "off":
            instance.set(CALENDAR, "off")
    write_whole(course_file, text)
    note(instance, f"began the semester of {starts}")
    return Begun(aside, forgotten)


def require_archived(instance: Instance, course: Course, about: About, archive: Path) -> None:
    """Raise BackupError when something happened since the archive was made, and say what.

    An instance without receipts and actions was emptied by a command that was killed; there is nothing to lose.
    """
    newer = []
    now = newest_attempts(instance, course)
    later = sorted({(lab, student) for lab, student, _ in set(now) - set(about.attempts)})
    if later:
        newer.append(f"{len(later)} hand-ins ({', '.join(f'{who}, {lab}' for lab, who in later[:3])})")
    heads = {"grades": head(Receipts(instance.receipts)), "actions of the staff": head(journal(instance))}
    kept = (about.receipts_head, about.actions_head)
    newer += [what for (what, now), then in zip(heads.items(), kept, strict=True) if now not in (then, FIRST)]
    if newer:
        raise BackupError(
            f"{archive} lacks what happened since: {' and '.join(newer)}. Nothing was changed: archive again into "
            "another folder, then begin"
        )


@contextlib.contextmanager
def _withdrawn(instance: Instance, course: Course) -> Iterator[None]:
    """Take the labs from where students fetch them, so that the service refuses hand-ins; put them back on an error."""
    places = {destination(instance, lab.id): _hidden(instance, lab) for lab in course.labs}
    for place, hidden in places.items():
        if place.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
            place.rename(hidden)
    try:
        yield
    except BaseException:
        for place, hidden in places.items():
            if hidden.is_dir() and not place.exists():
                hidden.rename(place)
        raise
    for hidden in places.values():
        shutil.rmtree(hidden, ignore_errors=True)


def _hidden(instance: Instance, lab: Lab) -> Path:
    """A name that the service takes for a release under way."""
    place = destination(instance, lab.id)
    return place.with_name(f".{place.name}.withdrawn")


def _forget_attempts(instance: Instance, course: Course, say: Say) -> int:
    students = sorted({student for _, student, _ in newest_attempts(instance, course)})
    for number, student in enumerate(students, start=1):
        say(f"deleting the attempts of {student}, {number} of {len(students)}")
        try:
            service(instance).forget(student)
        except HandInError as error:
            raise told(
                error, f"the attempts of {student} were not deleted; run the same command again"
            ) from error
    return len(students)


def _move_aside(instance: Instance) -> Path:
    """Everything of the last semester into a folder beside the instance; empty the gradebook."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
    aside = instance.root.with_name(f"{instance.root.name}-until-{stamp}")
    url = make_url(instance.gradebook_url)
    file = sqlite_file(url)
    aside.mkdir(mode=0o700)
    try:
        for path in sorted(instance.root.iterdir()):
            if path.name not in STAYS:
                path.rename(aside / path.name)
        if file is None:
            with connect(url) as database:
                Base.metadata.drop_all(database)
                database.commit()
        elif file.exists():  # named by instance.toml, elsewhere
            for part in (file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))):
                if part.exists():
                    shutil.move(part, aside / part.name)
    except OSError as error:
        raise BackupError(
            f"{instance.root} could not be moved to {aside}: {error}. Run the same command again"
        ) from error
    return aside
