"""`course roster import`"""

from __future__ import annotations

import re
from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.errors import ConfigurationError
from autograder.report.export import read_roster
from autograder.roster import COLUMNS, import_people, read_people

HUB_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
"""As the Hub's settings want it."""


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
@click.option("--dry-run", is_flag=True, help="Show what would change and change nothing.")
@INSTANCE
def import_roster(
    file: Path, kind: str, match: str, hub: Path | None, dry_run: bool, root: Path | None
) -> None:
    """Take the students of FILE, an export of the LMS, into the gradebook. Nobody is removed."""
    target = chosen_instance(root)
    people = read_people(read_roster(file), kind, match)
    odd = [person.id for person in people if HUB_NAME.fullmatch(person.id) is None]
    if hub is not None and odd:
        raise ConfigurationError(
            f"{', '.join(odd[:5])} cannot be accounts of the Hub's machine: a name has small letters, digits, _ and -, "
            "and begins with a letter. Name another column: --match COLUMN"
        )
    changes = import_people(target, people, dry_run=dry_run)
    for what, names in (
        ("would be added" if dry_run else "added", changes.added),
        ("would be corrected" if dry_run else "corrected", changes.changed),
        ("in the gradebook and not on the roster; left as they are", changes.only_here),
    ):
        if names:
            console.print(f"{len(names)} {what}: {', '.join(names)}", markup=False)
    if not changes.added and not changes.changed:
        console.print(f"the gradebook has all {len(people)} students of the roster already")
    if hub is not None and not dry_run:
        hub.write_text("name,role\n" + "".join(f"{person.id},student\n" for person in people), "utf-8")
        console.print(f"{hub}: {len(people)} students for the Hub", markup=False)
