"""Begin a semester: prove that the last one is in its archive, then empty the class and give it new dates.

Nothing of the instance is deleted: it is moved aside, and a gradebook in PostgreSQL is stored there. Attempts in the
hand-in service are deleted; they are in the archive. Once the proof has held, a file in the instance says so, and a
command that was killed goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from handin.errors import HandInError

from autograder.actions import note
from autograder.build.outbound import put_right, remove_withdrawn, withdrawn
from autograder.build.released import releasing
from autograder.course import Course, Instance
from autograder.errors import BackupError, ConfigurationError
from autograder.files import write_whole
from autograder.gradebook import one_writer
from autograder.handin import ADDRESS, service, told
from autograder.schedule import STARTS, dated, week_begins
from autograder.semester.archive import read_archive
from autograder.semester.emptied import empty_gradebook, make_aside, move_aside, require_nobody_reads
from autograder.semester.standing import happened_since, standing
from autograder.service.release_clock import SETTING as CALENDAR

MARKER = "semester.json"
"""Says which archive was proved to hold everything, and where the old instance goes, while that is under way."""
STAYS = frozenset({"instance.toml", ADDRESS, "writer.lock", "release.lock", MARKER})
"""What belongs to the deployment and not to a semester."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Begun:
    """What was done: where the old instance lies now, how many students' attempts were deleted."""

    aside: Path
    forgotten: int


def begin_semester(
    instance: Instance,
    course: Course,
    archive: Path,
    starts: date,
    *,
    early: bool = False,
    say: Say = lambda text: None,
) -> Begun:
    """Empty the class for a semester that begins on the Monday `starts`, if `archive` holds all there is.

    `course` is that of course.toml; `early` allows it while a lab still takes hand-ins. Raises BackupError
    when the archive lacks something, ConfigurationError for a date that cannot be, GradebookError when
    somebody has the gradebook open; then nothing was changed. After the proof any error says to run the
    same command again.
    """
    say("comparing the archive")
    then, digest = read_archive(archive)
    labs = sorted({lab.id for lab in course.labs} | {file.stem for file in instance.bundles.glob("*.json")})
    with releasing(instance), one_writer(instance):
        aside = _under_way(instance, digest)
        if aside is None:
            now = dated(course, instance)
            _require_dates(now, starts, early=early)
            put_right(instance)
            with withdrawn(instance, labs):
                newer = happened_since(then, standing(instance, course))
                if newer:
                    raise BackupError(
                        f"{archive} lacks what happened since: {' and '.join(newer)}. Nothing was changed: archive "
                        "again into another folder, then begin"
                    )
                require_nobody_reads(instance)
                aside = make_aside(instance)
                write_whole(instance.root / MARKER, json.dumps({"archive": digest, "aside": str(aside)}))
        forgotten = _forget_attempts(instance, course, say)
        remove_withdrawn(instance, labs)
        say("moving the instance aside")
        move_aside(instance, aside, STAYS)
        empty_gradebook(instance, aside)
    instance.set(STARTS, starts.isoformat())
    if instance.setting(CALENDAR, "off") != "off":
        instance.set(CALENDAR, "off")
    (instance.root / MARKER).unlink()
    note(instance, f"began the semester of {starts}")
    return Begun(aside, forgotten)


def _under_way(instance: Instance, digest: str) -> Path | None:
    """Where the old instance goes, if a command that was killed had proved this archive; None if there was none."""
    file = instance.root / MARKER
    if not file.is_file():
        return None
    known = json.loads(file.read_text("utf-8"))
    if known["archive"] != digest:
        raise BackupError(
            f"{file} says that another archive was compared and the class is half emptied: name that one"
        )
    return Path(known["aside"])


def _require_dates(course: Course, starts: date, *, early: bool) -> None:
    """Raise ConfigurationError when a semester cannot begin then, or a lab of this one still takes hand-ins."""
    if starts.weekday() != 0:
        raise ConfigurationError(f"{starts} is a {starts:%A}; week 1 begins on a Monday")
    before = week_begins(course, 1).date()
    if starts <= before:
        raise ConfigurationError(f"{starts} is not after {before}, when this semester began")
    late = timedelta(days=course.late.closes_after or 0)
    opened = [lab.id for lab in course.labs if course.due(lab) + late > datetime.now(UTC)]
    if opened and not early:
        raise ConfigurationError(
            f"{opened[-1]} still takes hand-ins, and {len(opened) - 1} more: wait until they have closed (course "
            "deadlines), or add --early"
        )


def _forget_attempts(instance: Instance, course: Course, say: Say) -> int:
    students = sorted({student for _, student, _ in standing(instance, course).attempts})
    for number, student in enumerate(students, start=1):
        say(f"deleting the attempts of {student}, {number} of {len(students)}")
        try:
            service(instance).forget(student)
        except HandInError as error:
            raise told(
                error, f"the attempts of {student} were not deleted; run the same command again"
            ) from error
    return len(students)
