"""`course deadlines` and `course extend`"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from pathlib import Path

import click
from rich.table import Table

from autograder.actions import note
from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import Course, Instance, load_course
from autograder.enrolment import unknown
from autograder.errors import BusyError, ConfigurationError, GradebookError, IntakeError
from autograder.extensions import give_extension, read_extensions, tell_deadlines
from autograder.gradebook import gradebook_exists
from autograder.schedule import WEEK_ENDS, followed


@click.command()
@click.option(
    "--wait", type=click.IntRange(min=0), default=0, help="Seconds to wait for a service that is starting."
)
@INSTANCE
def deadlines(wait: int, root: Path | None) -> None:
    """Show when each lab is due and who has more time, and tell the hand-in service."""
    target = chosen_instance(root)
    course = followed(load_course(), target)
    extensions = read_extensions(target)
    table = Table("lab", "due", "extended for")
    for lab in course.labs:
        given = [f"{name} until {until:%Y-%m-%d %H:%M}" for name, until in extensions.get(lab.id, {}).items()]
        table.add_row(lab.id, f"{course.due(lab):%Y-%m-%d %H:%M} {course.time_zone}", ", ".join(given))
    console.print(table)
    end = time.monotonic() + wait
    while True:
        try:
            told = tell_deadlines(target, course)
            break
        except (IntakeError, BusyError):
            if time.monotonic() >= end:
                raise
            time.sleep(1)
    console.print(
        f"the hand-in service knows {told} of them" if told else "there is no hand-in service here to tell"
    )


@click.command()
@click.argument("lab")
@click.argument("student")
@click.option(
    "--until", default=None, metavar="WHEN", help="Local date or time: 2027-03-10 or 2027-03-10T18:00."
)
@click.option("--days", type=click.IntRange(min=1), default=None, help="Days after the lab's own deadline.")
@click.option("--take-back", is_flag=True, help="Remove the student's extension.")
@INSTANCE
def extend(
    lab: str, student: str, until: str | None, days: int | None, take_back: bool, root: Path | None
) -> None:
    """Give STUDENT more time for LAB. A new extension replaces the earlier one."""
    if sum((until is not None, days is not None, take_back)) != 1:
        raise ConfigurationError("give one of --until WHEN, --days N and --take-back")
    target = chosen_instance(root)
    course = followed(load_course(), target)
    chosen = course.lab(lab)
    when: datetime | None = None
    if until is not None:
        when = _end_of(until, course)
    elif days is not None:
        when = course.due(chosen) + timedelta(days=days)
    give_extension(target, course, chosen, student, when)
    note(
        target,
        f"extended until {when.isoformat()}" if when else "took an extension back",
        lab=chosen.id,
        student=student,
    )
    end = (
        f"may hand in {chosen.id} until {when:%Y-%m-%d %H:%M}"
        if when
        else f"has no extension for {chosen.id}"
    )
    click.echo(f"{student} {end}")
    if when and (stranger := _stranger(target, student)):
        console.print(
            f"{stranger}. The extension is kept for exactly that name; with a misspelt one take it back: "
            f"course extend {lab} {student} --take-back",
            markup=False,
        )
    if not tell_deadlines(target, course):
        console.print("there is no hand-in service here to tell; grades will count it")


def _stranger(target: Instance, student: str) -> str:
    """Say when the gradebook does not know a student; an extension is given also where it cannot be read."""
    try:
        return unknown(target, student) if gradebook_exists(target) else ""
    except GradebookError:
        return ""


def _end_of(text: str, course: Course) -> datetime:
    """A local time; a date alone means the end of that day. Raises ConfigurationError."""
    try:
        if len(text) == len("2027-03-10"):
            return datetime.combine(date.fromisoformat(text), WEEK_ENDS, course.time_zone)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--until {text}: not a date such as 2027-03-10, nor a time such as 2027-03-10T18:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=course.time_zone)
