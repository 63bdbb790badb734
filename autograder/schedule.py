"""When a lab opens and when it is due: course.toml's weeks as times, for the whole course or on a learning path.

Dates are local to the course's time zone, so a lab opens at eight in the morning before and after the clocks
change; comparisons are between instants.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from autograder.course import Course, Instance, Lab
from autograder.errors import ConfigurationError

WEEK_ENDS = time(23, 59)
"""Local time on Sunday at which the labs of a week are due."""
SETTING = "path"
"""The setting of instance.toml that names the path a class follows."""
STARTS = "starts"
"""The setting of instance.toml that says when week 1 begins for a class, where that is not what course.toml says."""


@dataclass(frozen=True)
class Opening:
    """One lab of a schedule; both times have the course's time zone."""

    lab: Lab
    opens: datetime
    due: datetime


def on_path(course: Course, name: str) -> Course:
    """The course with the labs of one learning path, in its order, with its weeks and due dates.

    Raises ConfigurationError when course.toml has no such path, or no `starts`.
    """
    found = [path for path in course.paths if path.id == name]
    if not found:
        known = ", ".join(path.id for path in course.paths) or "none"
        raise ConfigurationError(f"course.toml has no learning path {name!r}; there are: {known}")
    labs = [
        replace(course.lab(lab), week=week, due=week_ends(course, week))
        for week, names in enumerate(found[0].weeks, start=1)
        for lab in names
    ]
    return replace(course, labs=tuple(labs))


def week_begins(course: Course, week: int) -> datetime:
    """The local time, without a zone, at which the labs of a week open. Raises ConfigurationError without `starts`."""
    if course.starts is None:
        raise ConfigurationError("course.toml has no `starts`, the Monday of week 1, so it has no schedule")
    if course.starts.weekday() != 0:
        raise ConfigurationError(f"course.toml: starts = {course.starts} is no Monday")
    return datetime.combine(course.starts + timedelta(weeks=week - 1), course.opens_at)


def week_ends(course: Course, week: int) -> datetime:
    """The local time, without a zone, at which the labs of a week are due."""
    return datetime.combine(week_begins(course, week + 1).date() - timedelta(days=1), WEEK_ENDS)


def schedule(course: Course) -> list[Opening]:
    """Every lab of the course with its times, by the time it opens."""
    openings = [
        Opening(
            lab,
            week_begins(course, lab.week).replace(tzinfo=course.time_zone),
            course.due(lab),
        )
        for lab in course.labs
    ]
    return sorted(openings, key=lambda opening: opening.opens)


def opened(course: Course, moment: datetime) -> list[Lab]:
    """The labs that are open at a moment, which has a time zone."""
    return [opening.lab for opening in schedule(course) if opening.opens <= moment]


def moment_of(text: str, course: Course) -> datetime:
    """`now`, or an ISO date or time; without a zone it is local to the course, a date means its beginning.

    Raises ConfigurationError.
    """
    if text == "now":
        return datetime.now(course.time_zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--as-of {text}: not a date such as 2027-03-08, nor `now`") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=course.time_zone)


def dated(course: Course, instance: Instance) -> Course:
    """The course with the dates of the class: where its instance.toml says when week 1 begins, all are moved as far.

    Deadlines are local times, so they keep their day of the week and their hour. Raises ConfigurationError.
    """
    text = instance.setting(STARTS, "")
    if not text:
        return course
    try:
        starts = date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{instance.settings_file}: {STARTS} = {text!r} is no date") from error
    if starts.weekday() != 0:
        raise ConfigurationError(f"{instance.settings_file}: {STARTS} = {text!r} is no Monday")
    weeks = starts - week_begins(course, 1).date()
    labs = tuple(replace(lab, due=lab.due + weeks) for lab in course.labs)
    return replace(course, starts=starts, labs=labs)


def followed(course: Course, instance: Instance) -> Course:
    """The course as the class of an instance takes it: with its dates, on the path that it follows, or whole."""
    name = instance.setting(SETTING, "")
    course = dated(course, instance)
    return on_path(course, name) if name else course


def follow(instance: Instance, name: str) -> bool:
    """Note in instance.toml that this class follows a path; return whether that is new.

    Raises ConfigurationError when it follows another.
    """
    current = instance.setting(SETTING, "")
    if current and current != name:
        raise ConfigurationError(
            f"{instance.settings_file}: this class follows the path {current!r}, not {name!r}. Due dates that "
            "students have seen would change; edit the file if that is meant"
        )
    if not current:
        instance.set(SETTING, name)
    return not current
