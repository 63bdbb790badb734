"""`course export`"""

from __future__ import annotations

from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.commands.screen import console
from autograder.course import load_course
from autograder.errors import ConfigurationError
from autograder.files import write_private
from autograder.report.export import Export, as_csv, for_canvas, for_moodle, read_grades, read_roster
from autograder.schedule import followed


@click.command()
@click.argument("labs", nargs=-1, required=True, metavar="LAB...")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "canvas", "moodle"]), default="csv", show_default=True
)
@click.option(
    "--roster",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The LMS's own export, on which the file is made: Canvas's gradebook, Moodle's participants.",
)
@click.option("--section", default="", help="The students of this section only.")
@click.option("--match", default="", metavar="COLUMN", help="The roster's column with the account names.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="File; standard output without.",
)
@INSTANCE
def export(
    labs: tuple[str, ...],
    kind: str,
    roster: Path | None,
    section: str,
    match: str,
    output: Path | None,
    root: Path | None,
) -> None:
    """Write the grades of one LAB or several as a file for a spreadsheet, Canvas or Moodle."""
    target = chosen_instance(root)
    course = followed(load_course(), target)
    students, maxima = read_grades(target, course, [known_lab(target, lab) for lab in labs], section)
    if kind == "csv":
        done = Export(as_csv(students, maxima))
    elif roster is None:
        raise ConfigurationError(f"--format {kind} needs --roster FILE, an export of the LMS itself")
    else:
        make = for_canvas if kind == "canvas" else for_moodle
        done = make(read_roster(roster), students, maxima, match)
    if output is None:
        click.echo(done.text, nl=False)
    else:
        write_private(output, done.text)
    for what, names in (("not on the roster", done.only_here), ("without a grade", done.only_there)):
        if names:
            console.print(f"{len(names)} {what}: {', '.join(names)}", markup=False)
