"""`course semester archive` and `course semester begin`"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import load_course
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
        done = archive_semester(target, followed(load_course(), target), folder.resolve(), status.update)
    console.print(
        f"{folder}: {done.students} students. It holds personal data and every grade: keep it as safe as the course",
        markup=False,
    )
    if done.without_zip:
        console.print(
            f"in the backup alone, because no account can have the name: {', '.join(done.without_zip)}",
            markup=False,
        )


@semester.command()
@click.argument("starts", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--archive", "folder", type=FOLDER, required=True, help="The archive of the last semester.")
@click.option("--early", is_flag=True, help="Although a lab still takes hand-ins.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@INSTANCE
def begin(starts: datetime, folder: Path, early: bool, yes: bool, root: Path | None) -> None:
    """Empty the class for a semester whose week 1 begins on the Monday STARTS; every lab is due as many weeks later.

    Refused unless the archive holds everything. The Hub runs, nobody works, and it is restarted afterwards.
    """
    target = chosen_instance(root)
    if not yes:
        click.confirm("Delete every attempt in the hand-in service and empty the class?", abort=True)
    with console.status("beginning") as status:
        done = begin_semester(
            target, load_course(), folder.resolve(), starts.date(), early=early, say=status.update
        )
    for line in (
        f"the last semester lies in {done.aside}; remove it when you no longer need it",
        f"the attempts of {done.forgotten} students were deleted from the hand-in service",
        f"week 1 begins on {starts:%Y-%m-%d} ({target.settings_file})",
        "next: take last semester's students off the Hub's list, restart the Hub, then course build, course calendar",
    ):
        console.print(line, markup=False)
    for lab, student, number, _ in done.kept:
        console.print(
            f"kept in the hand-in service, because it arrived meanwhile: attempt {number} of {student}, {lab}",
            markup=False,
        )
