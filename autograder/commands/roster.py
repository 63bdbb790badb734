"""`course roster`: import a list, sections, who has left"""

from __future__ import annotations

import re
from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import load_course
from autograder.enrolment import assign_sections, come_back, those_who_left
from autograder.enrolment import leave as leave_class
from autograder.errors import ConfigurationError
from autograder.report.export import read_roster
from autograder.roster import COLUMNS, import_people, read_people

HUB_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
"""As the Hub's settings want it."""
MANY = 0.25
"""Share of a class above which somebody is asked before it leaves."""


@click.group()
def roster() -> None:
    """The list of students."""


@roster.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format",
    "kind",
    type=click.Choice(sorted(COLUMNS)),
    default="csv",
    show_default=True,
    help="csv has the columns student, last name, first name, email, as course export writes them.",
)
@click.option("--match", default="", metavar="COLUMN", help="The column with the account names.")
@click.option(
    "--hub",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also write the lines `name,student` that people.roster of the Hub's settings names.",
)
@click.option("--section", default="", metavar="COLUMN", help="The column with each student's section.")
@click.option("--leave", is_flag=True, help="Note that whoever is not on the roster has left the class.")
@click.option("--dry-run", is_flag=True, help="Show what would change and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask when many would leave.")
@INSTANCE
def import_roster(
    file: Path,
    kind: str,
    match: str,
    section: str,
    leave: bool,
    hub: Path | None,
    dry_run: bool,
    yes: bool,
    root: Path | None,
) -> None:
    """Take the students of FILE, an export of the LMS, into the gradebook. Nobody is removed.

    Sections come from Canvas's column Section, Moodle's Groups, or the one that --section names.
    """
    target = chosen_instance(root)
    people = read_people(read_roster(file), kind, match, section)
    odd = [person.id for person in people if HUB_NAME.fullmatch(person.id) is None]
    if hub is not None and odd:
        raise ConfigurationError(
            f"{', '.join(odd[:5])} cannot be accounts of the Hub's machine: a name has small letters, digits, _ and -, "
            "and begins with a letter. Name another column: --match COLUMN"
        )
    planned = import_people(target, people, dry_run=True)
    left = those_who_left(target)
    gone = [name for name in planned.only_here if name not in left] if leave else []
    back = [person.id for person in people if person.id in left] if leave else []
    if len(gone) > MANY * (len(gone) + len(people)) and not dry_run and not yes:
        click.confirm(f"{len(gone)} would leave the class: {', '.join(gone)}. Is that meant", abort=True)
    changes = planned if dry_run else import_people(target, people)
    would = "would have " if dry_run else "have "
    for what, names in (
        ("would be added" if dry_run else "added", changes.added),
        ("would be corrected" if dry_run else "corrected", changes.changed),
        ("in the gradebook and not on the roster; left as they are", [] if leave else changes.only_here),
        (f"{would}left the class", gone),
        (f"{would}come back", back),
    ):
        if names:
            console.print(f"{len(names)} {what}: {', '.join(names)}", markup=False)
    if not changes.added and not changes.changed:
        console.print(f"the gradebook has all {len(people)} students of the roster already")
    if not dry_run:
        for name in gone:
            leave_class(target, name, load_course().today())
        for name in back:
            come_back(target, name)
        moved = assign_sections(target, {person.id: person.section for person in people if person.section})
        if moved:
            console.print(f"{moved} students are in another section than before")
    if hub is not None and not dry_run:
        hub.write_text("name,role\n" + "".join(f"{person.id},student\n" for person in people), "utf-8")
        console.print(f"{hub}: {len(people)} students for the Hub", markup=False)


@roster.command()
@click.argument("name")
@click.argument("students", nargs=-1, required=True)
@INSTANCE
def section(name: str, students: tuple[str, ...], root: Path | None) -> None:
    """Put STUDENTS into the section NAME; "" takes them out of theirs."""
    changed = assign_sections(chosen_instance(root), dict.fromkeys(students, name))
    console.print(f"{changed} of {len(students)} are in another section than before")


@roster.command()
@click.argument("students", nargs=-1, required=True)
@click.option("--back", is_flag=True, help="They are back.")
@INSTANCE
def leave(students: tuple[str, ...], back: bool, root: Path | None) -> None:
    """Note that STUDENTS have left the class. They count in no statistics and no export; nothing is deleted.

    The Hub's own list says who may log in: take them off there too.
    """
    target = chosen_instance(root)
    for student in students:
        new = come_back(target, student) if back else leave_class(target, student, load_course().today())
        what = "is back" if back else "has left the class"
        console.print(f"{student} {what}{'' if new else ' already'}", markup=False)
