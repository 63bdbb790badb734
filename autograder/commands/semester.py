"""`course semester archive` and `course semester begin`"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import ROOT, load_course
from autograder.schedule import followed
from autograder.semester.archive import archive_semester
from autograder.semester.begin import begin_semester

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def semester() -> None:
    """The end of a semester, and the beginning of the next."""


@semester.command()
@click.argument("folder", type=FOLDER)
@INSTANCE
def archive(folder: Path, root: Path | None) -> None:
    """Write everything of this semester into FOLDER, which is new: grades, a zip a student, a backup."""
    target = chosen_instance(root)
    with console.status("archiving") as status:
        about = archive_semester(target, followed(load_course(), target), folder.resolve(), status.update)
    console.print(
        f"{folder}: {about.students} students. It holds personal data and every grade: keep it as safe as the course",
        markup=False,
    )


@semester.command()
@click.argument("starts", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--archive", "folder", type=FOLDER, required=True, help="The archive of the last semester.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@INSTANCE
def begin(starts: datetime, folder: Path, yes: bool, root: Path | None) -> None:
    """Empty the class for a semester whose week 1 begins on the Monday STARTS, and move all dates.

    Refused unless the archive holds everything. Wait until every lab has closed; the Hub runs, and is started again
    afterwards.
    """
    target = chosen_instance(root)
    if not yes:
        click.confirm("Delete every attempt in the hand-in service and empty the class?", abort=True)
    with console.status("beginning") as status:
        done = begin_semester(target, ROOT / "course.toml", folder.resolve(), starts.date(), status.update)
    for line in (
        f"the last semester lies in {done.aside}; remove it when you no longer need it",
        f"the attempts of {done.forgotten} students were deleted from the hand-in service",
        f"course.toml: week 1 begins on {starts:%Y-%m-%d}, every lab is due as many weeks later",
        "next: take last semester's students off the Hub's list, restart the Hub, then course build, course calendar",
    ):
        console.print(line, markup=False)
