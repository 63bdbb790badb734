"""Begin a semester: prove that the last one is in its archive, then empty the class and give it new dates.

Nothing of the instance is deleted: it is moved aside, and a gradebook that lies elsewhere is stored there. Attempts in
the hand-in service are deleted up to the last one in the archive. Once the proof has held, a file in the instance says
so, and a command that was killed goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from handin.errors import HandInError

from autograder.actions import note
from autograder.build.outbound import put_right, remove_withdrawn, withdrawn
from autograder.build.released import releasing
from autograder.course import Course, Instance
from autograder.errors import BackupError, ConfigurationError
from autograder.extensions import read_extensions
from autograder.files import write_whole
from autograder.gradebook import one_writer
from autograder.handin import ADDRESS, service, told
from autograder.schedule import STARTS, followed, week_begins
from autograder.semester.archive import read_archive
from autograder.semester.emptied import empty_gradebook, make_aside, move_aside, require_nobody_works
from autograder.semester.half_begun import MARKER, Marker, marker_file, read_marker
from autograder.semester.standing import Attempts, Standing, happened_since, labs_of, standing
from autograder.service.release_clock import SETTING as CALENDAR

STAYS = frozenset({"instance.toml", ADDRESS, "writer.lock", "release.lock", MARKER})
"""What belongs to the deployment and not to a semester."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Begun:
    """What was done: where the old instance lies now, how many students' attempts were deleted, and attempts that
    arrived after the proof, which are kept."""

    aside: Path
    forgotten: int
    kept: Attempts


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
    if starts.weekday() != 0:
        raise ConfigurationError(f"{starts} is a {starts:%A}; week 1 begins on a Monday")
    say("comparing the archive")
    then, digest = read_archive(archive)
    with releasing(instance), one_writer(instance):
        marker = read_marker(instance)
        labs = labs_of(instance, course)
        if marker is None:
            put_right(instance)
            _require_dates(instance, course, starts, early=early)
            with withdrawn(instance, labs):
                _require_archived(instance, course, archive, then)
                require_nobody_works(instance)
                marker = Marker(digest, starts.isoformat(), make_aside(instance).name)
                write_whole(marker_file(instance), json.dumps(asdict(marker)))
        elif (marker.archive, marker.starts) != (digest, starts.isoformat()):
            raise BackupError(
                f"{marker_file(instance)} says that another archive was compared, or another date was given "
                f"({marker.starts}), and the class is half emptied: name those"
            )
        aside = instance.root.with_name(marker.aside)
        if not aside.is_dir():
            raise BackupError(f"{aside}, where the last semester goes, is gone: put it back, or make it anew")
        with withdrawn(instance, labs):
            forgotten = _forget_attempts(instance, then, say)
            say("moving the instance aside")
            move_aside(instance, aside, STAYS)
            empty_gradebook(instance, aside)
        remove_withdrawn(instance, labs)
        kept = standing(instance, course).attempts
        instance.set(STARTS, starts.isoformat())
        if instance.setting(CALENDAR, "off") != "off":
            instance.set(CALENDAR, "off")
        note(instance, f"began the semester of {starts}")
        marker_file(instance).unlink()
    return Begun(aside, forgotten, kept)


def _require_archived(instance: Instance, course: Course, archive: Path, then: Standing) -> None:
    newer = happened_since(then, standing(instance, course))
    if newer:
        raise BackupError(
            f"{archive} lacks what happened since: {' and '.join(newer)}. Nothing was changed: archive "
            "again into another folder, then begin"
        )


def _require_dates(instance: Instance, course: Course, starts: date, *, early: bool) -> None:
    """Raise ConfigurationError when a semester cannot begin then, or a lab of this one still takes hand-ins."""
    now = followed(course, instance)
    before = week_begins(now, 1).date()
    if starts <= before:
        raise ConfigurationError(f"{starts} is not after {before}, when this semester began")
    extensions = read_extensions(instance)
    opened = []
    for lab in now.labs:
        last = max([now.due(lab), *extensions.get(lab.id, {}).values()])
        if now.late.closes_after is None or last + timedelta(days=now.late.closes_after) > datetime.now(UTC):
            opened.append(lab.id)
    if opened and not early:
        others = f" and {len(opened) - 1} more" if len(opened) > 1 else ""
        raise ConfigurationError(
            f"{opened[-1]} still takes hand-ins{others}: wait until they have closed (course deadlines), or add --early"
        )


def _forget_attempts(instance: Instance, then: Standing, say: Say) -> int:
    """Delete what is in the archive, and nothing that arrived after it."""
    last: dict[str, int] = {}
    for _, student, _, row in then.attempts:
        last[student] = max(row, last.get(student, 0))
    for number, (student, row) in enumerate(sorted(last.items()), start=1):
        say(f"deleting the attempts of {student}, {number} of {len(last)}")
        try:
            service(instance).forget(student, row)
        except HandInError as error:
            raise told(
                error, f"the attempts of {student} were not deleted; run the same command again"
            ) from error
    return len(last)
